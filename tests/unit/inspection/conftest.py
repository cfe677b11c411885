"""Rendered faces, some of them spoiled on purpose."""

from dataclasses import replace

import numpy as np
import pytest

from canthus.data.face import Reader
from canthus.data.synthetic import Synthetic
from canthus.inspection import inspect
from canthus.inspection.collection import Collection
from canthus.utils.errors import DataError

SOURCE = Synthetic(size=160, resolution=96, difficulty="easy")
FACES = SOURCE.faces(["train"])
PICTURES = {}


class Spoiled(Reader):
    """Parts of rendered faces, in which tests replace labels and pictures."""

    def __init__(self, train=150, test=10):
        self.scheme = "68"
        self.parts = {"train": list(FACES[:train]), "test": list(FACES[train : train + test])}
        self.pictures, self.broken = {}, set()

    def faces(self, parts):
        return [replace(face, part=part) for part in parts for face in self.parts[part]]

    def pixels(self, image):
        if image in self.broken:
            raise DataError(f"{image}: not a readable image")
        if image not in PICTURES:
            PICTURES[image] = SOURCE.pixels(image)
        return self.pictures.get(image, PICTURES[image])

    def change(self, i, part="train", **fields):
        """Replace fields of face i, each by a value or by a function of the old one."""
        face = self.parts[part][i]
        self.parts[part][i] = replace(
            face, **{key: value(getattr(face, key)) if callable(value) else value for key, value in fields.items()}
        )
        return self.parts[part][i]

    def collection(self, **options):
        return Collection.read(self, ["train"], ["test"], **options)

    def findings(self, kind=None, limits=None, **options):
        """Findings, of one kind or all, as (face, value)."""
        found = inspect(self.collection(**options), limits)
        return [finding for finding in found if kind in (None, finding.kind)]


@pytest.fixture
def reader():
    return Spoiled()


@pytest.fixture(scope="session")
def tight():
    def tight(points):
        return np.concatenate([points.min(0), points.max(0)])

    return tight
