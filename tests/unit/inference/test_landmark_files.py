import errno
import json
import os
from contextlib import nullcontext
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from canthus.inference.landmark_files import LandmarkFile, face_entry, plain_json
from canthus.inference.predictor import LocatedFace

HEADER = {"model": "dan", "run": "zoo/dan", "scheme": "68"}


def face(**changes: object) -> LocatedFace:
    values = {"box": np.array([1.0, 2, 3, 4.00049]), "stages": np.arange(8.0).reshape(2, 2, 2), "scheme": "68"}
    return LocatedFace(**{"scores": None, "pose": None} | values | changes)  # type: ignore[arg-type]


def entries(number: int) -> tuple[Path, list[dict], list[dict]]:
    name = Path(f"fotos/größe {number}" + '"\n\\' * (number % 3) + os.fsdecode(b"\xe9") + ".jpg")
    return name, [face_entry(face())] * (number % 4), [{"box": [1, 2, 3, 4], "reason": "outside"}] * (number % 2)


def test_what_is_read_back(tmp_path: Path) -> None:
    with LandmarkFile(tmp_path / "new" / "landmarks.json", HEADER) as file:
        for number in range(9):
            file.add(*entries(number))
        file.skip(Path("broken.jpg"), 'not a "readable" image')
        file.skip_picture(entries(3)[0], "name too long")
        assert (file.located, file.faces, file.faces_skipped) == (9, sum(n % 4 for n in range(9)), 4)
    content = json.loads((tmp_path / "new" / "landmarks.json").read_text(encoding="ascii"))
    assert content.items() >= HEADER.items()
    assert content["complete"] is True
    assert content["skipped"] == {"broken.jpg": 'not a "readable" image'}
    assert content["without_picture"] == {str(entries(3)[0]): "name too long"}
    assert list(content["images"]) == [str(entries(n)[0]) for n in range(9)]
    assert content["images"][str(entries(6)[0])] == {
        "faces": [{"box": [1, 2, 3, 4], "landmarks": [[4, 5], [6, 7]]}] * 2
    }
    assert content["images"][str(entries(1)[0])]["skipped"] == [{"box": [1, 2, 3, 4], "reason": "outside"}]
    assert os.listdir(tmp_path / "new") == ["landmarks.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
def test_points_before_an_error_are_kept(error: type[BaseException], tmp_path: Path) -> None:
    def work() -> None:
        with LandmarkFile(tmp_path / "landmarks.json", HEADER) as file:
            file.add(*entries(1))
            raise error

    with pytest.raises(error):
        work()
    content = json.loads((tmp_path / "landmarks.json").read_text())
    assert (list(content["images"]), content["complete"]) == ([str(entries(1)[0])], False)


def test_nothing_done_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "landmarks.json").write_text("before")
    with pytest.raises(ValueError, match="early"), LandmarkFile(tmp_path / "landmarks.json", HEADER):
        raise ValueError("early")
    assert (tmp_path / "landmarks.json").read_text() == "before"
    assert os.listdir(tmp_path) == ["landmarks.json"]


class SmallDisk(FileIO):
    """A file on a disk with so much room."""

    room = 0

    def write(self, content) -> int:  # type: ignore[no-untyped-def, override]
        left = self.room - self.tell()
        if left <= 0 < len(content):
            raise OSError(errno.ENOSPC, "No space left on device", str(self.name))
        return super().write(bytes(content)[:left])


@pytest.mark.parametrize("room", [*range(0, 400, 7), *range(400, 2260, 61), 10**6])
def test_a_full_disk_keeps_every_image_that_had_room(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SmallDisk, "room", room)
    monkeypatch.setattr(Path, "open", lambda path, mode, buffering: SmallDisk(path, mode.replace("b", "")))
    done = 0
    enough = nullcontext() if room == 10**6 else pytest.raises(OSError, match="No space left")
    with enough, LandmarkFile(tmp_path / "landmarks.json", HEADER) as file:
        for number in range(12):
            file.skip(Path(f"{number}.jpg"), "broken") if number % 5 == 4 else file.add(*entries(number))
            done = number + 1
    monkeypatch.undo()
    if not done:
        assert os.listdir(tmp_path) == []
        return
    content = json.loads((tmp_path / "landmarks.json").read_text())
    assert (tmp_path / "landmarks.json").stat().st_size <= room
    assert len(content["images"]) + len(content["skipped"]) == done
    assert content["complete"] is (done == 12)


def test_room_for_reasons_does_not_take_time_squared(tmp_path: Path) -> None:
    """Writing the end anew for each of 20,000 reasons would take 20 GB; the file is written twice at most."""
    written = 0

    class Counting(LandmarkFile):
        def _write(self, place: int, content: bytes) -> None:
            nonlocal written
            written += len(content)
            super()._write(place, content)

    with Counting(tmp_path / "landmarks.json", HEADER) as file:
        for number in range(20_000):
            file.skip(Path(f"{number}.jpg"), "not a readable image")
    size = (tmp_path / "landmarks.json").stat().st_size
    assert len(json.loads((tmp_path / "landmarks.json").read_text())["skipped"]) == 20_000
    assert size <= written < 2.5 * size


def test_numbers_that_are_not_finite() -> None:
    assert not face(stages=np.array([[[1.0, 2], [np.nan, 3]]])).found
    assert not face(stages=np.array([[[1.0, 2], [np.inf, 3]]])).found
    assert face(stages=np.array([[[np.nan, 2], [1, 3]], [[1.0, 2], [1, 3]]])).found  # the last stage counts
    entry = face_entry(face(scores=np.array([0.5, np.nan]), pose=np.array([np.pi, np.inf, 0.0])))
    assert entry["scores"] == [0.5, None]
    assert entry["pose_degrees"] == {"yaw": 180.0, "pitch": None, "roll": 0.0}
    with pytest.raises(ValueError, match="JSON"):
        plain_json({"x": float("nan")})
