"""A run knows the faces that it was trained on: on resume, in evaluations of grown or otherwise divided data."""

import csv
import gzip
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from canthus.data.remembered import FaceList
from canthus.data.synthetic import Synthetic

SETTINGS = [
    "data=csv", "model=dan", "trainer=cpu", "model.width=0.05", "data.batch_size=4", "data.validation=0.25",
    "model.statistics_faces=16", "data.max_broken=0", "data.augmentation=null", "callbacks.overlays=null",
]  # fmt: skip
DRAWN = "data.validation_rule=draw"


def write_labels(root: Path, numbers: range, moved: dict[int, float] | None = None) -> None:
    """``train.csv`` of some rendered faces, points of some of them moved by so many pixels."""
    rows = []
    source = Synthetic(size=40, resolution=128)
    for number, face in enumerate(source.faces(["train"])):
        if number not in numbers:
            continue
        path = root / f"{number:02d}.png"
        if not path.exists():
            cv2.imwrite(str(path), np.ascontiguousarray(source.pixels(face.image)[..., ::-1]))
        points = face.landmarks + (moved or {}).get(number, 0.0)
        rows.append([path.name, *points.round(3).reshape(-1)])
    header = ["image", *(f"{axis}{k}" for k in range(68) for axis in "xy")]
    with (root / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("own")
    write_labels(root, range(24))
    return root


@pytest.fixture(scope="module")
def base(run_command, data: Path, cache: Path, tmp_path_factory) -> Path:
    """A run of two epochs on 24 images, 6 of them held out, by the rule of published sets."""
    folder = tmp_path_factory.mktemp("base") / "run"
    words = [f"data.root={data}", DRAWN, "trainer.max_epochs=2", f"paths.cache={cache}", f"hydra.run.dir={folder}"]
    assert run_command("train", *SETTINGS, *words) == 0
    return folder


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "run"))


@pytest.fixture
def root(data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data, tmp_path / "own"))


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def evaluated(folder: Path) -> set[str]:
    with (folder / "predictions.csv").open() as file:
        return {Path(row["image"]).name for row in csv.DictReader(file)}


def names(run: Path, split: str) -> set[str]:
    faces = FaceList.read(run / "faces.json.gz")
    assert faces is not None
    return {one.image for one in faces.entries[f"{split}_faces"]}


def told(folder: Path) -> str:
    """What a command wrote into its log."""
    return "".join(path.read_text() for path in folder.rglob("*.log"))


def evaluate(run_command, run: Path, output: Path, *words: str) -> int:
    return run_command("evaluate", f"run={run}", f"output={output}", "overlays=0", *words)


def test_a_run_keeps_the_names_of_both_sides(base: Path) -> None:
    assert len(names(base, "train")) == 18
    assert len(names(base, "val")) == 6
    assert names(base, "val") == evaluated(base)
    assert not names(base, "val") & names(base, "train")
    assert metrics(base)["trained_on"] == 0


def test_a_file_of_faces_names_no_folder(base: Path, data: Path) -> None:
    assert str(data.parent) not in gzip.decompress((base / "faces.json.gz").read_bytes()).decode()


@pytest.mark.parametrize(
    ("word", "trained_on", "count"), [("data.validation=0.5", 6, 12), ("data.validation_seed=7", 4, 6)]
)
def test_another_split_of_the_runs_data_is_refused(
    word: str, trained_on: int, count: int, run: Path, run_command, tmp_path: Path, capsys
) -> None:
    status = evaluate(run_command, run, tmp_path / "out", word)
    message = told(tmp_path / "out")
    assert status == 2
    assert f"{trained_on} of the {count} faces to evaluate" in message
    assert "allow_trained_on=true" in message
    assert not (tmp_path / "out/metrics.json").exists()
    assert evaluate(run_command, run, tmp_path / "out", word, "allow_trained_on=true") == 0
    assert metrics(tmp_path / "out")["trained_on"] == trained_on
    warning = f"{trained_on} of the {count} evaluated faces were trained on"
    assert warning in capsys.readouterr().out
    summary = (tmp_path / "out/summary.md").read_text()
    assert warning in summary
    assert "held" not in summary


def test_a_grown_data_set_keeps_what_was_held_out(run: Path, root: Path, run_command, tmp_path: Path) -> None:
    write_labels(root, range(28))
    assert evaluate(run_command, run, tmp_path / "out", f"data.root={root}") == 0
    assert evaluated(tmp_path / "out") == names(run, "val")
    assert metrics(tmp_path / "out")["trained_on"] == 0
    assert metrics(tmp_path / "out")["subsets"]["full"]["nme"] == pytest.approx(metrics(run)["subsets"]["full"]["nme"])


