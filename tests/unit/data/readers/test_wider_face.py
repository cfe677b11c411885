import logging

import numpy as np
import pytest

from canthus.data.readers import WiderFace
from canthus.utils.errors import DataError

PARADE, MARCH, EMPTY = "0--Parade/0_Parade_a_1_849.jpg", "2--Demonstration/2 march.jpg", "0--Parade/0_Parade_b_3.jpg"
# x y w h blur expression illumination INVALID occlusion pose, with the blank at the end that the official lines have
TEXT = f"""{PARADE}
3
449 330 122 149 0 0 0 0 0 0 
10 20 30 40 1 1 1 1 1 1 
5 6 7 8 2 0 0 0 2 0 
{EMPTY}
0
0 0 0 0 0 0 0 0 0 0 
{MARCH}
2
78 221 7 8 2 0 0 0 0 0 
78 238 0 17 2 0 0 1 2 0 
"""  # noqa: W291
POINTS = "488.906 373.643 0.0 542.089 376.442 0.0 515.031 412.83 1.0 485.174 425.893 0.0 538.357 431.491 0.0 0.82"
LABELS = f"# {PARADE}\n449 330 122 149 {POINTS}\n5 6 7 8 {'-1.0 ' * 15}0.1\n# {MARCH}\n78 221 7 8\n"


