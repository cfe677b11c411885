"""What a study compares: methods that align faces, by their points or by the pose that those tell."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from canthus.schemes import Scheme
from canthus.studies.alignment.frames import alignment_points
from canthus.studies.alignment.projection import project_pose

__all__ = ["WAYS", "Aligner", "aligners"]

WAYS = ("points", "pose")


@dataclass(frozen=True, eq=False)
class Aligner:
    """A method, by the points that it gives.

    Attributes:
        name: in tables.
        kind: ``run`` or ``reference``.
        points: (N, 5, 2) original pixels.
        corrupted: corruption -> (C, 5, 2) points on corrupted faces; empty for references.
        corrupted_faces: C places of those among the N.
        poseless: faces without a valid pose, which are aligned by their points; 0 where no pose is wanted.
    """

    name: str
    kind: str
    points: Tensor
    corrupted: Mapping[str, Tensor] = field(default_factory=dict)
    corrupted_faces: Sequence[int] = ()
    poseless: int = 0


def aligners(
    name: str,
    kind: str,
    points: Tensor,
    scheme: Scheme,
    ways: Collection[str] = WAYS,
    corrupted: Mapping[str, Tensor] | None = None,
    corrupted_faces: Sequence[int] = (),
) -> Iterator[Aligner]:
    """A method's alignments.

    Args:
        name: of the method.
        kind: see `Aligner`.
        points: (N, K, 2) original pixels.
        scheme: of the points.
        ways: of `WAYS`: by the points themselves, and by the projected pose that they tell.
        corrupted: corruption -> (C, K, 2).
        corrupted_faces: see `Aligner`.
    """
    corrupted = corrupted or {}
    if "points" in ways:
        found = {key: alignment_points(values, scheme) for key, values in corrupted.items()}
        yield Aligner(name, kind, alignment_points(points, scheme), found, corrupted_faces)
    if "pose" in ways:
        found = {key: project_pose(values, scheme).points for key, values in corrupted.items()}
        projection = project_pose(points, scheme)
        yield Aligner(f"{name}, pose", kind, projection.points, found, corrupted_faces, projection.lost)
