"""The generic 3-D face: 68 points in the order of 300-W, which ``scripts/make_generic_face.py`` recovers from labels.

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
from canthus.utils.files import parse_yaml

__all__ = ["FILE", "SCHEME", "GenericFace", "face_poses", "generic_face"]

SCHEME = "68"
FILE = Path(__file__).with_name("generic_face.yaml")


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
