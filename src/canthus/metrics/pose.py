"""Head-pose errors: per angle and between rotations, as a function and as a torchmetrics class.

Angles are yaw, pitch, roll in radians, named and never told by their place alone: sources order them differently.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from canthus.geometry.pose import geodesic_angle, rotation_of_angles

__all__ = ["FacePoses", "HeadPoseError", "head_pose_errors"]

NAMES = ("yaw", "pitch", "roll")
LIMIT = 99.0
"""Degrees. Customary on AFLW2000-3D and BIWI: faces with an angle beyond it are left out."""


def head_pose_errors(predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Errors of each face, in degrees.

    Angles are wrapped: 179 and -179 degrees are 2 apart. Half turns are not folded, as 6DRepNet's test code does by
    taking the smallest error over offsets of 180 degrees.

    Args:
        predictions: (N, 3) yaw, pitch, roll in radians.
        targets: (N, 3) likewise.

    Returns:
        (N,) each: ``yaw``, ``pitch``, ``roll``, their mean ``mae``, the ``geodesic`` angle between the rotations, and
        ``vectors``, the mean angle between their columns (MAEV: Cao et al., WACV 2021).

    Raises:
        ValueError: shapes that are not (N, 3).
    """
    if predictions.shape != targets.shape or targets.ndim != 2 or targets.shape[1] != 3:
        raise ValueError(
            f"poses have the shapes {tuple(predictions.shape)} and {tuple(targets.shape)}; both must be (N, 3): "
            "yaw, pitch, roll in radians"
        )
    difference = predictions - targets
    wrapped = torch.atan2(difference.sin(), difference.cos()).abs()
    first, second = rotation_of_angles(predictions), rotation_of_angles(targets)
    apart = torch.linalg.vector_norm(first - second, dim=-2)  # chords of the columns
    columns = 2 * torch.asin((apart / 2).clamp(max=1))
    errors = dict(zip(NAMES, wrapped.unbind(1), strict=True))
    errors |= {"mae": wrapped.mean(1), "geodesic": geodesic_angle(first, second), "vectors": columns.mean(1)}
    return {name: error.rad2deg() for name, error in errors.items()}


class FacePoses(Metric):
    """The poses of all faces shown, every face once.

    Args:
        **kwargs: of `torchmetrics.Metric`.
    """

    is_differentiable = False
    full_state_update = False

    index: list[Tensor]
    predictions: list[Tensor]
    targets: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for state in ("index", "predictions", "targets"):
            self.add_state(state, [], dist_reduce_fx="cat")

    def update(self, index: Tensor, predictions: Tensor, targets: Tensor) -> None:
        """Add a batch.

        Args:
            index: (B,) integers, the same for the same face in every process.
            predictions: (B, 3) yaw, pitch, roll in radians.
            targets: (B, 3) likewise.

        Raises:
            ValueError: shapes that do not belong together.
        """
        if predictions.shape != (len(index), 3) or targets.shape != (len(index), 3):
            raise ValueError(
                f"index, predictions and targets have the shapes {tuple(index.shape)}, {tuple(predictions.shape)} and "
                f"{tuple(targets.shape)}; they must be (B,), (B, 3) and (B, 3)"
            )
        self.index.append(index.detach().long())
        self.predictions.append(predictions.detach().float())
        self.targets.append(targets.detach().float())

    def compute(self) -> dict[str, Tensor]:
        """``index`` (N,), rising, ``predictions`` (N, 3) and ``targets`` (N, 3).

        Raises:
            ValueError: no faces.
        """
        if not self.index:
            raise ValueError(f"{type(self).__name__} has seen no faces; call update() before compute()")
        index = dim_zero_cat(self.index)
        order = index.argsort(stable=True)
        fresh = torch.ones_like(order, dtype=torch.bool)  # distributed samplers repeat faces
        fresh[1:] = index[order][1:] != index[order][:-1]
        rows = order[fresh]
        predictions, targets = dim_zero_cat(self.predictions)[rows], dim_zero_cat(self.targets)[rows]
        return {"index": index[rows], "predictions": predictions, "targets": targets}


class HeadPoseError(FacePoses):
    """Means over faces of `head_pose_errors`, every face once.

    Args:
        limit: leave out faces that have a labelled angle beyond this many degrees; None for none.
        **kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = False

    def __init__(self, limit: float | None = LIMIT, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if limit is not None and not limit > 0:
            raise ValueError(f"limit {limit} must be positive, in degrees")
        self.limit = limit

    def compute(self) -> dict[str, Tensor]:
        """Degrees by name as in `head_pose_errors`, and ``faces``, the number of those counted.

        Raises:
            ValueError: no faces, or none within the limit.
        """
        poses = super().compute()
        predictions, targets = poses["predictions"], poses["targets"]
        if self.limit is not None:
            kept = (targets.abs() <= math.radians(self.limit)).all(1)
            predictions, targets = predictions[kept], targets[kept]
        if not len(targets):
            raise ValueError(f"no face has all its angles within {self.limit} degrees; raise limit")
        means = {name: errors.mean() for name, errors in head_pose_errors(predictions, targets).items()}
        return means | {"faces": torch.tensor(len(targets), device=targets.device)}
