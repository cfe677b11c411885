"""``canthus.load(run)(picture)``."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import canthus
from canthus.data.images import read_image
from canthus.inference.api import Locator
from canthus.utils.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def model(trained: Path) -> Locator:
    return canthus.load(trained, detector=None, device="cpu")


def test_every_kind_of_picture(model: Locator, images: Path) -> None:
    path = images / "b.png"
    pixels, box = read_image(path, exif="apply"), [10, 20, 110, 120]
    expected = model(path, box)[0]
    assert expected.landmarks.shape == (68, 2)
    np.testing.assert_array_equal(expected.stages[-1], expected.landmarks)
    assert expected.scheme == model.scheme.name == "68"
    assert expected.detection_score is None
    np.testing.assert_array_equal(expected.box, box)
    for same in (str(path), Image.open(path), pixels, pixels[:, ::-1][:, ::-1]):
        np.testing.assert_allclose(model(same, [box])[0].landmarks, expected.landmarks, atol=1e-4)
    grey = model(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.array(box))[0]
    assert np.abs(grey.landmarks - expected.landmarks).mean() < 3  # DAN sees grey


def test_files_and_pillow_images_are_turned_alike(model: Locator, images: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(images / "b.png") as upright:
        box = [10, 20, 110, 120]
        expected = model(upright, box)[0].landmarks
        upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(model(tmp_path / "turned.png", box)[0].landmarks, expected)
    np.testing.assert_array_equal(model(Image.open(tmp_path / "turned.png"), box)[0].landmarks, expected)


def test_boxes(model: Locator, images: Path) -> None:
    path = images / "b.png"
    assert len(model(path, [[0, 0, 90, 90], [10, 10, 120, 120]])) == 2
    assert model(path, []) == []
    np.testing.assert_array_equal(model(path)[0].box, [0, 0, 127, 127])  # no detector: the whole picture


def test_mistakes(model: Locator, tmp_path: Path) -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    for wrong in (picture.astype(np.float32), picture[..., :2], picture[:0], picture[None]):
        with pytest.raises(DataError, match="a picture of shape"):
            model(wrong)
    for boxes in ([[1, 2, 3]], [[5, 5, 2, 9]], [[0, 0, float("nan"), 4]], np.zeros((2, 2, 4))):
        with pytest.raises(DataError, match=r"are not .N, 4. x1, y1, x2, y2"):
            model(picture, boxes)
    with pytest.raises(DataError, match="cannot be read"):
        model(tmp_path / "nothing.jpg")
    with pytest.raises(ConfigError, match="is not a run folder"):
        canthus.load(tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'dan'"):
        canthus.load("zoo/dann")


def test_the_zoo_finds_real_faces(real_data: Path) -> None:
    """Three lines: points of a bare image lie on the labels."""
    from canthus.data.readers import W300

    model = canthus.load("zoo/dan", device="cpu")
    errors = []
    for face in W300(real_data / "300w", allow_partial=True).faces(["afw"])[:12]:
        found = model(face.image)
        if found:
            assert 0 < found[0].detection_score <= 1
            distances = np.stack([np.linalg.norm(each.landmarks - face.landmarks, axis=1).mean() for each in found])
            errors.append(100 * distances.min() / np.linalg.norm(face.landmarks[36] - face.landmarks[45]))
    assert len(errors) >= 8
    assert np.median(errors) < 9
