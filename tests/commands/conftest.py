"""Commands as a user runs them, in this process to save the start-up; one small trained run for all tests."""

import importlib
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

from canthus.data.readers import write_pts
from canthus.data.synthetic import Synthetic

PARTS_300W = {"afw": ".jpg", "helen/trainset": ".jpg", "lfpw/trainset": ".png", "helen/testset": ".jpg"}
PARTS_300W |= {"lfpw/testset": ".png", "ibug": ".jpg"}


def call(command: str, *arguments: object) -> int:
    """Run ``canthus-<command>``; returns the exit status."""
    module = importlib.import_module(f"canthus.{command}")
    os.environ.pop("HYDRA_FULL_ERROR", None)  # it asks for tracebacks instead of exit statuses
    before = sys.argv
    sys.argv = [f"canthus-{command}", *map(str, arguments)]
    GlobalHydra.instance().clear()
    try:
        module.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


@pytest.fixture(scope="session")
def run_command():
    return call


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """Run folder of a very small DAN, both stages trained for two epochs on synthetic faces."""
    folder = tmp_path_factory.mktemp("run") / "dan"
    status = call(
        "train", "data=synthetic", "trainer=cpu", "trainer.max_epochs=4", "model.width=0.05",
        "data.size=60", "data.resolution=128", "data.batch_size=12", "data.validation=0.25", f"paths.cache={cache}",
        "model.statistics_faces=32", f"hydra.run.dir={folder}",
    )  # fmt: skip
    assert status == 0
    return folder


@pytest.fixture(scope="session")
def small_300w(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree in the official layout with a few rendered faces in every part."""
    root = tmp_path_factory.mktemp("300w")
    source = Synthetic(size=60, resolution=128)
    faces = iter(source.faces(["train"]))
    for part, suffix in PARTS_300W.items():
        (root / part).mkdir(parents=True)
        for number in range(8):
            face = next(faces)
            stem = root / part / f"image_{number:04d}_1"
            cv2.imwrite(str(stem.with_suffix(suffix)), np.ascontiguousarray(source.pixels(face.image)[..., ::-1]))
            write_pts(stem.with_suffix(".pts"), face.landmarks)
    return root


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with three photographs, one of them in a subfolder."""
    source = Synthetic(size=20, resolution=128)
    folder = tmp_path / "photographs"
    (folder / "more").mkdir(parents=True)
    for name, face in zip(("a.jpg", "b.png", "more/a.jpg"), source.faces(["train"]), strict=False):
        cv2.imwrite(str(folder / name), np.ascontiguousarray(source.pixels(face.image)[..., ::-1]))
    return folder