def test_images_under_other_names_are_known(run: Path, data: Path, run_command, cache, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with (data / "train.csv").open() as file:
        header, *rows = csv.reader(file)
    for row in rows[:10]:
        shutil.copy(data / row[0], other / f"x{row[0]}")
    with (other / "test.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *([f"x{row[0]}", *row[1:]] for row in rows[:10])])
    words = ["data=csv", f"data.root={other}", "data.name=renamed", f"paths.cache={cache}"]
    assert evaluate(run_command, run, tmp_path / "out", *words) == 0
    expected = len(names(run, "train") & {row[0] for row in rows[:10]})
    assert 0 < expected < 10
    assert metrics(tmp_path / "out")["trained_on"] == expected


def test_a_run_without_the_file_is_known_by_its_settings(run: Path, root: Path, run_command, tmp_path: Path) -> None:
    (run / "faces.json.gz").unlink()
    assert evaluate(run_command, run, tmp_path / "same") == 0
    assert "trained_on" not in metrics(tmp_path / "same")
    assert evaluate(run_command, run, tmp_path / "out", "data.validation=0.5") == 2
    assert "6 of the 12 faces" in told(tmp_path / "out")
    shutil.copy(root / "train.csv", root / "test.csv")
    (root / "train.csv").unlink()
    words = [f"data.root={root}", "split=test", "data.validation_seed=7"]
    assert evaluate(run_command, run, tmp_path / "test", *words) == 0
    assert "trained_on" not in metrics(tmp_path / "test")


def resume(run_command, run: Path, *words: str) -> int:
    return run_command("train", f"resume={run}", "trainer.max_epochs=3", *words)


@pytest.mark.parametrize(
    ("numbers", "moved", "words"),
    [
        (range(24), {3: 5.0, 4: 5.0}, "labelled otherwise (03.png, 04.png)"),
        (range(12), {}, "10 of 18 training faces are gone ("),
        (range(28), {}, "4 faces are new (24.png, 25.png, 26.png and 1 more)"),
    ],
)
def test_resume_refuses_other_data(numbers, moved, words, run: Path, root: Path, run_command) -> None:
    write_labels(root, numbers, moved)
    assert resume(run_command, run, f"data.root={root}") == 2
    message = told(run)
    assert words in message
    assert "allow_changed_data=true" in message


def test_resume_goes_on_where_that_is_asked_for(run: Path, root: Path, run_command) -> None:
    held, trained = names(run, "val"), names(run, "train")
    write_labels(root, range(4, 28), {5: 9.0})
    gone = {f"{number:02d}.png" for number in range(4)}
    assert resume(run_command, run, f"data.root={root}", "allow_changed_data=true") == 0
    assert names(run, "val") == held - gone
    assert names(run, "train") == {f"{number:02d}.png" for number in range(4, 28)} - held
    known = FaceList.read(run / "faces.json.gz").remembered()
    assert len(known.trained | known.before) == len(trained) + 4
    assert run_command("train", f"resume={run}", "trainer.max_epochs=4") == 0  # nothing has changed since
    write_labels(root, range(4, 29))
    assert run_command("train", f"resume={run}", "trainer.max_epochs=5") == 2  # it was allowed for that time


def test_resume_of_the_same_data_in_another_folder(run: Path, root: Path, run_command) -> None:
    before = (run / "faces.json.gz").read_bytes()
    assert resume(run_command, run, f"data.root={root}") == 0
    assert (run / "faces.json.gz").read_bytes() == before


def test_resume_of_a_run_without_the_file(run: Path, run_command) -> None:
    (run / "faces.json.gz").unlink()
    assert resume(run_command, run) == 0
    assert "keeps no list of its faces" in (run / "train.log").read_text()
    assert len(names(run, "train")) == 18


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"{"), gzip.compress(b"[" * 100_000)],
    ids=["empty", "plain", "cut", "deep"],  # gzip writes the time, and processes of one test run must agree on names
)
def test_a_damaged_file_is_one_line(content: bytes, run: Path, run_command, tmp_path: Path) -> None:
    (run / "faces.json.gz").write_bytes(content)
    assert evaluate(run_command, run, tmp_path / "out") == 2
    message = told(tmp_path / "out")
    assert "faces.json.gz: no list of a run's faces" in message
    assert "Traceback" not in message


def test_weights_that_were_trained_on_held_out_faces(run: Path, data: Path, run_command, cache, tmp_path: Path) -> None:
    other = tmp_path / "tuned"
    words = [f"data.root={data}", DRAWN, "data.validation_seed=7", "trainer.max_epochs=2", f"init_from={run}"]
    assert run_command("train", *SETTINGS, *words, f"paths.cache={cache}", f"hydra.run.dir={other}") == 0
    assert "4 of the 6 faces to validate on" in (other / "train.log").read_text()
    assert metrics(other)["trained_on"] == 4
    assert evaluate(run_command, other, tmp_path / "out") == 0  # its own held-out faces, and yet
    assert metrics(tmp_path / "out")["trained_on"] == 4


def test_exported_weights_know_their_faces(run: Path, data: Path, run_command, cache, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    words = [f"run={run}", "format=safetensors", f"output={path}", "tolerance=0.5", "terms=mine"]
    assert run_command("export", *words) == 0
    words = [f"data.root={data}", f"paths.cache={cache}"]
    assert evaluate(run_command, path, tmp_path / "same", *words) == 0
    assert metrics(tmp_path / "same")["trained_on"] == 0
    assert evaluated(tmp_path / "same") == names(run, "val")
    assert evaluate(run_command, path, tmp_path / "out", *words, "data.validation=0.5") == 2
    assert "6 of the 12 faces" in told(tmp_path / "out")
