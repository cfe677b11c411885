"""FacePoseNet as a LightningModule: pose labels from landmarks, z-scored regression, landmarks by projection."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch, InputSpec
from canthus.geometry import affine, boxes
from canthus.geometry.camera import Camera, crop_box, placed
from canthus.geometry.generic_face import SCHEME, face_poses, generic_face
from canthus.geometry.pnp import PoseSolution
from canthus.geometry.pose import head_angles
from canthus.models.base import LandmarkModel
from canthus.models.estimates import Estimates
from canthus.models.facepose.heads import HEADS
from canthus.models.facepose.labels import transformed_pose
from canthus.models.facepose.network import ALEXNET, pose_network

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["FacePoseModule"]

LABELS = ("pnp", "closed_form")


class FacePoseModule(LandmarkModel):
    """FacePoseNet: six degrees of freedom from one image.

    Args:
        optimizer: see `LandmarkModel`; the release: Adam.
        scheduler: see `LandmarkModel`.
        scheme: of the labels, 68 points.
        backbone: ``alexnet`` (published), or a network of timm.
        head: ``rotvec``, the published six numbers, or ``6d``, the continuous representation.
        size: side of the input; 227 as published.
        width: factor of the AlexNet's channels.
        dropout: before the dense layers; the released model has none.
        pretrained: begin with timm's weights.
        labels: poses of augmented faces by ``pnp`` of the moved landmarks, on the device, or in ``closed_form`` from
            the pose of the face as it stands in its image.
        reprojection: weight of the mean distance of the projected points from the landmarks, in sides of the input;
            0 as published.
        statistics_faces: augmented faces from which means and deviations of labels and pixels are measured.

    Raises:
        ValueError: an unknown option.
    """

    name = "facepose"
    schemes = (SCHEME,)
    pixel_mean: Tensor
    face: Tensor
    face_weight: Tensor

    def __init__(
        self,
        optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None = None,
        scheme: str | int = SCHEME,
        backbone: str = ALEXNET,
        head: str = "rotvec",
        size: int = 227,
        width: float = 1.0,
        dropout: float = 0.0,
        pretrained: bool = False,
        labels: str = "pnp",
        reprojection: float = 0.0,
        statistics_faces: int = 2048,
    ) -> None:
        super().__init__(scheme=scheme, stages=1, optimizer=optimizer, scheduler=scheduler)
        for key, value, choices in (("head", head, tuple(HEADS)), ("labels", labels, LABELS)):
            if value not in choices:
                raise ValueError(f"model.{key} is {value!r}; one of {', '.join(choices)}")
        if backbone == ALEXNET and size != 227:
            raise ValueError(f"model.size={size}: the AlexNet is made for 227; smaller inputs need a network of timm")
        if reprojection < 0:
            raise ValueError(f"model.reprojection is {reprojection}; a weight is not negative")
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
        self.head = HEADS[head]()
        self.network = pose_network(backbone, self.head.size, width=width, dropout=dropout, pretrained=pretrained).to(
            memory_format=torch.channels_last
        )
        self.labels, self.reprojection, self.statistics_faces = labels, reprojection, statistics_faces
        self.camera = Camera().resized(size)
        face = generic_face()
        self.register_buffer("face", face.points.clone())  # in the checkpoint: the poses are about this face
        self.register_buffer("face_weight", face.weight.clone())
        self.register_buffer("pixel_mean", torch.zeros(3, 1, 1))
        # the released net only subtracts a mean; networks of timm want ImageNet's scaling
        scaling = "unit" if backbone == ALEXNET else "imagenet"
        self._input = InputSpec(size, 3, crop_box(size), scaling, fit="longer")
        self._upright: PoseSolution | None = None
        self._frames = torch.empty(0)

    @property
    def input(self) -> InputSpec:
        """The square of 1.5 longer sides of the face box."""
        return self._input

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

    def estimates(self, batch: Batch) -> Estimates:
        """The generic face under the estimated pose; it starts from the mean pose of the training faces."""
        scores = self.network(batch["image"] - self.pixel_mean)
        rotation, translation = self.head.decode(scores)
        begin = self.camera.pixels(placed(self.face, *self.head.decode(torch.zeros_like(scores[:1]))))
        points = self.camera.pixels(placed(self.face, rotation, translation))
        return Estimates(
            points=[points], initial=begin.expand_as(points), pose=head_angles(rotation), pose_scores=scores
        )

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
        rows = batch["index"].cpu()
        change = affine.compose(affine.invert(batch["to_original"]), self._frames[rows].to(batch["to_original"]))
        rotation, translation = (
            values[rows].to(change) for values in (self._upright.rotation, self._upright.translation)
        )
        valid = self._upright.valid[rows].to(change.device)
        return *transformed_pose(rotation, translation, change, self.camera), valid
