"""A small model of each method with a batch of faces, made without a data set, in a fraction of a second."""

import functools
from types import SimpleNamespace

import torch

from canthus.data.batch import scale_pixels
from canthus.geometry import affine, boxes
from canthus.geometry.camera import Camera, placed
from canthus.geometry.generic_face import generic_face
from canthus.geometry.pose import rotation_of_vector
from canthus.geometry.shapes import procrustes_mean
from canthus.models.cfan.module import CFANModule
from canthus.models.dan.module import DANModule
from canthus.models.dcnn.module import DCNNModule
from canthus.models.facepose.module import FacePoseModule
from canthus.models.fan_zhou.module import FanZhouModule
from canthus.models.mdm.module import MDMModule
from canthus.models.san.module import SANModule

ADAM = functools.partial(torch.optim.Adam, lr=1e-3)
FIVE = ([36, 39], [42, 45], [30], [48], [54])
"""The five points among the 68: centres of the eyes, nose, corners of the mouth."""
MAKERS = {
    "cfan": lambda: CFANModule(
        ADAM, global_hidden=(12, 8, 6), local_hidden=(10, 6), local_sizes=(48, 64), global_size=20, jitter=0.01
    ),
    "dan": lambda: DANModule(ADAM, width=0.1, size=64, dropout=0.0),
    "dcnn": lambda: DCNNModule(ADAM),
    "facepose": lambda: FacePoseModule(
        ADAM, backbone="test_resnet", size=64, statistics_faces=8, head="6d", reprojection=50.0
    ),
    "fan_zhou": lambda: FanZhouModule(ADAM, width=0.1, size=64),
    "mdm": lambda: MDMModule(
        ADAM, patch=10, hidden=16, channels=4, projection=4, size=64, diagonal=50.0, initialisation="kaiming", unit=5.0
    ),
    "san": lambda: SANModule(ADAM, width=0.1, initialisation="kaiming", size=64),
}
"""Name -> model, all but MTCNN, which needs whole images."""


def faces(model, count: int = 8, seed: int = 0) -> dict:
    """Heads that look about, each in its box, on smooth noise; every sixth point of the first is not labelled."""
    random = torch.Generator().manual_seed(seed)
    spec = model.input
    turn = 0.25 * torch.randn(count, 3, generator=random)
    away = torch.tensor([0.0, 0.0, 2900.0]).expand(count, 3)
    points = Camera().pixels(placed(generic_face().points, rotation_of_vector(turn), away))
    place = boxes.box_map(boxes.box_of_points(points), spec.reference)
    points = affine.apply(place, points)
    points = points + 0.01 * spec.size * torch.randn(points.shape, generator=random)
    if model.scheme.name == "5":
        points = torch.stack([points[:, group].mean(1) for group in FIVE], 1)
    visibility = torch.full(points.shape[:2], 2, dtype=torch.uint8)
    if model.scheme.name != "5":
        visibility[0, 3:17:6] = 0
    coarse = torch.rand(count, spec.channels, 8, 8, generator=random)
    image = torch.nn.functional.interpolate(coarse, size=spec.size, mode="bilinear")
    return {
        "image": scale_pixels(image, spec.scaling),
        "landmarks": points,
        "visibility": visibility,
        "box": spec.reference.expand(count, 4).clone(),
        "to_original": affine.identity(count),
        "index": torch.arange(count),
    }


class Training:
    """What models ask of a data module before they train."""

    reduced = False

    def __init__(self, batch: dict, flip) -> None:
        self.batch, self.flip = batch, flip

    def faces(self, split: str) -> list:
        return [None] * len(self.batch["index"])

    def mean_shape(self):
        return procrustes_mean(self.batch["landmarks"], self.batch["visibility"], self.flip)

    def mean_position(self):
        return self.batch["landmarks"].mean(0)

    def training_labels(self):
        return self.batch["landmarks"], self.batch["visibility"], self.batch["box"]

    def training_batches(self, count: int):
        yield self.batch

    def training_inputs(self, count: int):
        yield self.batch["image"]


def tiny(name: str, count: int = 8):
    """A model in training mode, all its stages at work, and a batch."""
    torch.manual_seed(0)
    model = MAKERS[name]()
    batch = faces(model, count)
    model.initialise(Training(batch, model.scheme.flip))
    if name == "fan_zhou":
        model.residuals.normal_(0, 2)
        for layer in (model.network.whole.points, model.network.patches.points):  # which begin at zero
            layer.weight.data.normal_(0, 0.05)
    if name == "dan":
        model.train_stages([1])
    model._trainer = SimpleNamespace(current_epoch=0, max_epochs=1)
    return model.train(), batch


def step(model, batch) -> torch.Tensor:
    """One training step; returns the loss."""
    loss = torch.stack(list(model.losses(batch, model.estimates(batch)).values())).sum()
    loss.backward()
    return loss.detach()
