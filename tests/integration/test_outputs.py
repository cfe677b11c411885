"""Outputs that would land on inputs: refused with status 2, and not a byte anywhere is another afterwards."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from canthus.inference.video.video import VideoFile


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """Every file, link and folder below a folder."""
    return {
        str(path.relative_to(folder)): (
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        )
        for path in folder.rglob("*")
    }


@pytest.fixture
def place(trained: Path, images: Path, tmp_path: Path) -> Path:
    """Copies of a run, images and a film; links to them; an evaluation and a csv data set, as far as names go."""
    root = tmp_path / "place"
    shutil.copytree(trained, root / "run")
    shutil.copytree(images, root / "photos")
    (root / "films").mkdir()
    with VideoFile(root / "films" / "a.mp4", 10.0) as film:
        for _ in range(3):
            film.add(np.full((48, 64, 3), 90, np.uint8))
    shutil.copy(root / "films" / "a.mp4", root / "films" / "a.avi")  # OpenCV goes by the content
    (root / "boxes").mkdir()
    (root / "boxes" / "landmarks.json").write_text('{"a.jpg": [[10, 10, 100, 100]]}')
    (root / "evaluation").mkdir()
    for name in ("metrics.json", "predictions.csv", "summary.md"):
        (root / "evaluation" / name).write_text("kept")
    (root / "set").mkdir()
    (root / "set" / "labels.csv").write_text("image,x0,y0\n")
    for name in ("photos", "films", "run", "set"):
        (root / f"to_{name}").symlink_to(root / name, target_is_directory=True)
    (root / "out").mkdir()
    (root / "out" / "a.mp4").hardlink_to(root / "films" / "a.mp4")
    return root


CSV = "data=csv data.root={0}/set data.label_scheme=68 data.test_parts=[labels.csv]"
PREDICT, FILM = "predict run={0}/run source={0}/photos", "predict run={0}/run source={0}/films/a"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (f"{PREDICT} output={{0}}/photos", "would lie inside source="),
        (f"{PREDICT} output={{0}}/to_photos/new", "would lie inside source="),
        ("predict run={0}/run source={0}/to_photos output={0}/photos/more/..", "would lie inside source="),
        (f"{PREDICT} output={{0}}/run", "is run={0}/run itself"),
        (f"{PREDICT} output={{0}}/to_run", "is run={0}/run itself"),
        (f"{PREDICT} output={{0}}/boxes boxes={{0}}/boxes/landmarks.json", "landmarks.json, which is the same file"),
        (f"{FILM}.mp4 output={{0}}/films", "a.mp4, which is the same file"),
        (f"{FILM}.mp4 output={{0}}/out", "a.mp4, which is the same file"),  # a hard link
        (f"{FILM}.avi output={{0}}/films", "holds a a.mp4 that is no prediction"),
        (
            "predict run={0}/run source=rtsp://me:secret@cam/1 output={0}/new",
            "source=rtsp://cam/1: streams are not read",
        ),
        ("evaluate run={0}/run output={0}/run", "is run={0}/run itself, whose records would be lost"),
        ("evaluate run={0}/run output={0}/evaluation compare={0}/evaluation", "is compare={0}/evaluation itself"),
        (f"evaluate run={{0}}/run output={{0}}/set {CSV}", "is data={0}/set itself"),
        (f"evaluate run=zoo/dan output={{0}}/run {CSV}", "is the folder of a training"),
        (f"evaluate predictions={{0}}/evaluation/predictions.csv output={{0}}/evaluation {CSV}", "holds predictions="),
        (f"evaluate study=alignment runs=[{{0}}/run] output={{0}}/to_run {CSV}", "is runs={0}/run itself"),
        (f"data output={{0}}/set {CSV}", "is data={0}/set itself"),
        (f"data output={{0}}/evaluation beside=[{{0}}/evaluation] {CSV}", "is beside={0}/evaluation itself"),
        ("report runs={0}/evaluation output={0}/evaluation/summary.html", "summary.md would be written over"),
        ("export run={0}/run format=onnx output={0}/run/checkpoints/best.ckpt", "best.ckpt, which is the same file"),
    ],
)
def test_refused(command: str, words: str, place: Path, run_command, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(place)
    name, *arguments = command.format(place).split()
    assert run_command(name, *arguments, "hydra.job_logging.root.handlers=[console]") == 2
    told = "".join(capsys.readouterr())
    assert words.format(place) in told
    assert "Traceback" not in told
    assert "secret" not in told
    assert contents(place) == before


def test_a_second_run_takes_no_picture_of_the_first(place: Path, run_command, capsys) -> None:
    words = [f"run={place}/run", f"source='{place}/p*/*.[jp]*g'", f"output={place}"]
    assert run_command("predict", *words) == 0
    assert len(list((place / "overlays").rglob("*.jpg"))) == 2
    before = contents(place / "overlays")
    assert run_command("predict", f"run={place}/run", f"source='{place}/**/*.jpg'", f"output={place}") == 2
    assert "is a picture that canthus-predict drew" in "".join(capsys.readouterr())
    assert run_command("predict", *words) == 0  # does not reach into the pictures
    assert contents(place / "overlays") == before
    assert contents(place / "photos").keys() == {"a.jpg", "b.png", "more", "more/a.jpg"}


def test_points_alone_may_lie_beside_the_images(place: Path, run_command) -> None:
    before = contents(place / "photos")
    arguments = [f"run={place}/run", f"source={place}/photos", f"output={place}/photos", "overlays=false"]
    assert [run_command("predict", *arguments) for _ in range(2)] == [0, 0]
    after = contents(place / "photos")
    assert before.items() <= after.items()
    assert not [name for name in after.keys() - before.keys() if name.endswith((".jpg", ".png"))]