def write(root, text=TEXT, part="val", images=(PARADE, MARCH, EMPTY)):
    (root / "wider_face_split").mkdir(parents=True, exist_ok=True)
    (root / f"wider_face_split/wider_face_{part}_bbx_gt.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    (root / f"WIDER_{part}/images").mkdir(parents=True, exist_ok=True)
    for name in images:
        file = root / f"WIDER_{part}/images" / name
        file.parent.mkdir(exist_ok=True)
        file.touch()


@pytest.fixture
def root(tmp_path):
    write(tmp_path)
    return tmp_path


def faces(root, part="val", **options):
    return WiderFace(root, allow_partial=True, **options).faces([part])


def test_a_face(root):
    face = faces(root)[0]
    assert face.image == root / "WIDER_val/images" / PARADE
    assert face.box.tolist() == [449, 330, 449 + 122, 330 + 149]
    assert face.visibility.tolist() == [0] * 5
    assert np.isnan(face.landmarks).all()
    assert (face.scheme, face.part, face.photo) == ("5", "val", "val/0--Parade/0_Parade_a_1_849")
    assert face.attributes == frozenset()
    assert face.extra["line"] == 3


def test_columns_seven_to_nine_are_invalid_occlusion_pose(root):
    clear, hard, heavy = (face.attributes for face in faces(root)[:3])
    assert clear == set()
    assert hard == {"blur_normal", "expression", "illumination", "invalid", "occlusion_partial", "pose"}
    assert heavy == {"blur_heavy", "occlusion_heavy"}


@pytest.mark.parametrize(
    ("column", "name"), list(enumerate(["expression", "illumination", "invalid", "occlusion_partial", "pose"]))
)
def test_each_flag_by_its_column(root, column, name):
    flags = ["0"] * 5
    flags[column] = "1"
    write(root, f"{PARADE}\n1\n1 2 3 4 0 {' '.join(flags)}\n")
    assert faces(root)[0].attributes == {name}


def test_line_of_zeros_of_a_image_without_faces_is_no_face(root):
    names = {face.photo for face in faces(root)}
    assert "val/0--Parade/0_Parade_b_3" not in names
    write(root, TEXT.replace("0 0 0 0 0 0 0 0 0 0 \n", ""))  # mirrors drop that line
    assert {face.photo for face in faces(root)} == names


def test_images_without_faces_are_images(root):
    """What nobody is in teaches a detector most about what is no face."""
    reader = WiderFace(root, allow_partial=True)
    images = reader.whole_images(["val"])
    empty = [photo for photo in images if not photo.faces]
    assert [photo.image.name for photo in empty] == [EMPTY.rpartition("/")[2]]
    assert empty[0].photo == f"val/{EMPTY.rpartition('.')[0]}"
    assert sum(len(photo.faces) for photo in images) == len(reader.faces(["val"]))
    for photo in images:
        assert photo.ignored.tolist() == ["invalid" in face.attributes for face in photo.faces]
    assert any(photo.ignored.any() for photo in images)


@pytest.mark.parametrize("zeros", ["0 0 0 0 0 0 0 0 0 0", "0 0 0 0 0 0 0 0 0 0 \n"])
def test_image_without_faces_at_the_end(root, zeros):
    write(root, f"{PARADE}\n1\n1 2 3 4 0 0 0 0 0 0\n{EMPTY}\n0\n{zeros}")
    assert len(faces(root)) == 1


def test_boxes_without_area_are_left_out_and_counted(root, caplog):
    assert [face.box.tolist() for face in faces(root) if "march" in face.photo] == [[78, 221, 85, 229]]
    assert "wider_face_val_bbx_gt.txt: 1 boxes have no width or height and are left out" in caplog.text
    write(root, TEXT.replace("78 221 7 8", "78 221 7 -8"))
    caplog.clear()
    faces(root)
    assert "2 boxes have no width or height" in caplog.text


def test_invalid_faces_can_be_left_out(root, caplog):
    with caplog.at_level(logging.INFO):
        assert [face.extra["line"] for face in faces(root, drop_invalid=True)] == [3, 5, 11]
    assert "1 invalid boxes are left out (data.drop_invalid=true)" in caplog.text


@pytest.mark.parametrize("folder", ["val", "retinaface/val", "retinaface_gt_v1.1/val"])
def test_five_points_of_retinaface(root, folder, caplog):
    (root / folder).mkdir(parents=True)
    (root / folder / "label.txt").write_text(LABELS)
    with caplog.at_level(logging.INFO):
        labelled, unknown, negative, box_alone = faces(root)
    assert labelled.landmarks.tolist()[0] == [488.906, 373.643]
    assert labelled.visibility.tolist() == [2, 2, 1, 2, 2]
    for face in (unknown, negative, box_alone):
        assert face.visibility.tolist() == [0] * 5
        assert np.isnan(face.landmarks).all()
    assert "1 of 4 faces have five points" in caplog.text
    assert "2 faces have no row in RetinaFace's label.txt" in caplog.text  # one of them has a box without width
    assert "match no box" not in caplog.text


def test_no_five_points_at_hand_is_said(root, caplog):
    with caplog.at_level(logging.INFO):
        faces(root)
    assert "no label.txt of RetinaFace for val, so that no face has landmarks" in caplog.text


def test_labels_of_other_boxes_are_counted(root, caplog):
    (root / "val").mkdir()
    (root / "val/label.txt").write_text(LABELS.replace("449 330", "450 330"))
    assert not any(face.visibility.any() for face in faces(root))
    assert "1 faces of RetinaFace's label.txt match no box" in caplog.text


def test_equal_boxes_take_their_labels_in_order(root):
    write(root, f"{PARADE}\n2\n449 330 122 149 0 0 0 0 0 0\n449 330 122 149 0 0 0 0 0 0\n")
    (root / "val").mkdir()
    (root / "val/label.txt").write_text(f"# {PARADE}\n449 330 122 149 {'-1.0 ' * 15}0.1\n449 330 122 149 {POINTS}\n")
    assert [bool(face.visibility.any()) for face in faces(root)] == [False, True]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("", r"label\.txt:1: the file is empty"),
        (f"449 330 122 149 {POINTS}\n", r"label\.txt:1: a face before the first '# path'"),
        (f"# {PARADE}\n449 330 122 149 {POINTS[:-5]}\n", r"label\.txt:2: 19 numbers, not 20"),
        (f"# {PARADE}\n449 330 122 149 {POINTS.replace('0.82', 'good')}\n", r"label\.txt:2: x y w h, .* but .*'good'"),
    ],
)
def test_damaged_labels(root, labels, message):
    (root / "val").mkdir()
    (root / "val/label.txt").write_text(labels)
    with pytest.raises(DataError, match=message):
        faces(root)


