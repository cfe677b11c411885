"""Prediction on images, folders and globs, with boxes from a file or without."""

import csv
import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from canthus.data import images as image_files
from canthus.inference import api, predictor
from canthus.inference.predictor import LocatedFace, Predictor
from canthus.inference.sources import find_images, read_boxes, whole_box
from canthus.utils.errors import ConfigError, DataError
from canthus.visualization import images as picture_files


def predictions(folder: Path) -> dict:
    return json.loads((folder / "landmarks.json").read_text())


def test_a_folder_with_subfolders(trained: Path, run_command, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert run_command("predict", f"run={trained}", f"source={images}", f"output={output}") == 0
    content = predictions(output)
    assert content["scheme"] == "68"
    assert len(content["images"]) == 3
    for entry in content["images"].values():
        assert np.array(entry["faces"][0]["landmarks"]).shape == (68, 2)
        assert entry["faces"][0]["box"] == [0, 0, 127, 127]
    assert {str(path.relative_to(output / "overlays")) for path in output.rglob("*.jpg")} == {
        "a.jpg.jpg", "b.png.jpg", "more/a.jpg.jpg"
    }  # fmt: skip


def test_a_glob_and_a_image(trained: Path, run_command, images: Path, tmp_path: Path) -> None:
    assert run_command("predict", f"run={trained}", f"source='{images}/*.jpg'", f"output={tmp_path / 'a'}") == 0
    assert list(predictions(tmp_path / "a")["images"]) == [str(images / "a.jpg")]
    assert run_command("predict", f"run={trained}", f"source={images / 'b.png'}", f"output={tmp_path / 'b'}") == 0
    assert list(predictions(tmp_path / "b")["images"]) == [str(images / "b.png")]


def test_same_points_as_the_evaluation(trained: Path, run_command, small_300w: Path, cache, tmp_path: Path) -> None:
    """An image with the labels' box gives what evaluation gave for that face."""
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
    located = predictions(output)["images"]
    for row in rows:
        expected = np.array([[float(row[f"x{k}"]), float(row[f"y{k}"])] for k in range(68)])
        found = np.array(located[str(Path(row["image"]))]["faces"][0]["landmarks"])
        assert np.abs(found - expected).max() < 0.1


def test_a_broken_image_is_named_and_the_rest_goes_on(trained, run_command, images, tmp_path) -> None:
    (images / "broken.jpg").write_bytes(b"not a picture")
    output = tmp_path / "out"
    assert run_command("predict", f"run={trained}", f"source={images}", f"output={output}") == 0
    content = predictions(output)
    assert len(content["images"]) == 3
    assert "broken.jpg: not a readable image" in content["skipped"][str(images / "broken.jpg")]


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
    assert len(content["images"]) == 7
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
    assert len(predictions(tmp_path / "out")["images"]) == 5


def test_nothing_usable_is_an_error(trained: Path, run_command, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    assert run_command("predict", f"run={trained}", f"source={tmp_path}", f"output={tmp_path / 'out'}") == 2


@pytest.mark.parametrize("source", ["nothing.jpg", "*.xyz"])
def test_no_such_source(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no image there"):
        find_images(source)


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


def test_several_boxes_on_a_image(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("image,x1,y1,x2,y2\na.jpg,1,2,3,4\na.jpg,5,6,7,8\n")
    np.testing.assert_array_equal(read_boxes(tmp_path / "boxes.csv")["a.jpg"], [[1, 2, 3, 4], [5, 6, 7, 8]])


def test_whole_image_less_a_margin() -> None:
    pixels = np.zeros((101, 201, 3), np.uint8)
    np.testing.assert_allclose(whole_box(pixels, 0.25), [[50, 25, 150, 75]])


def test_names_that_are_not_utf8_and_names_too_long(trained, run_command, images, tmp_path, capsys) -> None:
    """OpenCV's own writer ends the process on the first; the second has no room for another ending."""
    odd, long = os.fsdecode(b"latin\xe9 \xff.jpg"), "x" * 250 + ".jpg"
    for name in (odd, long):
        (images / name).write_bytes((images / "a.jpg").read_bytes())
    output = tmp_path / os.fsdecode(b"out \xe9")
    output.mkdir()  # Hydra's own records are not for such names
    link = tmp_path / "link"
    link.symlink_to(output, target_is_directory=True)
    assert run_command("predict", f"run={trained}", f"source={images}", f"output={link}") == 0
    content = predictions(output)
    assert len(content["images"]) == 5
    first, second = (content["images"][str(images / name)] for name in (odd, "a.jpg"))
    assert first == second
    assert (output / "overlays" / f"{odd}.jpg").stat().st_size > 1000
    assert list(content["without_picture"]) == [str(images / long)]
    assert "5 faces on 5 images, 0 skipped, 1 without a picture" in "".join(capsys.readouterr())


def test_boxes_outside_their_image_are_skipped_with_the_reason(trained, run_command, images, tmp_path, capsys):
    inside, outside = "20,20,100,100", "5000,5000,5100,5100"
    rows = [
        ("a.jpg", inside),
        ("a.jpg", outside),
        ("a.jpg", "0,0,1e9,1e9"),
        ("b.png", outside),
        ("b.png", "0,0,1e300,9"),
    ]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,x1,y1,x2,y2\n" + "".join(f"{name},{box}\n" for name, box in rows))
    words = ["predict", f"run={trained}", f"boxes={boxes}", f"output={tmp_path / 'out'}"]
    assert run_command(*words, f"source='{images}/*'") == 0
    content = predictions(tmp_path / "out")
    a, b = str(images / "a.jpg"), str(images / "b.png")
    (face,) = content["images"][a]["faces"]
    assert face["box"] == [20, 20, 100, 100]
    assert np.abs(np.array(face["landmarks"])).max() < 400
    assert [each["reason"] for each in content["images"][a]["skipped"]] == [
        "box (5000.0, 5000.0, 5100.0, 5100.0) lies outside the 128x128 image",
        "box (0.0, 0.0, 1e+09, 1e+09) is more than 100 times as large as the 128x128 image",
    ]
    assert list(content["images"]) == [a]
    assert "lies outside the 128x128 image" in content["skipped"][b]
    assert "1 faces on 1 images, 1 skipped, 4 faces without points" in "".join(capsys.readouterr())
    assert run_command(*words, f"source={images / 'b.png'}") == 2
    told = "".join(capsys.readouterr())
    assert "none of the 1 images could be used" in told
    assert "Traceback" not in told


def test_boxes_outside_from_python(trained: Path, images: Path) -> None:
    locate = api.load(trained, detector=None)
    with pytest.raises(DataError, match="lies outside the 128x128 image"):
        locate(images / "a.jpg", boxes=[[10, 10, 90, 90], [5000, 5000, 5100, 5100]])


def test_points_that_are_not_finite_are_named_and_counted(
    trained, run_command, images, tmp_path, capsys, monkeypatch
) -> None:
    own = Predictor.locate

    def diverged(self: Predictor, pictures: list[np.ndarray], boxes: list[np.ndarray]) -> list[list[LocatedFace]]:
        located = own(self, pictures, boxes)
        return [
            [replace(face, stages=face.stages * factor) for face in faces]
            for factor, faces in zip([np.nan, np.inf, 1.0], located, strict=True)
        ]

    monkeypatch.setattr(Predictor, "locate", diverged)
    assert run_command("predict", f"run={trained}", f"source={images}", f"output={tmp_path / 'out'}") == 0

    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads((tmp_path / "out" / "landmarks.json").read_text(), parse_constant=refused)
    assert len(content["images"]) == 1
    assert len(content["skipped"]) == 2
    assert all("are not finite numbers; check the model" in reason for reason in content["skipped"].values())
    assert "1 faces on 1 images, 2 skipped, 2 faces without points" in "".join(capsys.readouterr())


def failing(function: Callable, error: Exception) -> Callable:
    """A function that fails for the second image, however often it is called for it."""
    seen: list[object] = []

    def wrapped(first, *arguments, **options):
        if not any(first is one for one in seen):
            seen.append(first)
        if len(seen) > 1 and first is seen[1]:
            raise error
        return function(first, *arguments, **options)

    return wrapped


FULL = OSError(errno.ENOSPC, "No space left on device", "b.png.jpg")
NO_MEMORY = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 90000000000 bytes"


@pytest.mark.parametrize(
    ("place", "name", "error", "located", "skipped", "pictures", "words"),
    [
        (image_files, "read_image", MemoryError("Unable to allocate 1.00 TiB"), 2, 1, 2, "too little memory for it"),
        (predictor, "crop", RuntimeError(NO_MEMORY), 2, 1, 2, "too little memory for it (DefaultCPUAllocator"),
        (predictor, "crop", cv2.error("(-215:Assertion failed) dst.cols"), 2, 1, 2, "OpenCV cannot work on it"),
        (picture_files, "save_picture", MemoryError(), 3, 0, 2, "1 without a picture"),
        (picture_files, "save_picture", picture_files.PictureError("too large for a JPEG"), 3, 0, 2, "too large for a"),
    ],
)
def test_one_image_that_fails_loses_no_other(
    place,
    name,
    error,
    located,
    skipped,
    pictures,
    words,
    trained,
    run_command,
    images,
    tmp_path,
    monkeypatch,
    capsys,
) -> None:
    monkeypatch.setattr(place, name, failing(getattr(place, name), error))
    assert run_command("predict", f"run={trained}", f"source={images}", f"output={tmp_path / 'out'}") == 0
    content = predictions(tmp_path / "out")
    assert (len(content["images"]), len(content["skipped"])) == (located, skipped)
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == pictures
    assert content["complete"]
    told = "".join(capsys.readouterr())
    assert words in told
    assert "Traceback" not in told


@pytest.mark.parametrize(("error", "status"), [(FULL, 1), (KeyboardInterrupt(), 130), (ValueError("a fault"), 1)])
def test_points_before_the_end_are_kept(
    error, status, trained, run_command, images, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(picture_files, "save_picture", failing(picture_files.save_picture, error))
    assert run_command("predict", f"run={trained}", f"source={images}", f"output={tmp_path / 'out'}") == status
    content = predictions(tmp_path / "out")
    assert list(content["images"])[:2] == [str(images / "a.jpg"), str(images / "b.png")]
    assert not content["complete"]
    if error is FULL:
        told = "".join(capsys.readouterr())
        assert "No space left on device" in told
        assert "Traceback" not in told


def test_a_large_image_is_drawn_smaller(trained: Path, run_command, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wide.png"), np.full((90, 9000, 3), 90, np.uint8))
    assert run_command("predict", f"run={trained}", f"source={tmp_path}/wide.png", f"output={tmp_path / 'out'}") == 0
    (face,) = predictions(tmp_path / "out")["images"][str(tmp_path / "wide.png")]["faces"]
    assert face["box"] == [0, 0, 8999, 89]  # points are those of the image itself
    assert cv2.imread(str(tmp_path / "out" / "overlays" / "wide.png.jpg")).shape == (41, 4096, 3)


def test_equal_names_in_other_folders_and_of_other_kinds(trained: Path, run_command, images, tmp_path) -> None:
    """Also when a glob comes to a folder by several ways, and never outside the output."""
    (images / "a.png").write_bytes((images / "b.png").read_bytes())
    (images / "a.jpg.jpg").write_bytes((images / "a.jpg").read_bytes())
    output = tmp_path / "deep" / "out"
    source = f"source='{images}/*/../**/*.*'"
    assert run_command("predict", f"run={trained}", source, f"output={output}") == 0
    assert {str(path.relative_to(output / "overlays")) for path in (tmp_path / "deep").rglob("*.jpg")} == {
        "a.jpg.jpg", "a.jpg.jpg.jpg", "a.png.jpg", "b.png.jpg", "more/a.jpg.jpg"
    }  # fmt: skip


def test_many_images_are_like_each_alone_whatever_is_between(trained: Path, images: Path, tmp_path: Path) -> None:
    """Eleven images, of which two cannot be read and one has no box: in order, and nothing is moved to another."""
    names = [images / name for name in ("a.jpg", "b.png", "more/a.jpg")]
    (tmp_path / "no.jpg").write_bytes(b"no image")
    given = [*names, tmp_path / "no.jpg", *names, tmp_path / "nothing.jpg", *names]
    sizes = iter(range(len(given)))

    def boxes(image: Path, pixels: np.ndarray) -> np.ndarray:
        number = next(sizes)
        if number == 1:
            raise DataError("no box for it")
        return np.array([[4.0 + number, 5, 110, 120], [10, 10, 90, 100 + number]])[: number % 3]

    locate = api.load(trained, detector=None, device="cpu", batch_size=3)
    results = list(locate.each(iter(given), boxes))
    assert [result.image for result in results] == given
    assert [result.reason is not None for result in results] == [n in (1, 3, 7) for n in range(11)]
    assert results[1].reason == "no box for it"
    assert "not a readable image" in results[3].reason
    for result in results:
        alone = [] if result.reason else locate(result.image, [face.box for face in result.faces])
        assert len(alone) == len(result.faces)
        for one, face in zip(alone, result.faces, strict=True):
            np.testing.assert_allclose(one.stages, face.stages, atol=1e-3)
    assert sum(len(result.faces) for result in results) == 8
    assert list(locate.each([])) == []
