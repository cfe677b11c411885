"""Predictions of other tools: every form that is read, and every mistake that is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from canthus.data.image_names import ImageNames
from canthus.data.readers import write_pts
from canthus.evaluation.external.predictions import read_cost, read_predicted
from canthus.utils.errors import ConfigError, DataError

POINTS = [[1.5, 2.0], [3.0, 4.25], [5.0, 6.0]]
MOVED = [[x + 10, y + 10] for x, y in POINTS]
BOX = [0.0, 1.0, 8.0, 9.0]


def write(path: Path, content) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def found(predictions, name: str) -> list:
    return [(face.points.tolist(), None if face.box is None else face.box.tolist()) for face in predictions.faces[name]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (POINTS, [(POINTS, None)]),
        ([POINTS, MOVED], [(POINTS, None), (MOVED, None)]),
        ({"landmarks": POINTS}, [(POINTS, None)]),
        ([{"landmarks": POINTS, "box": BOX}, MOVED], [(POINTS, BOX), (MOVED, None)]),
        ({"faces": [{"landmarks": POINTS, "box": BOX, "scores": [1, 1, 1]}]}, [(POINTS, BOX)]),
        ([], []),
    ],
)
def test_every_form_of_json(tmp_path, value, expected):
    predictions = read_predicted(write(tmp_path / "a.json", {"a.jpg": value, "b.jpg": POINTS}))
    assert found(predictions, "a.jpg") == expected
    assert (predictions.num_points, predictions.scheme) == (3, None)


def test_two_points_are_a_face_and_not_two(tmp_path):
    predictions = read_predicted(write(tmp_path / "a.json", {"a.jpg": [[1, 2], [3, 4]]}))
    assert found(predictions, "a.jpg") == [([[1, 2], [3, 4]], None)]


def test_own_landmarks_json(tmp_path):
    content = {"model": "dan", "scheme": "68-index", "images": {"a.jpg": {"faces": [{"landmarks": POINTS}]}}}
    predictions = read_predicted(write(tmp_path / "landmarks.json", content))
    assert found(predictions, "a.jpg") == [(POINTS, None)]
    assert predictions.scheme == "68-index"


CSV = """\ufeffindex, image ,box_x1,box_y1,box_x2,box_y2,x0,y0,x1,y1,x2,y2
0,a.jpg,0,1,8,9,1.5,2,3,4.25,5,6
1,a.jpg,0,1,8,9,11.5,12,13,14.25,15,16
2,b.jpg,0,1,8,9,nan,nan,nan,nan,nan,nan
"""


def test_csv(tmp_path):
    predictions = read_predicted(write(tmp_path / "a.csv", CSV))
    assert found(predictions, "a.jpg") == [(POINTS, BOX), (MOVED, BOX)]
    assert found(predictions, "b.jpg") == []


def test_pts(tmp_path):
    (tmp_path / "helen").mkdir()
    write_pts(tmp_path / "helen/a 1.pts", POINTS)  # the format counts from 1
    assert found(read_predicted(tmp_path), "helen/a 1") == [(POINTS, None)]
    assert found(read_predicted(tmp_path, 0), "helen/a 1") == [((np.array(POINTS) + 1).tolist(), None)]


def test_first_pixel_moves_points_and_boxes(tmp_path):
    path = write(tmp_path / "a.json", {"a.jpg": {"landmarks": POINTS, "box": BOX}})
    assert found(read_predicted(path, 1), "a.jpg") == [((np.array(POINTS) - 1).tolist(), [-1.0, 0.0, 7.0, 8.0])]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[]", "not an object"),
        ("a.json", {"a.jpg": 3}, r"a\.jpg: 3 is neither"),
        ("a.json", {"a.jpg": [{"landmarks": [1, 2]}]}, r"a\.jpg: face 0: landmarks are not a list"),
        ("a.json", {"a.jpg": [{"box": BOX}]}, r"face 0: landmarks are not a list"),
        ("a.json", {"a.jpg": {"landmarks": POINTS, "box": [1, 2]}}, r"box \[1, 2\] is not"),
        ("a.json", {"a.jpg": [[1, 2], [3, None]]}, "not every coordinate is a finite number"),
        ("a.json", {"a.jpg": [[1, 2], [3, float("nan")]]}, "not every coordinate is a finite number"),
        ("a.json", {"a.jpg": POINTS, "b.jpg": POINTS[:2]}, r"b\.jpg: face 0: 2 points where .* have 3"),
        ("a.json", {"a.jpg": []}, "holds no face"),
        ("a.csv", "", r"a\.csv:1: the header lacks image"),
        ("a.csv", "image,x0\na,1\n", r"a\.csv:1: the header lacks y0"),
        ("a.csv", "image,x0,y0\na,1\n", r"a\.csv:2: another number of cells"),
        ("a.csv", "image,x0,y0,x1,y1\na,1,2,3,\n", r"a\.csv:2: not every coordinate"),
        ("a.csv", "image,x0,y0\n", "holds no face"),
    ],
)
def test_damage_is_named(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        read_predicted(write(tmp_path / name, content))


def test_what_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file or folder"):
        read_predicted(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match=r"no \.pts file"):
        read_predicted(tmp_path)
    with pytest.raises(ConfigError, match=r"give a \.csv or \.json"):
        read_predicted(write(tmp_path / "a.txt", "x"))


ROOT = Path("/data/300w")
TRAIN, TEST, BLANK = (ROOT / p for p in ("lfpw/trainset/image_1.png", "lfpw/testset/image_1.png", "ibug/a _01.jpg"))


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("lfpw/testset/image_1.png", TEST),
        ("testset/image_1", TEST),
        ("./testset/image_1.jpg", TEST),  # converted by the tool
        (r"lfpw\trainset\image_1.png", TRAIN),
        ("/elsewhere/300w/lfpw/trainset/image_1.png", TRAIN),
        (str(TEST), TEST),
        ("a _01", BLANK),
        ("set/image_1.png", None),
        ("elsewhere/trainset/image_1.png", None),
    ],
)
def test_names_of_images(name, image):
    assert ImageNames([TRAIN, TEST, BLANK], ROOT).find(name) == image


def test_a_name_of_two_images_is_refused():
    with pytest.raises(DataError, match=r"image_1 may be any of 2 images .*and more of the path"):
        ImageNames([TRAIN, TEST], ROOT).find("image_1")


def test_the_same_name_in_another_part_is_another_image():
    assert ImageNames([TEST], ROOT).find("lfpw/trainset/image_1.png") is None


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("setB/0001.jpg", None),  # of a folder that is not there: not the root's own 0001.jpg
        ("/elsewhere/setB/0001.jpg", None),
        ("/elsewhere/300w/setB/0001.jpg", None),
        ("/elsewhere/300w/0001.jpg", ROOT / "0001.jpg"),
        ("300w/0001", ROOT / "0001.jpg"),
        ("0001.jpg", ROOT / "0001.jpg"),
        (str(ROOT / "0001.jpg"), ROOT / "0001.jpg"),
    ],
)
def test_a_foreign_folder_is_another_image(name, image):
    assert ImageNames([ROOT / "0001.jpg", TEST], ROOT).find(name) == image


def test_one_path_below_the_root_for_two_images():
    with pytest.raises(DataError, match="may be any of 2 images"):
        ImageNames([ROOT / "0001.jpg", ROOT / "0001.png"], ROOT).find("/elsewhere/300w/0001")


def test_what_a_tool_cost_stands_beside_its_file(tmp_path: Path) -> None:
    file = tmp_path / "ert.predictions.json"
    assert read_cost(file) is None
    told = {"minutes": 48, "milliseconds": 0.5, "remark": "trained on other data"}
    side = tmp_path / "ert.predictions.cost.json"
    side.write_text(json.dumps(told))
    assert read_cost(file) == told
    for wrong in ({"minutes": "48"}, {"minutes": -1}, {"megabytes": True}, {"remark": 3}, {"hours": 1}):
        side.write_text(json.dumps(wrong))
        with pytest.raises(DataError, match=r"cost\.json: '(minutes|megabytes|remark|hours)' is"):
            read_cost(file)
    side.write_text("[]")
    with pytest.raises(DataError):
        read_cost(file)
