"""Labels and predictions of images that EXIF turns."""

import logging

import numpy as np
import pytest
from PIL import Image

from canthus.data.images import of_pillow
from canthus.data.orientations import turned_points, warn_of_doubts, warn_of_other_frame
from canthus.data.readers import CsvLabels

POINTS = np.array([[30.0, 20], [52, 22], [41, 33], [33, 44], [50, 45]])
SIZE = (90, 60)


def csv_set(root, orientations, exif=None):
    """Labels of upright images of 90 x 60 pixels; those that EXIF turns by a quarter are stored as 60 x 90."""
    header, cells = ",".join(f"x{i},y{i}" for i in range(5)), ",".join(map(str, POINTS.ravel()))
    (root / "test.csv").write_text(
        f"image,{header}\n" + "".join(f"{i}.png,{cells}\n" for i in range(len(orientations)))
    )
    for i, orientation in enumerate(orientations):
        tag = Image.Exif()
        tag[0x0112] = orientation
        Image.new("RGB", SIZE[::-1] if orientation >= 5 else SIZE).save(root / f"{i}.png", exif=tag)
    return CsvLabels(root, label_scheme="5", exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_are_turned_as_pixels_are(orientation):
    picture = Image.new("L", SIZE)
    place = (17, 44)
    picture.putpixel(place, 255)
    picture.getexif()[0x0112] = orientation
    turned = of_pillow(picture)[..., 0]
    x, y = turned_points(np.array([place], dtype=float), SIZE, orientation)[0]
    assert (y, x) == tuple(int(axis[0]) for axis in np.nonzero(turned))


def test_doubts_are_counted_and_named(tmp_path, caplog):
    reader = csv_set(tmp_path, [1, 6, 3])
    images = [face.image for face in reader.faces(["test"])]
    with caplog.at_level(logging.WARNING):
        warn_of_doubts(reader, [*images, *images], "own test")
    (message,) = caplog.messages
    assert "own test: 2 of 3 images carry an EXIF orientation, first" in message
    assert "1.png (6)" in message
    assert "data.exif=ignore" in message


@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_who_decided_has_no_doubts(tmp_path, caplog, exif):
    reader = csv_set(tmp_path, [6], exif)
    warn_of_doubts(reader, [face.image for face in reader.faces(["test"])], "own")
    assert not caplog.messages


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize(("exif", "other"), [("apply", "as stored"), (None, "as stored"), ("ignore", "upright")])
def test_predictions_in_the_other_frame_are_noticed(tmp_path, caplog, exif, other, orientation):
    reader = csv_set(tmp_path, [1, orientation], exif)
    faces = reader.faces(["test"])
    same = np.stack([POINTS + 1, POINTS + 1])
    assert warn_of_other_frame(reader, faces, same) == 0
    stored = SIZE[::-1] if orientation >= 5 else SIZE
    if exif == "ignore":  # the labels are taken for those of the stored image; the prediction is of the upright one
        moved = turned_points(POINTS, stored, orientation)
    else:
        back = {6: 8, 8: 6}.get(orientation, orientation)
        moved = turned_points(POINTS, SIZE, back)
    assert warn_of_other_frame(reader, faces, np.stack([POINTS + 1, moved + 1])) == 1
    assert f"1.png: the labels are of images {'as stored' if other == 'upright' else 'upright'}" in caplog.messages[0]
    assert f"the predictions of images {other};" in caplog.messages[0]
    assert warn_of_other_frame(reader, faces, np.full((2, 5, 2), np.nan)) == 0
