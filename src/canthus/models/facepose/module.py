"""FacePoseNet as a LightningModule: pose labels from landmarks, z-scored regression, landmarks by projection."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch
from canthus.geometry import affine, boxes
from canthus.geometry.generic_face import face_poses
from canthus.geometry.pnp import PoseSolution
from canthus.models.base import LandmarkModel
from canthus.models.estimates import Estimates
from canthus.models.facepose.cascade import FacePoseCascade
from canthus.models.facepose.labels import transformed_pose

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["FacePoseModule"]


class FacePoseModule(LandmarkModel, FacePoseCascade):
    """Trains FacePoseNet.

    Args:
        optimizer: see `LandmarkModel`; the release: Adam.
        scheduler: see `LandmarkModel`.
        **settings: see `FacePoseCascade`.
    """

    _upright: PoseSolution | None = None
    """Poses of the training faces as they stand in their images, for closed-form labels; and their crops."""
    _frames: Tensor

    def initialise(self, data: "FaceDataModule") -> None:
        """Measure means and standard deviations of the labels and of the pixels over augmented training faces."""
        rotations, translations, pixels = [], [], []
        for batch in data.training_batches(self.statistics_faces):
            poses = face_poses(batch["landmarks"], batch["visibility"], self.input.size)
            rotations.append(poses.rotation[poses.valid])
            translations.append(poses.translation[poses.valid])
            pixels.append(batch["image"].float().mean((2, 3)))
        rotation, translation = torch.cat(rotations), torch.cat(translations)
        if len(rotation) < 2:
            raise ValueError(
                f"the points of {len(rotation)} of {self.statistics_faces} training faces give a pose; look at them: "
                "canthus-data poses=pnp"
            )
        self.head.fit(rotation, translation)
        if self.input.scaling == "unit":
            self.pixel_mean.copy_(torch.cat(pixels).mean(0)[:, None, None])

    def setup(self, stage: str) -> None:
        """Also find the poses of the training faces as they stand in their images, for closed-form labels."""
        super().setup(stage)
        if stage == "fit" and self.labels == "closed_form":
            data: FaceDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
            landmarks, visibility, box = data.training_labels()
            frames = boxes.box_map(self.input.reference, box, by=self.input.fit)
            upright = affine.apply(affine.invert(frames), landmarks)
            self._upright, self._frames = face_poses(upright, visibility, self.input.size), frames

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """All there are."""
        return self.network.parameters()

    def losses(self, batch: Batch, estimates: Estimates) -> dict[str, Tensor]:
        """Squared error of the z-scored pose, and of the projected points if asked for."""
        assert estimates.pose_scores is not None
        rotation, translation, valid = self.targets(batch)
        errors = self.head.errors(estimates.pose_scores, rotation, translation)
        terms = {"pose": torch.where(valid, errors, 0).sum() / valid.sum().clamp_min(1)}
        if self.reprojection:
            weight = self.face_weight * (batch["visibility"] > 0)
            distance = torch.linalg.vector_norm(estimates.points[0] - batch["landmarks"] + 1e-6, dim=-1)
            mean = (weight * distance).sum() / weight.sum().clamp_min(1)
            terms["reprojection"] = self.reprojection * mean / self.input.size
        return terms

    def targets(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Rotations (B, 3, 3), translations (B, 3) and which of them can be trusted (B,)."""
        if self._upright is None:
            poses = face_poses(batch["landmarks"].float(), batch["visibility"], self.input.size)
            return poses.rotation, poses.translation, poses.valid
        rows = batch["index"]
        if self._frames.device != rows.device:  # once, when training begins
            self._upright, self._frames = _moved(self._upright, rows.device), self._frames.to(rows.device)
        frames = self._frames
        change = affine.compose(affine.invert(batch["to_original"]), frames[rows].to(batch["to_original"]))
        rotation, translation = (
            values[rows].to(change) for values in (self._upright.rotation, self._upright.translation)
        )
        return *transformed_pose(rotation, translation, change, self.camera), self._upright.valid[rows]


def _moved(poses: PoseSolution, device: torch.device) -> PoseSolution:
    parts = (poses.rotation, poses.translation, poses.error, poses.valid)
    return PoseSolution(*(part.to(device) for part in parts))
