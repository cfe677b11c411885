import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from canthus.inference.video.loop import check_video_output
from canthus.inference.video.pictures import annotated
from canthus.inference.video.smoothing import OneEuro
from canthus.inference.video.tracking import TrackedFace, Tracker
from canthus.inference.video.video import FrameSource, VideoFile, is_video
from canthus.schemes import load_scheme
from canthus.utils.errors import ConfigError
from tests.helpers.films import with_times
from tests.unit.inference.video.test_tracking import face


def write(path: Path, count: int = 6, size: tuple[int, int] = (64, 48)) -> None:
    with VideoFile(path, 10.0) as video:
        for number in range(count):
            frame = np.zeros((size[1], size[0], 3), np.uint8)
            frame[..., 0] = 40 * (number % 6)  # red
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
        ("rtsp://user:secret@10.0.0.5:554/live?token=secret", r"source=rtsp://10.0.0.5:554/live: streams are not read"),
        ("http://10.0.0.5/a.mp4", r"source=http://10.0.0.5/a.mp4: streams are not read"),
    ],
)
def test_bad_sources(source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("this is no video")
    assert is_video(source)
    with pytest.raises(ConfigError, match=words) as error:
        FrameSource(source)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_images_are_no_videos() -> None:
    assert not any(is_video(name) for name in ("a.jpg", "folder", "photos/*.png", "b.PNG"))
    assert is_video("A.MOV")


def test_unwritable_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.mp4"):
        write(tmp_path / "a.mp4", 1)
    assert os.listdir(tmp_path) == ["a.mp4"]


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


STEPS = [40] * 8 + [160, 160, 40, 1000]
"""Milliseconds from frame to frame."""


def test_times_of_a_variable_rate_are_those_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", len(STEPS))
    with_times(tmp_path / "a.mp4", STEPS)
    with FrameSource(str(tmp_path / "a.mp4")) as source:
        times = [time for time, _ in source]
    np.testing.assert_allclose(times, np.cumsum([0, *STEPS[:-1]]) / 1000, atol=1e-3)


def test_smoothing_goes_by_the_times_of_the_file(tmp_path: Path) -> None:
    """Points that move evenly in true time are equally fast everywhere, though not from frame to frame."""
    write(tmp_path / "a.mp4", len(STEPS))
    with_times(tmp_path / "a.mp4", STEPS)
    tracker = Tracker(lambda: OneEuro(1.0, 0.0))
    with FrameSource(str(tmp_path / "a.mp4")) as source:
        times = [time for time, _ in source]
        places = [tracker.update([face(100 * t, 0, 40)], t, detected=True)[0].face.landmarks[0, 0] for t in times]
    own = OneEuro(1.0, 0.0)
    true = np.cumsum([0, *STEPS[:-1]]) / 1000
    start = face(0, 0, 40).landmarks[0, 0]
    expected = [own(np.array([[start + 100 * t, 0.0]]), t)[0, 0] for t in true]
    np.testing.assert_allclose(places, expected, atol=0.1)


class Capture:
    """A stand-in for OpenCV's: frames and the times that it tells, None for a frame that cannot be decoded."""

    def __init__(self, times: list[float | None], sizes: list[tuple[int, int]] | None = None, named: int = 0) -> None:
        self.times, self.named, self.place = times, named, -1
        self.sizes = sizes or [(64, 48)] * len(times)

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.place += 1
        if self.place >= len(self.times) or self.times[self.place] is None:
            return False, None
        return True, np.full((*self.sizes[self.place][::-1], 3), 10 * self.place, np.uint8)

    def get(self, what: int) -> float:
        told = {cv2.CAP_PROP_FPS: 10.0, cv2.CAP_PROP_FRAME_COUNT: self.named or len(self.times)}
        return told[what] if what in told else float(self.times[self.place] or 0.0)

    def release(self) -> None:
        pass


def through(capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, np.ndarray]]:
    (tmp_path / "a.mp4").touch()
    monkeypatch.setattr(cv2, "VideoCapture", lambda name: capture)
    with FrameSource(str(tmp_path / "a.mp4")) as source:
        return list(source)


@pytest.mark.parametrize(
    ("told", "times"),
    [
        ([0, 0, 0, 0], [0, 0.1, 0.2, 0.3]),  # a reader that does not know times
        ([-1, -1, -1], [0, 0.1, 0.2]),
        ([float("nan")] * 3, [0, 0.1, 0.2]),
        ([0, 50, 50, 40, 300], [0, 0.05, 0.15, 0.25, 0.3]),  # times that stand still or go back
        ([40, 80, float("inf"), 200], [0.04, 0.08, 0.18, 0.2]),
    ],
)
def test_times_always_rise(told: list[float], times: list[float], tmp_path: Path, monkeypatch) -> None:
    frames = through(Capture(list(told)), tmp_path, monkeypatch)
    np.testing.assert_allclose([time for time, _ in frames], times)


