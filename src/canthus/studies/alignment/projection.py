"""Alignment by a pose: PnP of a method's own points, then the generic face's points under what it finds."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from canthus.geometry import affine, boxes
from canthus.geometry.camera import Camera, crop_box, placed
from canthus.geometry.generic_face import SCHEME, generic_face
from canthus.geometry.pnp import solve_pnp
from canthus.schemes import Scheme, load_scheme
from canthus.studies.alignment.frames import POINTS, alignment_points, reduced

__all__ = ["Projection", "project_pose"]

LEAST_POINTS = 5
"""Ten coordinates for six degrees of freedom: little to judge a pose by, but methods of five points have no more."""

LIMIT = 0.05
"""Largest error of a valid pose, in geometric means of the sides of the face's box."""


@dataclass(frozen=True, eq=False)
class Projection:
    """Poses of N faces, and what they look like.

    Attributes:
        points: (N, 5, 2) original pixels. A face without a valid pose keeps its own points.
        angles: (N, 3) yaw, pitch, roll in radians; NaN for a face without a valid pose.
    """

    points: Tensor
    angles: Tensor

    @property
    def lost(self) -> int:
        """Number of faces without a valid pose."""
        return int(self.angles.isnan().any(1).sum())


def project_pose(points: Tensor, scheme: Scheme) -> Projection:
    """Find the poses that points tell, and project the five alignment points of the generic face.

    Poses are of all points that the scheme shares with the generic face, or of the five alignment points.

    Args:
        points: (N, K, 2) original pixels.
        scheme: of the points; any that reduces to five points.
    """
    shared = _shared(scheme)
    seen = reduced(points, scheme, shared).double()
    face, weight, front = _face(shared)
    camera = Camera()
    to_crop = boxes.box_map(boxes.box_of_points(seen), front, by="longer")
    framed = camera.frame_of(affine.apply(to_crop, seen))
    # of the box of the whole face: that of five points is a sixth of it
    limit = LIMIT * float(_size(_face(SCHEME)[2]) / _size(front))
    poses = solve_pnp(framed, face, camera, weight, limit=limit, least=LEAST_POINTS)
    projected = camera.pixels(placed(_face(POINTS)[0], poses.rotation, poses.translation))
    valid = poses.valid[:, None]
    return Projection(
        points=torch.where(
            valid[..., None], affine.apply(affine.invert(to_crop), projected), alignment_points(points, scheme)
        ),
        angles=torch.where(valid, poses.angles, torch.nan),
    )


def _shared(scheme: Scheme) -> str:
    """The scheme with the most points to which both the method's and the generic face's reduce."""
    own = {scheme.name, *scheme.reductions}
    known = {SCHEME, *load_scheme(SCHEME).reductions}
    return max(own & known | {POINTS}, key=lambda name: load_scheme(name).num_landmarks)


@cache
def _face(scheme: str) -> tuple[Tensor, Tensor, Tensor]:
    """(K, 3) generic face in a scheme, (K,) weights, and (4,) where its box lies in the crop of an unturned face."""
    face, full = generic_face(), load_scheme(SCHEME)
    points = face.points.double()
    # the crop is that of the whole face, however few of its points are seen: distances from the camera stay usual
    front = boxes.shape_in_box(points[:, :2], torch.tensor([crop_box(Camera().side)], dtype=points.dtype), by="longer")
    flat = torch.stack([points[:, :2], points[:, [2, 2]], face.weight.double()[:, None].expand(-1, 2), front[0]])
    across, depth, weight, front = reduced(flat, full, scheme).unbind()
    return torch.cat([across, depth[:, :1]], 1), weight[:, 0], boxes.box_of_points(front)


def _size(box: Tensor) -> Tensor:
    return (box[2:] - box[:2]).prod().sqrt()
