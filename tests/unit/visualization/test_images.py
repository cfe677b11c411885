import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from canthus.visualization.figures import save_figure
from canthus.visualization.images import PictureError, encoded, save_picture
from tests.helpers.places import SOURCE


def picture() -> np.ndarray:
    pixels = np.zeros((6, 5, 3), np.uint8)
    pixels[..., 0] = 200  # red
    pixels[2] = (10, 20, 30)
    return pixels


def decoded(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("name", ["a.png", "größe Æ 顔.png", os.fsdecode(b"latin\xe9 \xff.png"), "a[b]*?.png"])
def test_any_file_name(name: str, tmp_path: Path) -> None:
    save_picture(tmp_path / "new" / name, picture())
    np.testing.assert_array_equal(decoded(tmp_path / "new" / name), picture())
    assert os.listdir(tmp_path / "new") == [name]  # nothing is left beside it


def test_quality_of_a_jpeg() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert len(encoded(noise, ".jpg", quality=30)) < len(encoded(noise, ".jpg", quality=90)) / 2


@pytest.mark.parametrize(("shape", "suffix"), [((70_000, 2, 3), ".jpg"), ((4, 4, 3), ".xyz"), ((0, 4, 3), ".png")])
def test_what_a_format_cannot_hold(shape: tuple[int, ...], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(PictureError, match="a picture of shape"):
        save_picture(path, np.zeros(shape, np.uint8))
    assert path.read_bytes() == b"before"


def test_a_full_disk_leaves_the_picture_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, content: bytes) -> int:
        path.open("wb").write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    save_picture(tmp_path / "a.png", picture())
    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match="No space left"):
        save_picture(tmp_path / "a.png", picture())
    with pytest.raises(OSError, match="No space left"):
        save_figure(tmp_path / "a.png", Figure())
    np.testing.assert_array_equal(decoded(tmp_path / "a.png"), picture())
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_figure(tmp_path: Path) -> None:
    name = os.fsdecode(b"figure \xe9.png")
    save_figure(tmp_path / name, Figure(figsize=(1, 2), dpi=50))
    assert decoded(tmp_path / name).shape == (100, 50, 3)


def test_nothing_else_writes_pictures() -> None:
    """OpenCV's own writer ends the process on some file names; a figure would leave half a file on a full disk."""
    assert SOURCE.is_dir()
    writers = [
        path.name
        for path in SOURCE.rglob("*.py")
        if any(
            word in path.read_text(encoding="utf-8").replace("class Figure(", "")
            for word in ("imwrite(", ".savefig(", "Figure(", "pyplot")
        )
    ]
    assert writers == ["figures.py"]