def test_a_film_goes_on_behind_damaged_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = Capture([None, 100, 200, None, None, 500, 600])
    frames = through(capture, tmp_path, monkeypatch)
    np.testing.assert_allclose([time for time, _ in frames], [0.1, 0.2, 0.5, 0.6])
    assert [int(frame.mean()) for _, frame in frames] == [10, 20, 50, 60]


def test_a_film_that_names_too_many_frames_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = Capture([0, 100, 200], named=10**9)
    assert len(through(capture, tmp_path, monkeypatch)) == 3
    assert capture.place < 1000


def test_frames_of_another_size_are_brought_to_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = through(Capture([0, 100, 200], [(64, 48), (128, 96), (32, 24)]), tmp_path, monkeypatch)
    assert [frame.shape for _, frame in frames] == [(48, 64, 3)] * 3
    assert [int(frame.mean()) for _, frame in frames] == [0, 10, 20]


def test_cut_and_damaged_films(tmp_path: Path) -> None:
    """Real files: bytes cut, zeroed and flipped. What is read has rising times; a film without an index is named."""
    random = np.random.default_rng(0)
    for suffix, codec in (("avi", "MJPG"), ("mp4", "mp4v")):
        path = tmp_path / f"a.{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, (64, 48))
        for _ in range(20):
            writer.write(random.integers(0, 255, (48, 64, 3), dtype=np.uint8))
        writer.release()
        whole = path.read_bytes()
        third, half = len(whole) // 3, len(whole) // 2
        flipped = bytearray(whole)
        for place in random.integers(third, 2 * third, 50):
            flipped[place] ^= 255
        for damaged, least in (
            (whole[:half], 5),
            (whole[:third] + bytes(half - third) + whole[half:], 12),
            (flipped, 12),
        ):
            path.write_bytes(damaged)
            if suffix == "mp4" and len(damaged) < len(whole):  # the index is at the end
                with pytest.raises(ConfigError, match="not a video that OpenCV can read"):
                    FrameSource(str(path))
                continue
            with FrameSource(str(path)) as source:
                times = [time for time, _ in source]
            assert source.frames == 20
            assert least <= len(times) <= 20
            assert (np.diff(times) > 0).all()
            assert path.read_bytes() == damaged


def test_file_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"films \xe9")
    folder.mkdir()
    path = folder / os.fsdecode(b"gr\xfc\xdfe.mp4")
    write(path, 3)
    assert os.listdir(folder) == [path.name]
    with FrameSource(str(path)) as source:
        assert len(list(source)) == 3
        assert source.name == path.stem


def test_a_video_takes_its_place_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.mp4", 3)
    before = (tmp_path / "a.mp4").read_bytes()

    def interrupted() -> None:
        with VideoFile(tmp_path / "a.mp4", 10.0) as video:
            for _ in range(5):
                video.add(np.zeros((48, 64, 3), np.uint8))
                assert (tmp_path / "a.mp4").read_bytes() == before
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with FrameSource(str(tmp_path / "a.mp4")) as source:
        assert source.frames == 5
    # OpenCV does not say that the disk is full: its file then has no index, or fewer frames
    after = (tmp_path / "a.mp4").read_bytes()
    monkeypatch.setattr(cv2, "VideoWriter", CutWriter)
    with pytest.raises(OSError, match="0 of 6 frames were written"):
        write(tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == after
    assert os.listdir(tmp_path) == ["a.mp4"]


class CutWriter:
    """OpenCV's writer on a disk that is full in the end."""

    fourcc, own = cv2.VideoWriter.fourcc, cv2.VideoWriter

    def __init__(self, name: str, *settings: object) -> None:
        self.file, self.writer = Path(name), self.own(name, *settings)

    def isOpened(self) -> bool:
        return self.writer.isOpened()

    def write(self, frame: np.ndarray) -> None:
        self.writer.write(frame)

    def release(self) -> None:
        self.writer.release()
        self.file.write_bytes(self.file.read_bytes()[:-200])


def test_which_files_a_prediction_may_replace(tmp_path: Path) -> None:
    out, films = tmp_path / "out", tmp_path / "films"
    out.mkdir()
    films.mkdir()
    for name in ("a.mp4", "a.avi", "b.mp4"):
        (films / name).write_text("film")
    names = [path.name for path in check_video_output(out, str(films / "a.avi"), draw=True)]
    assert names == ["landmarks.jsonl", "video.json", "a.mp4"]
    assert check_video_output(tmp_path / "new", "camera:0", draw=True)[-1].name == "camera_0.mp4"
    with pytest.raises(ConfigError, match=r"holds a a\.mp4 that is no prediction"):
        check_video_output(films, str(films / "a.avi"), draw=True)
    check_video_output(films, str(films / "a.avi"), draw=False)
    (out / "video.json").write_text('{"source": "%s"}' % (films / "a.avi"))
    (out / "a.mp4").write_text("annotated")
    check_video_output(out, str(films / ".." / "films" / "a.avi"), draw=True)  # again
    for other in (films / "a.mp4", films / "b.mp4", "camera:0"):
        with pytest.raises(ConfigError, match=r"holds the prediction of .*a\.avi; name another folder"):
            check_video_output(out, str(other), draw=True)
