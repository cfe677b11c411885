"""Does a better landmark make a better alignment? Faces aligned by many methods, judged by what alignment is for."""

from canthus.alignment.critique import normalisers_over_yaw, yaw_bins
from canthus.alignment.embedding import make_embedder
from canthus.alignment.faces import StudyFaces
from canthus.alignment.frames import aligned, alignment_maps, alignment_points, template
from canthus.alignment.measures import Aligner, Measures, measure, verification_link
from canthus.alignment.pairs import Pairs, draw_pairs, verification

__all__ = [
    "Aligner",
    "Measures",
    "Pairs",
    "StudyFaces",
    "aligned",
    "alignment_maps",
    "alignment_points",
    "draw_pairs",
    "make_embedder",
    "measure",
    "normalisers_over_yaw",
    "template",
    "verification",
    "verification_link",
    "yaw_bins",
]
