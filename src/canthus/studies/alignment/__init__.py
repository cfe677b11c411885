"""Does a better landmark make a better alignment? Faces aligned by many methods, judged by what alignment is for."""

from canthus.studies.alignment.aligners import WAYS, Aligner, aligners
from canthus.studies.alignment.embedding import make_embedder
from canthus.studies.alignment.faces import StudyFaces
from canthus.studies.alignment.frames import aligned, alignment_maps, alignment_points, template
from canthus.studies.alignment.label_noise import noise_floor, unforeseen
from canthus.studies.alignment.measures import Measures, measure, verification_link
from canthus.studies.alignment.pairs import Pairs, draw_pairs, resampled_accuracy, verification
from canthus.studies.alignment.projection import Projection, project_pose
from canthus.studies.critique.measures import errors_over_yaw, normalisers_over_yaw, yaw_bins

__all__ = [
    "WAYS",
    "Aligner",
    "Measures",
    "Pairs",
    "Projection",
    "StudyFaces",
    "aligned",
    "aligners",
    "alignment_maps",
    "alignment_points",
    "draw_pairs",
    "errors_over_yaw",
    "make_embedder",
    "measure",
    "noise_floor",
    "normalisers_over_yaw",
    "project_pose",
    "resampled_accuracy",
    "template",
    "unforeseen",
    "verification",
    "verification_link",
    "yaw_bins",
]