def replaced(old, new):
    assert old in TEXT
    return TEXT.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n", r":1: the file is empty"),
        (replaced("\n3\n", "\n4\n"), r":6: '0--Parade/0_Parade_b_3\.jpg' stands where face 4 of 4 of 0--Parade"),
        (replaced("\n3\n", "\n2\n"), r":5: '5 6 7 8 .*' stands where the path of an image is expected"),
        (replaced("\n3\n", "\nthree\n"), r":2: 'three' where the number of faces of 0--Parade.* is expected"),
        (replaced("\n3\n", "\n-3\n"), r":2: '-3' where the number of faces"),
        (replaced("\n3\n", "\n3.0\n"), r":2: '3\.0' where the number of faces"),
        (replaced(f"{PARADE}\n", ""), r":1: '3' stands where the path"),
        (TEXT[: TEXT.index("78 238")], r":11: the file ends after 1 of 2 faces of 2--Demonstration/2 march\.jpg"),
        (TEXT[: TEXT.index("2\n78 221")], r":10: 'the end of the file' where the number of faces"),
        (replaced("449 330 122 149 0", "449 330 122 149"), r":3: 9 numbers where a face has 10"),
        (replaced("449 330", "449 abc"), r":3: ten whole numbers expected, but .*'abc'"),
        (replaced("449 330", "449 inf"), r":3: ten whole numbers expected, but 'inf' is not finite"),
        # columns in the order occlusion, pose, invalid
        (
            replaced("5 6 7 8 2 0 0 0 2 0", "5 6 7 8 2 0 0 2 0 0"),
            r":5: column 8 \(invalid\) is 2, not 0 to 1; the order",
        ),
        (replaced("10 20 30 40 1", "10 20 30 40 3"), r":4: column 5 \(blur\) is 3, not 0 to 2"),
        (replaced("10 20 30 40 1 1", "10 20 30 40 1 0.5"), r":4: column 6 \(expression\) is 0\.5, not 0 to 1"),
        (replaced("0\n0 0 0 0 0 0 0 0 0 0", "0\n1 2 3 4 0 0 0 0 0 0"), r":8: '1 2 3 4 .*' stands where the path"),
    ],
)
def test_damaged_lists(root, text, message):
    write(root, text)
    with pytest.raises(DataError, match=rf"wider_face_val_bbx_gt\.txt{message}"):
        faces(root)


def test_line_endings(root):
    write(root, TEXT.replace("\n", "\r\n"))
    assert len(faces(root)) == 4


def test_missing_things(root, caplog):
    (root / "WIDER_val/images" / MARCH).unlink()
    assert len(faces(root)) == 3
    assert "1 of 3 listed images are missing, first 2--Demonstration/2 march.jpg" in caplog.text
    with pytest.raises(DataError, match=r"wider_face_train_bbx_gt\.txt is missing; .*unpack the annotations"):
        faces(root, "train")
    write(root, TEXT, "train")
    (root / "WIDER_train").rename(root / "train")
    with pytest.raises(DataError, match=r"WIDER_train/images is missing; .*unpack the images"):
        faces(root, "train")


def test_unknown_part(root):
    with pytest.raises(DataError, match=r"WIDER FACE has no part 'test', nearest .*train, val"):
        faces(root, "test")


def official(*, images=3226, boxes=39_708, invalid=585):
    """A list with the official numbers of val: all but the first image have one face."""
    rows = ["1 2 3 4 0 0 0 0 0 0\n"] * boxes
    rows[:invalid] = ["1 2 3 4 0 0 0 1 0 0\n"] * invalid
    first = boxes - images + 1
    blocks = [f"{PARADE}\n{first}\n{''.join(rows[:first])}"]
    return "".join(blocks + [f"{PARADE}\n1\n{row}" for row in rows[first:]])


def test_official_counts(root):
    reader = WiderFace(root)
    with pytest.raises(DataError, match=r"val_bbx_gt\.txt: 3 images where the official one has 3226; complete it"):
        reader.faces(["val"])
    write(root, official(boxes=39_707))
    with pytest.raises(DataError, match=r"39707 boxes where the official one has 39708"):
        reader.faces(["val"])
    write(root, official(invalid=1655))
    with pytest.raises(DataError, match=r"1655 boxes are marked invalid .* 585; its columns are in another order"):
        reader.faces(["val"])
    write(root, official())
    assert len(WiderFace(root, drop_invalid=True).faces(["val"])) == 39_708 - 585


def test_published_number_of_boxes_may_count_lines_of_zeros(root, monkeypatch):
    from canthus.data.readers.wider_face import _Part

    monkeypatch.setitem(WiderFace._part.__globals__["_PARTS"], "val", _Part(3, 6))
    assert len(WiderFace(root).faces(["val"])) == 4  # 5 boxes, one of no width, and one line of zeros
