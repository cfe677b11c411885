from pathlib import Path

import cv2
import numpy as np
import pytest

from canthus.config import ConfigError
from canthus.live import FrameSource, TrackedFace, VideoFile, is_video
from canthus.live.pictures import annotated
from canthus.schemes import load_scheme
from tests.live.test_tracking import face


def write(path: Path, count: int = 6, size: tuple[int, int] = (64, 48)) -> None:
    with VideoFile(path, 10.0) as video:
        for number in range(count):
            frame = np.zeros((size[1], size[0], 3), np.uint8)
            frame[..., 0] = 40 * number  # red
            video.add(frame)


def test_frames_times_and_colours(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    with FrameSource(str(tmp_path / "a.mp4")) as source:
        assert (source.name, source.rate, source.size, source.frames) == ("a", 10.0, (64, 48), 6)
        frames = list(source)
    np.testing.assert_allclose([time for time, _ in frames], np.arange(6) / 10)
    red = [int(np.median(frame[..., 0])) for _, frame in frames]
    np.testing.assert_allclose(red, 40 * np.arange(6), atol=8)
    assert all(np.median(frame[..., 2]) < 12 for _, frame in frames)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nothing.mp4", "no such file"),
        ("text.mp4", "not a video that OpenCV can read"),
        ("camera:9", "no such camera"),
        ("camera:front", "camera:0 is the first"),
    ],
)
def test_bad_sources(source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("this is no video")
    assert is_video(source)
    with pytest.raises(ConfigError, match=words):
        FrameSource(source)


def test_photographs_are_no_videos() -> None:
    assert not any(is_video(name) for name in ("a.jpg", "folder", "photos/*.png", "b.PNG"))
    assert is_video("A.MOV")


def test_unwritable_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(OSError, match="could not be written"):
        write(tmp_path / "a.mp4", 1)


@pytest.mark.parametrize("size", [(320, 240), (97, 61)])
def test_every_frame_of_an_annotated_video_has_one_even_size(size: tuple[int, int]) -> None:
    frame, scheme = np.full((size[1], size[0], 3), 90, np.uint8), load_scheme("5")
    empty = annotated(frame, [], scheme, 2)
    shown = annotated(frame, [TrackedFace(0, face(40, 30, 40))], scheme, 2)
    assert empty.shape == shown.shape
    assert not any(side % 2 for side in shown.shape[:2])
    assert shown.shape[0] > size[1]
    assert (shown != empty)[: size[1]].any()  # the face
    assert (shown != empty)[size[1] + 1 :].any()  # its stages
    assert annotated(frame, [], scheme, 0).shape[0] in (size[1], size[1] + 1)
    assert cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY).std() > 0
