"""canthus-predict on a video."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from canthus.data.synthetic import Synthetic
from canthus.inference.predictor import LocatedFace, Predictor
from canthus.inference.video.video import FrameSource, VideoFile
from tests.helpers.films import with_times


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that moves to the right by two pixels a frame."""
    path = tmp_path_factory.mktemp("video") / "face.mp4"
    source = Synthetic(size=1, resolution=128)
    picture = source.pixels(source.faces(["train"])[0].image)
    with VideoFile(path, 10.0) as file:
        for number in range(7):
            frame = np.zeros((140, 160, 3), np.uint8)
            frame[6:134, 2 * number : 128 + 2 * number] = picture
            file.add(frame)
    return path


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "landmarks.jsonl").read_text().splitlines()]


def test_every_frame(trained: Path, run_command, video: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert run_command("predict", f"run={trained}", f"source={video}", f"output={output}", "box_margin=0.1") == 0
    frames = lines(output)
    assert [frame["frame"] for frame in frames] == list(range(7))
    np.testing.assert_allclose([frame["time"] for frame in frames], np.arange(7) / 10)
    for frame in frames:
        (face,) = frame["faces"]
        assert face["track"] == 0
        assert np.array(face["landmarks"]).shape == (68, 2)
        np.testing.assert_allclose(face["box"], [15.9, 13.9, 143.1, 125.1])
    summary = json.loads((output / "video.json").read_text())
    assert (summary["frames"], summary["faces"], summary["scheme"], summary["size"]) == (7, 7, "68", [160, 140])
    with FrameSource(str(output / "face.mp4")) as annotated:
        assert annotated.frames == 7
        assert annotated.size[0] == 160
        assert annotated.size[1] > 140  # the stages are below


def test_followed_from_the_boxes_of_the_first_frame(trained: Path, run_command, video: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("image,x1,y1,x2,y2\nface.mp4,20,26,108,114\n")
    words = [f"run={trained}", f"source={video}", f"boxes={tmp_path / 'boxes.csv'}", "overlays=false"]
    assert run_command("predict", *words, f"output={tmp_path / 'a'}", "video.detect_every=null", "video.frames=4") == 0
    frames = lines(tmp_path / "a")
    assert len(frames) == 4
    np.testing.assert_allclose(frames[0]["faces"][0]["box"], [20, 26, 108, 114])
    assert frames[2]["faces"][0]["box"] != frames[0]["faces"][0]["box"]  # from the points of frame 1
    assert not (tmp_path / "a" / "face.mp4").exists()
    smooth = [f"output={tmp_path / 'b'}", "video.detect_every=null", "video.smoothing=true", "video.frames=4"]
    assert run_command("predict", *words, *smooth) == 0
    raw, calm = (np.array([each["faces"][0]["landmarks"] for each in lines(tmp_path / name)]) for name in "ab")
    np.testing.assert_allclose(calm[0], raw[0])
    assert np.abs(np.diff(calm, axis=0)).mean() < np.abs(np.diff(raw, axis=0)).mean()


def test_mistakes(trained: Path, run_command, video: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "boxes.csv").write_text("image,x1,y1,x2,y2\nface.mp4,20,26,108,114\n")
    (tmp_path / "far.csv").write_text("image,x1,y1,x2,y2\nface.mp4,5000,5000,5100,5100\n")
    (tmp_path / "others.csv").write_text("image,x1,y1,x2,y2\nother.mp4,20,26,108,114\n")
    words = [f"run={trained}", f"output={tmp_path / 'out'}"]
    for more, message in (
        ([f"source={tmp_path / 'text.mp4'}"], "not a video that OpenCV can read"),
        (["source=camera:97"], "no such camera"),
        ([f"source={video}", "video.detect_every=0"], "video.detect_every=0: at least 1"),
        ([f"source={video}", "video.cutoff=0"], "cutoff=0"),
        ([f"source={video}", f"boxes={tmp_path / 'boxes.csv'}"], "video.detect_every=null"),
        ([f"source={video}", f"boxes={tmp_path / 'others.csv'}", "video.detect_every=null"], "has no box for"),
        ([f"source={video}", f"boxes={tmp_path / 'far.csv'}", "video.detect_every=null"], "lies outside the 160x140"),
    ):
        assert run_command("predict", *words, *more) == 2, more
        assert message in "".join(capsys.readouterr()), more


def test_what_was_done_before_ctrl_c_is_kept(trained: Path, run_command, video: Path, tmp_path: Path, monkeypatch):
    frames = FrameSource.__iter__

    def interrupted(self: FrameSource):
        for number, frame in enumerate(frames(self)):
            if number == 3:
                raise KeyboardInterrupt
            yield frame

    monkeypatch.setattr(FrameSource, "__iter__", interrupted)
    assert run_command("predict", f"run={trained}", f"source={video}", f"output={tmp_path / 'out'}") == 0
    assert len(lines(tmp_path / "out")) == 3
    assert json.loads((tmp_path / "out" / "video.json").read_text())["frames"] == 3


def test_a_film_of_variable_rate_without_a_utf8_name(trained: Path, run_command, video: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"film\xe9")
    folder.mkdir()
    film = folder / os.fsdecode(b"f\xe4ce.mp4")
    shutil.copy(video, film)
    steps = [40, 40, 160, 160, 40, 1000, 40]
    with_times(film, steps)
    before = film.read_bytes()
    (tmp_path / "film.mp4").symlink_to(film)  # Hydra's records are not for such names
    output = tmp_path / "out"
    assert run_command("predict", f"run={trained}", f"source={tmp_path / 'film.mp4'}", f"output={output}") == 0
    np.testing.assert_allclose(
        [frame["time"] for frame in lines(output)], np.cumsum([0, *steps[:-1]]) / 1000, atol=1e-3
    )
    assert film.read_bytes() == before
    summary = json.loads((output / "video.json").read_text())
    assert summary["complete"]
    assert summary["frames_of_source"] == 7


def test_points_that_are_not_finite(trained, run_command, video, tmp_path, monkeypatch, capsys) -> None:
    own, calls = Predictor.__call__, 0

    def diverged(self: Predictor, pixels: np.ndarray, boxes: np.ndarray) -> list[LocatedFace]:
        nonlocal calls
        calls += 1
        return [
            replace(face, stages=face.stages * (np.nan if calls == 3 else 1.0)) for face in own(self, pixels, boxes)
        ]

    monkeypatch.setattr(Predictor, "__call__", diverged)
    words = [f"run={trained}", f"source={video}", "video.smoothing=true", "box_margin=0.1"]
    assert run_command("predict", *words, f"output={tmp_path / 'out'}") == 0
    text = (tmp_path / "out" / "landmarks.jsonl").read_text()
    assert "NaN" not in text
    assert [len(frame["faces"]) for frame in lines(tmp_path / "out")] == [1, 1, 0, 1, 1, 1, 1]
    summary = json.loads((tmp_path / "out" / "video.json").read_text())
    assert (summary["faces"], summary["faces_without_points"]) == (6, 1)
    assert "the points of 1 faces are not finite numbers" in "".join(capsys.readouterr())


def test_an_error_in_the_middle_keeps_the_frames_before(trained, run_command, video, tmp_path, monkeypatch) -> None:
    own, calls = Predictor.__call__, 0

    def failing(self: Predictor, pixels: np.ndarray, boxes: np.ndarray) -> list[LocatedFace]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return own(self, pixels, boxes)

    monkeypatch.setattr(Predictor, "__call__", failing)
    assert run_command("predict", f"run={trained}", f"source={video}", f"output={tmp_path / 'out'}") == 1
    assert len(lines(tmp_path / "out")) == 3
    summary = json.loads((tmp_path / "out" / "video.json").read_text())
    assert (summary["frames"], summary["complete"]) == (3, False)
    with FrameSource(str(tmp_path / "out" / "face.mp4")) as film:
        assert film.frames == 3
