"""Prediction on photographs, folders and globs, with boxes from a file or without."""

import csv
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from canthus.config import ConfigError
from canthus.photographs import find_photographs, read_boxes, whole_box


def predictions(folder: Path) -> dict:
    return json.loads((folder / "landmarks.json").read_text())


def test_a_folder_with_subfolders(trained: Path, run_command, photographs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert run_command("predict", f"run={trained}", f"source={photographs}", f"output={output}") == 0
    content = predictions(output)
    assert content["scheme"] == "68"
    assert len(content["photographs"]) == 3
    for entry in content["photographs"].values():
        assert np.array(entry["faces"][0]["landmarks"]).shape == (68, 2)
        assert entry["faces"][0]["box"] == [0, 0, 127, 127]
    assert {str(path.relative_to(output / "overlays")) for path in output.rglob("*.jpg")} == {
        "a.jpg.jpg", "b.png.jpg", "more/a.jpg.jpg"
    }  # fmt: skip


def test_a_glob_and_a_photograph(trained: Path, run_command, photographs: Path, tmp_path: Path) -> None:
    assert run_command("predict", f"run={trained}", f"source='{photographs}/*.jpg'", f"output={tmp_path / 'a'}") == 0
    assert list(predictions(tmp_path / "a")["photographs"]) == [str(photographs / "a.jpg")]
    assert run_command("predict", f"run={trained}", f"source={photographs / 'b.png'}", f"output={tmp_path / 'b'}") == 0
    assert list(predictions(tmp_path / "b")["photographs"]) == [str(photographs / "b.png")]


def test_same_points_as_the_evaluation(trained: Path, run_command, small_300w: Path, cache, tmp_path: Path) -> None:
    """A photograph with the labels' box gives what evaluation gave for that face."""
    evaluation, output = tmp_path / "evaluation", tmp_path / "out"
    arguments = ["data=w300", f"data.root={small_300w}", "data.allow_partial=true", "data.test_parts=[ibug]"]
    assert run_command("evaluate", f"run={trained}", *arguments, f"paths.cache={cache}", f"output={evaluation}") == 0
    with (evaluation / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    boxes = tmp_path / "boxes.csv"
    with boxes.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "x1", "y1", "x2", "y2"])
        writer.writerows([row["image"], *(row[f"box_{key}"] for key in ("x1", "y1", "x2", "y2"))] for row in rows)
    source = small_300w / "ibug"
    assert run_command("predict", f"run={trained}", f"source={source}", f"boxes={boxes}", f"output={output}") == 0
    located = predictions(output)["photographs"]
    for row in rows:
        expected = np.array([[float(row[f"x{k}"]), float(row[f"y{k}"])] for k in range(68)])
        found = np.array(located[str(Path(row["image"]))]["faces"][0]["landmarks"])
        assert np.abs(found - expected).max() < 0.1


def test_a_broken_photograph_is_named_and_the_rest_goes_on(trained, run_command, photographs, tmp_path) -> None:
    (photographs / "broken.jpg").write_bytes(b"not a picture")
    output = tmp_path / "out"
    assert run_command("predict", f"run={trained}", f"source={photographs}", f"output={output}") == 0
    content = predictions(output)
    assert len(content["photographs"]) == 3
    assert "broken.jpg: not a readable image" in content["skipped"][str(photographs / "broken.jpg")]


def test_whatever_lies_in_a_folder_is_read_or_skipped_with_its_reason(trained, run_command, tmp_path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
    for suffix in ("jpg", "jfif", "jp2", "avif", "tif"):
        picture.save(folder / f"read.{suffix}", format="JPEG" if suffix == "jfif" else None)
    jpeg = (folder / "read.jpg").read_bytes()
    (folder / "film.jpg").write_bytes(jpeg + b"\0\0\0\x18ftypmp42" + bytes(2000))
    (folder / os.fsdecode(b"latin\xe9.jpg")).write_bytes(jpeg)
    (folder / "damaged.jpg").write_bytes(jpeg[: len(jpeg) // 2] + bytes(200) + jpeg[len(jpeg) // 2 + 200 :])
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    os.mkfifo(folder / "pipe.jpg")
    with (folder / "sparse.jpg").open("wb") as file:
        file.truncate(1 << 40)
    assert run_command("predict", f"run={trained}", f"source={folder}", f"output={tmp_path / 'out'}") == 0
    content = predictions(tmp_path / "out")
    assert len(content["photographs"]) == 7
    reasons = {Path(name).name: reason for name, reason in content["skipped"].items()}
    assert {name: reason.split(": ", 1)[1].split(" (")[0] for name, reason in reasons.items()} == {
        "damaged.jpg": "the JPEG is damaged",
        "phone.heic": "images of kind HEIC are not read; convert it to JPEG or PNG",
        "pipe.jpg": "cannot be read",
        "sparse.jpg": "not a readable image",
    }


def test_unusual_pictures(trained: Path, run_command, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    random = np.random.default_rng(0)
    pictures = {"grey": (60, 50), "alpha": (60, 50, 4), "tiny": (3, 2, 3), "wide": (5, 2000, 3)}
    for name, shape in pictures.items():
        cv2.imwrite(str(folder / f"{name}.png"), random.integers(0, 255, shape, dtype=np.uint8))
    cv2.imwrite(str(folder / "deep.png"), random.integers(0, 65535, (60, 50, 3), dtype=np.uint16))
    assert run_command("predict", f"run={trained}", f"source={folder}", f"output={tmp_path / 'out'}") == 0
    assert len(predictions(tmp_path / "out")["photographs"]) == 5


def test_nothing_usable_is_an_error(trained: Path, run_command, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    assert run_command("predict", f"run={trained}", f"source={tmp_path}", f"output={tmp_path / 'out'}") == 2


@pytest.mark.parametrize("source", ["nothing.jpg", "*.xyz"])
def test_no_such_source(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no photograph there"):
        find_photographs(source)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("boxes.csv", "image,x1,y1,x2,y2\na.jpg,1,2,3,4\nb.jpg,1,2,x,4\n", r"boxes.csv:3: needs image,x1,y1,x2,y2"),
        ("boxes.csv", "file,left\na.jpg,1\n", r"boxes.csv:2: needs"),
        ("boxes.csv", "image,x1,y1,x2,y2\na.jpg,5,2,3,4\n", r"a.jpg: .* are not boxes"),
        ("boxes.csv", "image,x1,y1,x2,y2\na.jpg,nan,2,3,4\n", r"a.jpg: .* are not boxes"),
        ("boxes.json", "[1, 2]", r"not of the form"),
        ("boxes.json", '{"a.jpg": [[1, 2, 3]]}', r"a.jpg: .* are not boxes"),
        ("boxes.json", "{", r"not of the form"),
    ],
)
def test_bad_box_files(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_boxes(tmp_path / name)


def test_several_boxes_on_a_photograph(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("image,x1,y1,x2,y2\na.jpg,1,2,3,4\na.jpg,5,6,7,8\n")
    np.testing.assert_array_equal(read_boxes(tmp_path / "boxes.csv")["a.jpg"], [[1, 2, 3, 4], [5, 6, 7, 8]])


def test_whole_photograph_less_a_margin() -> None:
    pixels = np.zeros((101, 201, 3), np.uint8)
    np.testing.assert_allclose(whole_box(pixels, 0.25), [[50, 25, 150, 75]])
