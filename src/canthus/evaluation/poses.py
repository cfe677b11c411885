"""Head poses beside landmarks: what a pose estimator is measured against, and the numbers that reports show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from canthus.data.batch import Batch
from canthus.data.face import Face
from canthus.geometry import affine, boxes
from canthus.geometry.camera import Camera, crop_box, placed
from canthus.geometry.generic_face import SCHEME, face_poses, generic_face
from canthus.metrics import FaceTable, bootstrap_interval, head_pose_errors
from canthus.schemes import Scheme

__all__ = ["PoseErrors", "labelled_poses", "true_poses"]


def true_poses(batch: Batch) -> tuple[Tensor, Tensor]:
    """Poses of labelled faces by PnP: (B, 3) yaw, pitch, roll, NaN where it cannot be one, and (B, 68, 2) its points.

    The points are the best that a rigid generic face can do: the bound of every method that projects it.
    """
    size = batch["image"].shape[-1]
    poses = face_poses(batch["landmarks"].float(), batch["visibility"], size)
    face = generic_face().points.to(poses.rotation)
    points = Camera().resized(size).pixels(placed(face, poses.rotation, poses.translation))
    return torch.where(poses.valid[:, None], poses.angles, torch.nan), points


def labelled_poses(table: FaceTable, scheme: Scheme) -> dict[str, Tensor]:
    """How the labelled faces are turned and whether they speak, for results by pose and by expression.

    Returns:
        ``yaw`` (N,) in degrees by PnP of the labels with the generic face, NaN where that is none; ``mouth`` (N,), the
        gap between the inner lips, percent of the distance of the outer eye corners. Empty for other points than 68.
    """
    if scheme.name != SCHEME:
        return {}
    landmarks, visibility = table.landmarks.double().cpu(), table.visibility.cpu()
    side = Camera().side
    crop = torch.tensor(crop_box(side), dtype=torch.float64)
    to_crop = boxes.box_map(table.box.double().cpu(), crop, by="longer")
    seen = (visibility > 0)[..., None]
    poses = face_poses(affine.apply(to_crop, torch.where(seen, landmarks, 0)), visibility, side)
    yaw = torch.where(poses.valid, poses.angles[:, 0].rad2deg(), torch.nan)
    gap, eyes = ((landmarks[:, a] - landmarks[:, b]).norm(dim=-1) for a, b in ((62, 66), (36, 45)))
    return {"yaw": yaw, "mouth": torch.where(seen[:, [62, 66, 36, 45], 0].all(1), 100 * gap / eyes, torch.nan)}


@dataclass(frozen=True, eq=False)
class PoseErrors:
    """Poses of the N faces of a table, in its order.

    Attributes:
        predictions: (N, 3) yaw, pitch, roll in radians.
        targets: (N, 3) likewise; NaN for faces without one.
        truth: ``labels`` of the data set, or ``pnp`` of its landmarks.
        bound: (N,) NME in percent of the generic face under the true pose; None if the landmarks do not give it.
    """

    predictions: Tensor
    targets: Tensor
    truth: str
    bound: Tensor | None

    @classmethod
    def of(cls, poses: dict[str, Tensor], faces: Sequence[Face], bound: Tensor | None) -> "PoseErrors | None":
        """Take the data set's own poses where every face has one, those of PnP otherwise; None if there are neither.

        Args:
            poses: of `canthus.metrics.FacePoses`.
            faces: of the split.
            bound: (N,).
        """
        targets, truth = poses["targets"], "pnp"
        labels = [face.pose for face in faces]
        known = [pose for pose in labels if pose is not None]
        if faces and len(known) == len(labels):
            labelled = torch.from_numpy(np.stack(known)).to(targets)
            targets, truth = labelled[poses["index"].to(targets.device)], "labels"
        if not bool(targets.isfinite().all(1).any()):
            return None
        return cls(poses["predictions"], targets, truth, bound)

    def select(self, mask: Tensor) -> "PoseErrors":
        """The faces where an (N,) mask holds."""
        mask = mask.to(self.predictions.device)
        bound = None if self.bound is None else self.bound[mask]
        return PoseErrors(self.predictions[mask], self.targets[mask], self.truth, bound)

    def summary(self) -> dict[str, Any]:
        """Mean errors in degrees, ``faces`` that they are over, and ``nme_bound`` in percent."""
        known = (self.targets.isfinite() & self.predictions.isfinite()).all(1)
        numbers: dict[str, Any] = {"truth": self.truth, "faces": int(known.sum())}
        if self.bound is not None:
            numbers["nme_bound"] = self.bound.nanmean().item()
        if not numbers["faces"]:
            return numbers
        errors = head_pose_errors(self.predictions[known], self.targets[known])
        numbers |= {name: values.mean().item() for name, values in errors.items()}
        if interval := bootstrap_interval(errors["mae"].cpu().numpy()):
            numbers["mae_interval"] = list(interval)
        return numbers
