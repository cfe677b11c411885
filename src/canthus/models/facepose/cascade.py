"""FacePoseNet, as prediction needs it."""

import torch
from torch import Tensor

from canthus.data.batch import Batch, InputSpec
from canthus.geometry.camera import Camera, crop_box, placed
from canthus.geometry.generic_face import SCHEME, generic_face
from canthus.geometry.pose import head_angles
from canthus.models.cascade import Cascade
from canthus.models.estimates import Estimates
from canthus.models.facepose.heads import HEADS
from canthus.models.facepose.network import ALEXNET, pose_network
from canthus.utils.errors import check_choice

__all__ = ["FacePoseCascade"]

LABELS = ("pnp", "closed_form")


class FacePoseCascade(Cascade):
    """FacePoseNet: six degrees of freedom from one image.

    Args:
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
        *,
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
        super().__init__(scheme=scheme, stages=1)
        for key, value, choices in (("head", head, tuple(HEADS)), ("labels", labels, LABELS)):
            check_choice(f"model.{key}", value, choices)
        if backbone == ALEXNET and size != 227:
            raise ValueError(f"model.size={size}: the AlexNet is made for 227; smaller inputs need a network of timm")
        if reprojection < 0:
            raise ValueError(f"model.reprojection is {reprojection}; a weight is not negative")
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

    @property
    def input(self) -> InputSpec:
        """The square of 1.5 longer sides of the face box."""
        return self._input

    def estimates(self, batch: Batch) -> Estimates:
        """The generic face under the estimated pose; it starts from the mean pose of the training faces."""
        scores = self.network(batch["image"] - self.pixel_mean)
        rotation, translation = self.head.decode(scores)
        begin = self.camera.pixels(placed(self.face, *self.head.decode(torch.zeros_like(scores[:1]))))
        points = self.camera.pixels(placed(self.face, rotation, translation))
        return Estimates(
            points=[points], initial=begin.expand_as(points), pose=head_angles(rotation), pose_scores=scores
        )
