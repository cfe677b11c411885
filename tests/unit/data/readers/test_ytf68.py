from collections import Counter

import numpy as np
import pytest

from canthus.data.readers import YTF68
from canthus.utils.errors import DataError

SHAPE = np.random.default_rng(0).integers(-3, 90, (68, 2)).astype(float)
HEADER = "," + ",".join(str(i) for i in range(136))


def row(name, points=SHAPE):
    return name + "," + ",".join(str(value) for value in np.ravel(points))


@pytest.fixture
def make(tmp_path):
    def make(*rows, part="training", header=HEADER, newline="\n", frames=None):
        (tmp_path / part).mkdir()
        for name in frames if frames is not None else [text.split(",")[0] for text in rows if text]:
            (tmp_path / part / name).touch()
        text = newline.join([header, *rows, ""])
        (tmp_path / f"{part}_frames_keypoints.csv").write_text(text, encoding="utf-8", newline="")
        return YTF68(tmp_path)

    return make


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_faces_in_the_order_of_the_list(make, tmp_path, newline):
    faces = make(row("Ann_van_Dyk_21.jpg"), row("Abdel_Al-Hakim_00.jpg", SHAPE + 1), newline=newline).faces(
        ["training"]
    )
    assert [face.image for face in faces] == [
        tmp_path / "training" / n for n in ("Ann_van_Dyk_21.jpg", "Abdel_Al-Hakim_00.jpg")
    ]
    face = faces[0]
    np.testing.assert_array_equal(face.landmarks, SHAPE)
    assert face.box.tolist() == [*SHAPE.min(0), *SHAPE.max(0)]
    assert (face.photo, face.identity, face.part, face.scheme) == ("Ann_van_Dyk", "Ann_van_Dyk", "training", "68")
    assert face.extra == {"video": 2, "frame": 1}
    assert face.visibility.tolist() == [2] * 68


def test_test_part_and_frames_without_a_row(make):
    assert len(make(row("A_B_00.jpg"), part="test", frames=["A_B_00.jpg", "A_B_01.jpg"]).faces(["test"])) == 1


def test_blank_lines_are_skipped_but_counted(make):
    with pytest.raises(DataError, match=r"keypoints\.csv:4: 2 columns"):
        make(row("A_B_00.jpg"), "", "A_B_01.jpg,3").faces(["training"])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("A_B_00.jpg"), r":3: A_B_00\.jpg was already on line 2; remove one"),
        (row("A_B_01.jpg", SHAPE[:67]), r":3: 135 columns where a name and 68 points need 137; restore"),
        (row("A_B_01.jpg").replace(",", ";"), r":3: 1 columns"),
        (row("A_B.jpg"), r":3: 'A_B\.jpg' is not person_<video><frame>\.jpg; rename"),
        (row("../x/A_B_00.jpg"), r":3: '\.\./x/A_B_00\.jpg' is not person_"),
        (
            row("A_B_01.jpg", [["12.5", "abc"]] * 68),
            r":3: A_B_01\.jpg: could not convert string to float: 'abc'; restore",
        ),
        (row("A_B_01.jpg", [["", "1"]] * 68), r":3: A_B_01\.jpg: could not convert string to float: ''; restore"),
        (row("A_B_01.jpg", [[1, "inf"]] * 68), r":3: A_B_01\.jpg: point 0 is \[ *1\. +inf\], not a position"),
        (row("A_B_01.jpg", [*SHAPE[:67], [np.nan, 1]]), r":3: A_B_01\.jpg: point 67 is \[nan"),
        (row("A_B_01.jpg", np.ones((68, 2))), r":3: A_B_01\.jpg: all points lie on one line.*remove the row"),
    ],
)
def test_damaged_rows_name_line_and_remedy(make, bad, message):
    with pytest.raises(DataError, match=r"training_frames_keypoints\.csv" + message):
        make(row("A_B_00.jpg"), bad, frames=["A_B_00.jpg", "A_B_01.jpg"]).faces(["training"])


def test_row_without_frame(make):
    with pytest.raises(
        DataError, match=r"csv:3: .*training.A_B_01\.jpg does not exist; restore the frame or remove the row"
    ):
        make(row("A_B_00.jpg"), row("A_B_01.jpg"), frames=["A_B_00.jpg"]).faces(["training"])


@pytest.mark.parametrize("header", [row("A_B_02.jpg"), "", "name,x,y"])
def test_missing_header(make, header):
    with pytest.raises(DataError, match=r"csv:1: \d+ columns starting with .* are not the header"):
        make(row("A_B_00.jpg"), header=header).faces(["training"])


def test_no_rows(make):
    with pytest.raises(DataError, match=r"csv: no rows after the header; fetch"):
        make().faces(["training"])


def test_binary_list(make, tmp_path):
    reader = make(row("A_B_00.jpg"))
    (tmp_path / "training_frames_keypoints.csv").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match=r"csv: is not a csv file in UTF-8 \(.*\); fetch"):
        reader.faces(["training"])


def test_missing_places(make, tmp_path):
    reader = make(row("A_B_00.jpg"))
    with pytest.raises(
        DataError,
        match=r"test_frames_keypoints\.csv is missing; .*holds training/, training_frames_key.*data\.train_parts",
    ):
        reader.faces(["test"])
    with pytest.raises(DataError, match=r"nowhere: no such folder; .*set data\.root"):
        YTF68(tmp_path / "nowhere").faces(["training"])
    (tmp_path / "training/A_B_00.jpg").unlink()
    (tmp_path / "training").rmdir()
    with pytest.raises(
        DataError, match=r"training is missing.*unpack the frames that training_frames_keypoints\.csv lists"
    ):
        reader.faces(["training"])


def test_root_one_folder_too_high(tmp_path):
    (tmp_path / "ytf68").mkdir()
    (tmp_path / "ytf68/training_frames_keypoints.csv").touch()
    with pytest.raises(DataError, match=r"training_frames_keypoints\.csv is missing.*set data\.root=.*/ytf68$"):
        YTF68(tmp_path).faces(["training"])


def test_published_count(make, tmp_path):
    make(row("A_B_00.jpg"))
    with pytest.raises(DataError, match=r"csv: 1 frames where the published list has 3462; .*data\.allow_partial=true"):
        YTF68(tmp_path, allow_partial=False).faces(["training"])


def test_too_many_frames(make):
    names = [f"P{i}_00.jpg" for i in range(3463)]
    with pytest.raises(DataError, match=r"3463 frames where the published list has 3462; remove what was added"):
        make(*map(row, names), frames=names).faces(["training"])


def test_real_rows(real_data):
    faces = YTF68(real_data / "ytf68", allow_partial=False).faces(["training"])
    assert len(faces) == 3462
    people = Counter(face.identity for face in faces)
    assert len(people) == 347
    assert set(people.values()) == {9, 12}
    assert set(Counter((face.identity, face.extra["video"]) for face in faces).values()) == {3}
    points = np.stack([face.landmarks for face in faces])
    assert points.min() == -23
    assert points.max() == 394
    # image left is left: the outer corner of the image-left eye is left of the other one in every frame
    assert (points[:, 36, 0] < points[:, 45, 0]).all()
    reader = YTF68(".")
    for face in faces[::200]:
        height, width = reader.pixels(face.image).shape[:2]
        assert (face.landmarks > -24).all()
        assert (face.landmarks < [width + 4, height + 4]).all()
