"""Images and people that are there twice, within a split and across."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from canthus.data.readers import W300, YTF68
from canthus.inspection import inspect
from canthus.inspection.collection import Collection
from canthus.inspection.copies import find_alike
from canthus.inspection.findings import Limits
from canthus.inspection.images import read_images


def picture(reader, i, part="train"):
    return reader.pixels(reader.parts[part][i].image)


def retouched(pixels):
    """Smaller, brighter, of more contrast and packed as a JPEG of low quality."""
    bright = np.clip(pixels.astype(float) * 1.2 + 10, 0, 255).astype(np.uint8)
    small = cv2.resize(bright, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    return cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize(("part", "kind"), [("train", "copy"), ("test", "copy_across_splits")])
def test_the_same_pixels(reader, part, kind):
    reader.pictures[reader.parts[part][5].image] = picture(reader, 3).copy()
    (finding,) = reader.findings()
    assert (finding.kind, finding.other) == (kind, 3)
    assert finding.face == (5 if part == "train" else 155)
    assert "000003.png" in finding.detail


@pytest.mark.parametrize(("part", "kind"), [("train", "alike"), ("test", "alike_across_splits")])
def test_the_same_scene_retouched(reader, part, kind):
    reader.pictures[reader.parts[part][5].image] = retouched(picture(reader, 3))
    (finding,) = reader.findings(kind)
    assert finding.other == 3
    assert finding.value < 30
    assert reader.findings(kind, Limits(bits=0)) == []


def test_frames_of_one_video_may_be_alike_but_not_the_same(reader):
    photo = reader.parts["train"][3].photo
    face = reader.change(5, photo=photo)
    reader.pictures[face.image] = retouched(picture(reader, 3))
    assert reader.findings() == []
    reader.pictures[face.image] = picture(reader, 3)
    assert [finding.kind for finding in reader.findings()] == ["copy"]


def test_even_pictures_are_no_copies_of_each_other(reader):
    for i, grey in enumerate((90, 91, 92)):
        reader.pictures[reader.parts["train"][i].image] = np.full((96, 96, 3), grey, np.uint8)
    found = reader.findings()
    assert [(finding.kind, finding.face, finding.value) for finding in found] == [
        ("flat_image", i, 0.0) for i in range(3)
    ]


def test_points_of_another_image(reader):
    reader.change(8, landmarks=reader.parts["train"][2].landmarks.copy())
    (finding,) = [finding for finding in reader.findings() if finding.kind == "same_labels"]
    assert (finding.face, finding.other) == (8, 2)


def test_a_image_in_two_splits(reader):
    face = reader.parts["train"][4]
    reader.change(0, "test", image=face.image, photo=face.photo)
    reader.change(1, "test", photo=reader.parts["train"][6].photo)  # by its key alone
    found = reader.findings("image_across_splits")
    assert [(finding.face, finding.other) for finding in found] == [(150, 4), (151, 6)]


def test_splits_are_those_of_a_training_run(reader):
    data = reader.collection(validation=0.2, validation_seed=3)
    assert [data.splits.count(split) for split in ("train", "val", "test")] == [120, 30, 10]
    held, kept = data.splits.index("val"), data.splits.index("train")
    reader.pictures[data.faces[max(held, kept)].image] = picture(reader, min(held, kept))
    assert [f.kind for f in reader.findings(validation=0.2, validation_seed=3)] == ["copy_across_splits"]


def test_too_few_images_to_hold_any_out(reader, caplog):
    reader.parts["train"] = reader.parts["train"][:2]
    assert reader.collection(validation=0.1).splits == ["train", "train", *["test"] * 10]
    assert "All of them count as train here" in caplog.text


def test_people_in_two_splits(reader):
    for i in range(3):
        reader.change(i, identity="Ann")
    for i in range(2):
        reader.change(i, "test", identity="Ann")
    reader.change(3, identity="Bob")
    (finding,) = reader.findings()
    assert (finding.kind, finding.face, finding.value) == ("identity_across_splits", 150, 2.0)
    assert finding.detail == "Ann: 3 in train, 2 in test"


def test_comparison_goes_through_every_block(reader, monkeypatch):
    monkeypatch.setattr("canthus.inspection.copies.BLOCK", 7)
    images = [face.image for face in reader.parts["train"][:30]]
    reader.pictures[images[29]] = retouched(picture(reader, 1))
    reader.pictures[images[12]] = retouched(picture(reader, 11))
    images, broken = read_images(reader, images)
    found = find_alike(list(images.values()), range(30), 40)
    assert broken == {}
    assert [(copy.image, copy.original) for copy in found] == [(12, 11), (29, 1)]


def test_a_copy_with_several_originals_names_the_nearest(reader):
    images = [face.image for face in reader.parts["train"][:6]]
    reader.pictures[images[2]] = retouched(picture(reader, 1))
    reader.pictures[images[5]] = np.clip(picture(reader, 2).astype(int) + 1, 0, 255).astype(np.uint8)
    images, _ = read_images(reader, images)
    found = {copy.image: copy.original for copy in find_alike(list(images.values()), range(6), 40)}
    assert found == {2: 1, 5: 2}


def test_images_of_real_data(real_data):
    """What is odd in the real sets: found, and not more than a few."""
    ytf = Collection.read(YTF68(real_data / "ytf68"), ["training"], [], validation=0.1)
    found = {}
    for finding in inspect(ytf):
        found.setdefault(finding.kind, []).append(Path(ytf.faces[finding.face].image).stem)
    assert sorted(found["copy"]) == ["Carlos_Iturgaitz_31", "Carlos_Iturgaitz_32", "Jake_Plummer_42"]
    assert len(found["points_outside"]) == 6
    assert found["points_outside"][0] == "Eliza_Dushku_21"
    assert set(found["odd_shape"][:3]) == {"Marieta_Chrousala_12", "Chris_Cirino_30", "Elton_John_10"}
    assert set(found) <= {"copy", "points_outside", "odd_shape", "coincident_points"}


def test_retouched_image_of_helen(real_data):
    reader = W300(real_data / "300w", allow_partial=True)
    data = Collection.read(reader, ["helen/trainset"], [])
    pairs = {
        tuple(data.faces[i].image.stem for i in (finding.other, finding.face))
        for finding in inspect(data)
        if finding.kind == "alike"
    }
    assert pairs == {
        ("1207662328_2", "1218567979_2"),
        ("1439641049_1", "1440501186_1"),
        ("2139767101_2", "2140556694_2"),
    }
