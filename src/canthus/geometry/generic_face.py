"""The generic 3-D face: 68 points in the order of 300-W, recovered from labelled images by `make_generic_face.py`.

``generic_face.yaml`` holds it with where it comes from. Scale, place and tilt are those of the face that FacePoseNet's
authors used (their number 10), so that their camera and the usual range of their poses fit.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from canthus.geometry.camera import Camera
from canthus.geometry.pnp import PoseSolution, solve_pnp
from canthus.geometry.structure import Anchors, Structure
from canthus.utils.files import parse_yaml

__all__ = ["ANCHORS", "SCHEME", "GenericFace", "face_poses", "generic_face", "write_generic_face"]

SCHEME = "68"
FILE = Path(__file__).with_name("generic_face.yaml")
ANCHORS = Anchors(
    upper=(36, 45),  # outer eye corners: in model 10 at (-39.37, -30.15, -15.86) and (39.69, -30.16, -15.74)
    lower=(48, 54),  # mouth corners: (-24.90, 31.22, -25.29) and (23.11, 31.19, -24.84)
    nose=30,
    outline=tuple(range(17)),
    upper_place=(-30.155, -15.8),
    lower_place=(31.205, -25.065),
    distance=79.06,
)
"""Facts about the published 3-D face that fix scale, place and tilt of ours."""


@dataclass(frozen=True, eq=False)
class GenericFace:
    """The face and how faces vary around it. x right, y down, z away from the camera, about millimetres.

    Attributes:
        points: (68, 3), exactly symmetric.
        deviation: (68,) how far labels lie from it, root mean square: persons, expressions and labelling together.
        modes: (M, 68, 3), each for one standard deviation.
        kinds: M words, ``shape`` where persons differ more than one person's faces, else ``expression``.
    """

    points: Tensor
    deviation: Tensor
    modes: Tensor
    kinds: tuple[str, ...]

    @property
    def weight(self) -> Tensor:
        """(68,) weights for `solve_pnp`: inverse squared deviations, 1 for the steadiest point."""
        return (self.deviation.min() / self.deviation).square()


@lru_cache(maxsize=1)
def generic_face() -> GenericFace:
    """The face that canthus ships."""
    content = parse_yaml(FILE.read_text(encoding="utf-8"))
    modes = content["modes"]
    return GenericFace(
        points=torch.tensor(content["points"]),
        deviation=torch.tensor(content["deviation"]),
        modes=torch.tensor([mode["points"] for mode in modes]).unflatten(1, (-1, 3)),
        kinds=tuple(mode["kind"] for mode in modes),
    )


def face_poses(landmarks: Tensor, visibility: Tensor, size: float) -> PoseSolution:
    """Poses of labelled faces under the published camera, by PnP with the generic face.

    Args:
        landmarks: (B, 68, 2) pixels of square crops.
        visibility: (B, 68) codes; unlabelled points do not count.
        size: side of the crops, pixels.

    Returns:
        Poses with errors in pixels of the crops.
    """
    face, camera = generic_face(), Camera().resized(size)
    weight = face.weight.to(landmarks) * (visibility > 0)
    return solve_pnp(camera.frame_of(landmarks), face.points.to(landmarks), camera, weight)


def write_generic_face(
    path: Path, structure: Structure, modes: Tensor, between: Tensor, within: Tensor, provenance: str
) -> None:
    """Write the file that `generic_face` reads.

    Args:
        path: of the file.
        structure: mean and deviation.
        modes: (M, 68, 3) for one standard deviation.
        between: (M,) share of each mode's variance that lies between persons.
        within: (M,) share within persons.
        provenance: lines of comment.
    """
    parts = ["".join(f"# {line}\n" for line in provenance.splitlines())]
    parts += ["points: # x right, y down, z away from the camera\n"]
    parts += [f"  - [{line}]\n" for line in _lines(structure.mean, 3)]
    parts += ["deviation:\n  [\n", *(f"    {line},\n" for line in _lines(structure.deviation, 17)), "  ]\n"]
    parts += ["modes: # changes for one standard deviation; x, y, z of four points in a line\n"]
    for mode, persons, expressions in zip(modes, between.tolist(), within.tolist(), strict=True):
        parts += [f"  - kind: {'shape' if persons > expressions else 'expression'}\n"]
        parts += [f"    between_persons: {persons:.2f}\n    within_persons: {expressions:.2f}\n"]
        parts += ["    points:\n      [\n", *(f"        {line},\n" for line in _lines(mode, 12)), "      ]\n"]
    path.write_text("".join(parts), encoding="utf-8")


def _lines(values: Tensor, columns: int) -> list[str]:
    rows = (values.reshape(-1, columns) + 0.0).round(decimals=3) + 0.0  # no -0.000
    return [", ".join(f"{value:.3f}" for value in row) for row in rows.tolist()]
