"""Findings about the files of images: orientation, contradicting sizes, damage."""

import json

import numpy as np
import pytest
from PIL import Image

from canthus.data.readers import W300, CocoKeypoints, CsvLabels
from canthus.inspection import inspect
from canthus.inspection.collection import Collection

NOISE = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
POINTS = np.array([[30.0, 20], [82, 22], [61, 33], [33, 44], [80, 45]])


def save(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(NOISE).save(path, exif=exif)


def csv_set(root, orientations):
    cells = ",".join(map(str, POINTS.ravel()))
    rows = [f"{i}.png,{cells}" for i in range(len(orientations))]
    (root / "train.csv").write_text("\n".join(["image," + ",".join(f"x{i},y{i}" for i in range(5)), *rows]))
    for i, orientation in enumerate(orientations):
        save(root / f"{i}.png", orientation)


def found(reader, kind):
    return [finding for finding in inspect(Collection.read(reader, ["train"], [])) if finding.kind == kind]


@pytest.mark.parametrize(
    ("exif", "detail"), [(None, "read upright"), ("apply", "read upright"), ("ignore", "read as stored")]
)
def test_images_with_an_orientation_are_found(tmp_path, exif, detail):
    csv_set(tmp_path, [1, 3, 1])
    (finding,) = found(CsvLabels(tmp_path, label_scheme="5", exif=exif), "exif_orientation")
    assert (finding.face, finding.value, finding.detail) == (1, 3, detail)


def test_points_that_fit_the_other_frame_alone_are_said_to(tmp_path):
    csv_set(tmp_path, [6, 6])
    first, second = found(CsvLabels(tmp_path, label_scheme="5"), "exif_orientation")
    assert first.detail == second.detail == "read upright; its points fit the other frame alone"
    first, second = found(CsvLabels(tmp_path, label_scheme="5", exif="ignore"), "exif_orientation")
    assert first.detail == second.detail == "read as stored"


def test_a_size_that_contradicts_is_damage(tmp_path):
    save(tmp_path / "a.png", 1)
    points = [number for x, y in POINTS.tolist() for number in (x, y, 2)]
    image = {"id": 1, "file_name": "a.png", "width": 640, "height": 480}
    content = {"images": [image], "annotations": [{"image_id": 1, "keypoints": points}]}
    (tmp_path / "train.json").write_text(json.dumps(content))
    (finding,) = found(CocoKeypoints(tmp_path, label_scheme="5"), "broken_image")
    assert "the labels state 640 x 480 pixels, the image has 90 x 60" in finding.detail


def test_damage_in_the_middle_of_a_jpeg_is_found(tmp_path):
    csv_set(tmp_path, [1, 1])
    Image.fromarray(NOISE).save(tmp_path / "whole.jpg", quality=95)
    content = bytearray((tmp_path / "whole.jpg").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    (tmp_path / "1.png").write_bytes(content)
    (finding,) = found(CsvLabels(tmp_path, label_scheme="5"), "broken_image")
    assert finding.face == 1
    assert "1.png: the JPEG is damaged (libjpeg: " in finding.detail


def test_published_sets_are_said_to_be_read_as_stored(tmp_path):
    reader = W300(tmp_path)
    save(tmp_path / "a.png", 6)
    assert reader.header(tmp_path / "a.png").orientation == 6
    assert reader.header(tmp_path / "none.png") is None
