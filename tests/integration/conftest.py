"""Commands as a user runs them, in this process to save the start-up; one small trained run for all tests."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra

from canthus.data.readers import read_pts, write_pts
from canthus.data.synthetic import Synthetic

PARTS_300W = {"afw": ".jpg", "helen/trainset": ".jpg", "lfpw/trainset": ".png", "helen/testset": ".jpg"}
PARTS_300W |= {"lfpw/testset": ".png", "ibug": ".jpg"}


def call(command: str, *arguments: object) -> int:
    """Run ``canthus-<command>``; returns the exit status."""
    module = importlib.import_module(f"canthus.commands.{command}")
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


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's own cache: evaluations of a run use it, whatever cache the run had."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["CANTHUS_CACHE"] = str(folder)
    return folder


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


@pytest.fixture(scope="session")
def small_wider(small_300w: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WIDER FACE with a few of the same images, the first without a face."""
    root = tmp_path_factory.mktemp("wider")
    lines = []
    for number, label in enumerate(sorted((small_300w / "helen/trainset").glob("*.pts"))):
        name = f"0--Parade/{number}.jpg"
        target = root / "WIDER_train/images" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(label.with_suffix(".jpg"), target)
        points = read_pts(label)
        low, size = points.min(0), points.max(0) - points.min(0)
        box = " ".join(str(round(value)) for value in (*low, *size))
        lines += [name, "1", f"{box} 0 0 0 0 0 0"] if number else [name, "0", " ".join("0" * 10)]
    (root / "wider_face_split").mkdir()
    (root / "wider_face_split/wider_face_train_bbx_gt.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with three images, one of them in a subfolder."""
    source = Synthetic(size=20, resolution=128)
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for name, face in zip(("a.jpg", "b.png", "more/a.jpg"), source.faces(["train"]), strict=False):
        cv2.imwrite(str(folder / name), np.ascontiguousarray(source.pixels(face.image)[..., ::-1]))
    return folder


@pytest.fixture
def small_disk(tmp_path: Path):
    """Mount a disk of so many kilobytes, again in place of the one before if called again."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(kilobytes: int, *more: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={kilobytes}k", *more]), "tmpfs", str(place)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"mounting a small disk is not permitted here: {error}")
        return place

    yield mount
    subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)
