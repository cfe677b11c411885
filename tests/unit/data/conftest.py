import itertools
import math
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from canthus.data.batch import InputSpec
from canthus.data.datamodule import FaceDataModule
from canthus.data.face import Face, Reader
from canthus.geometry.boxes import centred_box
from canthus.utils.errors import DataError

SPEC = InputSpec(64, 3, centred_box(64, 0.5))

COLOURS = {
    5: np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1]], dtype=float),
}
"""Five landmarks are told apart by their colours; 68 are white."""

LAYOUT = np.array([[0.0, 0.0], [1.0, 0.05], [0.5, 0.5], [0.15, 1.0], [0.85, 0.95]])
"""Eyes, nose and mouth corners in the box of a face."""


class DotReader(Reader):
    """Black images, made in memory, with a bright Gaussian dot at each landmark of the scheme ``5`` (or ``68``).

    Attributes:
        decoded: names of the images in the order in which they were decoded.
        versions: image -> any number; another number, another file.
        missing: images that cannot be decoded.
    """

    def __init__(self, counts, *, scheme="5", face=(60.0, 120.0), faces_per_photo=1, attributes=(), seed=0):
        self.scheme = scheme
        self.decoded, self.versions, self.missing, self.lock = [], {}, set(), threading.Lock()
        self._faces = {}
        for number, (part, count) in enumerate(counts.items()):
            random = np.random.default_rng([seed, number])
            self._faces[part] = [self._face(part, i, face, faces_per_photo, attributes, random) for i in range(count)]
        self._by_photo = {}
        for each in itertools.chain.from_iterable(self._faces.values()):
            self._by_photo.setdefault(each.image, []).append(each)

    def _face(self, part, i, face, faces_per_photo, attributes, random):
        size = random.uniform(*face)
        small = self.scheme == "5"
        shape = LAYOUT + random.uniform(-0.05, 0.05, (5, 2)) if small else random.uniform(0, 1, (68, 2))
        corner = random.uniform(1.0, 1.5, 2) * face[1] + np.array([i % faces_per_photo * 3 * face[1], 0])
        points = corner + shape * size
        return Face(
            image=Path(f"{part}/{i // faces_per_photo:03d}.png"),
            landmarks=points,
            visibility=np.full(len(points), 2, np.uint8),
            box=np.concatenate([points.min(0), points.max(0)]),
            scheme=self.scheme,
            photo=f"{part}/{i // faces_per_photo:03d}",
            part=part,
            attributes=frozenset(attributes[i % len(attributes)]) if attributes else frozenset(),
        )

    def faces(self, parts):
        return [face for part in parts for face in self._faces[part]]

    def replace(self, part, i, face):
        """Put another face in place of one, in the same image."""
        old = self._faces[part][i]
        self._faces[part][i] = face
        row = self._by_photo[old.image]
        row[row.index(old)] = face

    def fingerprint(self, face):
        return f"{face.image}:{self.versions.get(face.image, 0)}"

    def pixels(self, image):
        with self.lock:
            self.decoded.append(image.as_posix())
        if image.as_posix() in self.missing:
            raise DataError(f"{image}: cannot be decoded")
        faces = self._by_photo[image]
        reach = max(float(face.landmarks.max() + 1.2 * np.ptp(face.landmarks)) for face in faces)
        picture = np.zeros((math.ceil(reach), math.ceil(reach), 3))
        for face in faces:
            sigma = 0.04 * float(np.ptp(face.landmarks, axis=0).max())
            colours = COLOURS.get(len(face.landmarks), np.ones((len(face.landmarks), 3)))
            for point, colour in zip(face.landmarks, colours, strict=True):
                draw_dot(picture, point, sigma, colour)
        return picture.clip(0, 255).round().astype(np.uint8)


def draw_dot(picture, point, sigma, colour):
    """Add a Gaussian dot of height 250 to an (H, W, 3) picture."""
    reach = math.ceil(5 * sigma)
    x0, y0 = (max(int(value) - reach, 0) for value in point)
    window = picture[y0 : int(point[1]) + reach + 2, x0 : int(point[0]) + reach + 2]
    y, x = np.mgrid[y0 : y0 + window.shape[0], x0 : x0 + window.shape[1]]
    squared = (x - point[0]) ** 2 + (y - point[1]) ** 2
    window += 250 * np.exp(-squared / (2 * sigma**2))[..., None] * np.asarray(colour)


def find_dot(image, near, radius):
    """Centroid (2,) and mean colour (C,) of the pixels within a radius of a point in a (C, H, W) picture."""
    image = (image if isinstance(image, torch.Tensor) else torch.from_numpy(np.array(image))).double()
    y, x = torch.meshgrid(*(torch.arange(side).double() for side in image.shape[1:]), indexing="ij")
    near = torch.as_tensor(near).double()
    centre = near
    for _ in range(3):  # the window follows the dot, so that a dot cut by it does not seem nearer than it is
        window = (x - centre[0]).square() + (y - centre[1]).square() <= radius**2
        mass = image.sum(0) * window
        if mass.sum() == 0:
            return torch.full((2,), torch.inf), image.new_zeros(len(image))
        centre = torch.stack([(mass * x).sum(), (mass * y).sum()]) / mass.sum()
    colour = (image * window).sum((1, 2))
    return centre, colour / colour.max()


@pytest.fixture(scope="session")
def dot_reader():
    return DotReader


@pytest.fixture
def dot_module(tmp_path):
    """Make a data module of dotted images: parts ``a`` and ``b`` to train, ``t`` to test."""

    def make(reader=None, *, stage=None, input=SPEC, **options):
        reader = reader or DotReader({"a": 16, "b": 8, "t": 12})
        options = {
            "name": "dots",
            "train_parts": ["a", "b"],
            "test_parts": ["t"],
            "scheme": "5",
            "validation": 0.25,
            "batch_size": 6,
            "num_workers": 0,
            "cache": tmp_path / "cache",
        } | options
        module = FaceDataModule(input, reader, **options)
        if stage:
            module.setup(stage)
        return module

    return make


@pytest.fixture(scope="session")
def stub_trainer():
    """What the data module asks of a trainer; ``device="cuda"`` makes batches as for a GPU, without one."""

    def make(*, device="cpu", training=False, testing=False, epoch=0, rank=0, world=1, accumulate=1):
        return SimpleNamespace(
            world_size=world,
            global_rank=rank,
            accumulate_grad_batches=accumulate,
            strategy=SimpleNamespace(root_device=torch.device(device)),
            state=SimpleNamespace(fn=None),
            training=training,
            testing=testing,
            current_epoch=epoch,
        )

    return make


@pytest.fixture(scope="session")
def dots():
    """``find_dot`` and the colours of the five landmarks."""
    return find_dot, torch.from_numpy(COLOURS[5])
