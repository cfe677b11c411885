import pytest

from canthus.data.readers import CelebA
from canthus.utils.errors import DataError

POINT_HEADER = (
    "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
)
ROWS = {
    "000001.jpg": "165  184  244  176  196  249  194  271  266  260",
    "000002.jpg": "140  204  220  204  168  254  146  289  226  289",
    "000003.jpg": "244  104  264  105  263  121  235  134  251  140",
    "000004.jpg": "796  539  984  539  930  687  762  756  915  756",
}
BOXES = {"000001.jpg": "95  71 226 313", "000002.jpg": "72 94 221 306", "000003.jpg": "216  59  91 126"}
BOXES["000004.jpg"] = "622 257 564 781"
CODES = {"000001.jpg": "0", "000002.jpg": "0", "000003.jpg": "1", "000004.jpg": "2"}


def headed(header, rows, announced=None):
    lines = "".join(f"{name}  {row}\n" for name, row in rows.items())
    return f"{len(rows) if announced is None else announced}\n{header} \n{lines}"


def write(root, *, points=None, boxes=None, codes=None):
    root.mkdir(parents=True, exist_ok=True)
    lists = {
        "list_landmarks_celeba.txt": points or headed(POINT_HEADER, ROWS),
        "list_bbox_celeba.txt": boxes or headed("image_id x_1 y_1 width height", BOXES),
        "list_eval_partition.txt": codes or "".join(f"{name} {code}\n" for name, code in CODES.items()),
    }
    for name, text in lists.items():
        (root / name).write_bytes(text.encode("utf-8", "surrogatepass"))


ATTRIBUTES = {"000001.jpg": "-1  1 -1", "000002.jpg": "-1 -1  1", "000003.jpg": " 1 -1 -1", "000004.jpg": "-1 -1 -1"}
ATTRIBUTE_HEADER = "5_o_Clock_Shadow Blurry Eyeglasses"


@pytest.fixture
def root(tmp_path):
    write(tmp_path)
    (tmp_path / "img_celeba").mkdir()
    for name in ROWS:
        (tmp_path / "img_celeba" / name).touch()
    return tmp_path


def partial(root, **options):
    return CelebA(root, allow_partial=True, **options)


def test_a_face(root):
    face = partial(root).faces(["train"])[0]
    assert face.image == root / "img_celeba/000001.jpg"
    assert face.landmarks.tolist() == [[165, 184], [244, 176], [196, 249], [194, 271], [266, 260]]
    assert face.box.tolist() == [95, 71, 95 + 226, 71 + 313]
    assert face.visibility.tolist() == [2] * 5
    assert (face.scheme, face.part, face.photo, face.identity) == ("5", "train", "000001", None)


def test_partition(root):
    reader = partial(root)
    names = {part: [face.image.stem for face in reader.faces([part])] for part in ("train", "valid", "test")}
    assert names == {"train": ["000001", "000002"], "valid": ["000003"], "test": ["000004"]}


def test_identities_where_present(root):
    (root / "identity_CelebA.txt").write_text("".join(f"{name} {number}\n" for number, name in enumerate(ROWS, 2880)))
    assert [face.identity for face in partial(root).faces(["train"])] == ["2880", "2881"]


def test_folders_as_distributed(root):
    for name, folder in (
        ("list_landmarks_celeba", "Anno"),
        ("list_bbox_celeba", "Anno"),
        ("list_eval_partition", "Eval"),
    ):
        (root / folder).mkdir(exist_ok=True)
        (root / f"{name}.txt").rename(root / folder / f"{name}.txt")
    (root / "Img").mkdir()
    (root / "img_celeba").rename(root / "Img/img_celeba")
    assert len(partial(root).faces(["train"])) == 2


def test_header_may_name_the_first_column(root):
    write(root, points=headed(f"image_id {POINT_HEADER}", ROWS), boxes=headed("x_1 y_1 width height", BOXES))
    assert len(partial(root).faces(["train"])) == 2


def test_line_endings(root):
    write(root, points=headed(POINT_HEADER, ROWS).replace("\n", "\r\n"))
    assert len(partial(root).faces(["train"])) == 2


def test_boxes_without_area_are_left_out_and_counted(root, caplog):
    write(root, boxes=headed("x_1 y_1 width height", {**BOXES, "000002.jpg": "0 0 0 0"}))
    assert [face.photo for face in partial(root).faces(["train"])] == ["000001"]
    assert "list_bbox_celeba.txt: 1 boxes of train have no area; their faces are left out" in caplog.text


def test_tight_boxes_need_no_list(root):
    (root / "list_bbox_celeba.txt").unlink()
    assert partial(root, box="gt").faces(["train"])[0].box.tolist() == [165, 176, 266, 271]
    with pytest.raises(DataError, match=r"list_bbox_celeba\.txt or Anno/list_bbox_celeba\.txt is missing"):
        partial(root).faces(["train"])


def test_list_of_the_aligned_images_does_not_do(root):
    (root / "list_landmarks_celeba.txt").rename(root / "list_landmarks_align_celeba.txt")
    with pytest.raises(DataError, match=r"list_landmarks_celeba\.txt is missing.*that of the aligned images does not"):
        partial(root).faces(["train"])
    (root / "list_landmarks_align_celeba.txt").rename(root / "list_landmarks_celeba.txt")
    (root / "img_celeba").rename(root / "img_align_celeba")
    with pytest.raises(DataError, match=r"img_celeba or Img/img_celeba is missing; .*unpack the unaligned images"):
        partial(root).faces(["train"])


def without(rows, *names):
    return {name: row for name, row in rows.items() if name not in names}


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"points": " \n"}, r"list_landmarks_celeba\.txt:1: the file is empty"),
        (
            {"points": headed(POINT_HEADER, ROWS, "many")},
            r"landmarks_celeba\.txt:1: 'many' is not the number of images",
        ),
        ({"points": headed(POINT_HEADER, ROWS, 5)}, r"landmarks_celeba\.txt:6: 4 rows end here, line 1 announces 5"),
        ({"points": headed(POINT_HEADER, ROWS)[:-60]}, r"landmarks_celeba\.txt:5: 3 rows end here|:\d: \d columns"),
        ({"points": headed("x y", ROWS)}, r"landmarks_celeba\.txt:2: the columns are 'x y', not 'lefteye_x lefteye_y"),
        ({"points": "4\n"}, r"landmarks_celeba\.txt:2: the columns are '', not 'lefteye_x"),
        (
            {"points": headed(POINT_HEADER, {**ROWS, "000002.jpg": "1 2 3"})},
            r"landmarks_celeba\.txt:4: 3 columns follow the name where 10",
        ),
        (
            {"points": headed(POINT_HEADER, {**ROWS, "000002.jpg": "1 2 3 4 five 6 7 8 9 10"})},
            r"landmarks_celeba\.txt:4: x y of five points expected, but .*'five'",
        ),
        (
            {"points": headed(POINT_HEADER, without(ROWS, "000002.jpg"))},
            r"partition\.txt:2: 000002\.jpg is not in .*landmarks",
        ),
        (
            {"points": headed(POINT_HEADER, ROWS, 5) + "000001.jpg 1 2 3 4 5 6 7 8 9 10\n"},
            r":7: 000001\.jpg was .* line 3",
        ),
        (
            {"boxes": headed("x_1 x_2 y_1 y_2", BOXES)},
            r"bbox_celeba\.txt:2: the columns are 'x_1 x_2 y_1 y_2', not 'x_1 y_1",
        ),
        (
            {"boxes": headed("x_1 y_1 width height", without(BOXES, "000001.jpg"))},
            r"partition\.txt:1: .* not in .*bbox",
        ),
        (
            {"boxes": headed("x_1 y_1 width height", {**BOXES, "000001.jpg": "1 2 nan 4"})},
            r"bbox_celeba\.txt:3: x y width height expected, but 'nan' is not finite",
        ),
        (
            {"codes": "000001.jpg 0\n000002.jpg 3\n"},
            r"partition\.txt:2: 000002\.jpg is in partition '3', not 0, 1 or 2",
        ),
        ({"codes": "4\nimage_id partition\n000001.jpg 0\n"}, r"partition\.txt:1: 0 columns follow the name where 1"),
        ({"codes": "000001.jpg 1\n"}, r"partition\.txt: 0 images of train where .* 162770; check"),
    ],
)
def test_damaged_lists(root, lists, message):
    write(root, **lists)
    with pytest.raises(DataError, match=message):
        partial(root).faces(["train"])


def test_missing_images(root, caplog):
    (root / "img_celeba/000002.jpg").unlink()
    assert len(partial(root).faces(["train"])) == 1
    assert "1 of 2 listed images are missing" in caplog.text
    with pytest.raises(DataError, match=r"2 images of train where the official one has 162770; complete it"):
        CelebA(root).faces(["train"])


def test_unknown_names(root):
    with pytest.raises(DataError, match=r"CelebA has no part 'val', nearest 'valid'"):
        partial(root).faces(["val"])
    with pytest.raises(DataError, match=r"data\.box is 'tight'; choose 'official'"):
        CelebA(root, box="tight")


def test_images_that_are_not_there_are_left_out_of_large_lists(tmp_path):
    """The validation part in full, in lists of a fifth of the official length."""
    names = [f"{i:06d}.jpg" for i in range(1, 40_001)]
    points = ROWS["000001.jpg"]
    write(
        tmp_path,
        points=headed(POINT_HEADER, dict.fromkeys(names, points)),
        boxes=headed("x_1 y_1 width height", dict.fromkeys(names, "95  71 226 313")),
        codes="".join(f"{name} {1 if i < 19_867 else 0}\n" for i, name in enumerate(names)),
    )
    (tmp_path / "img_celeba").mkdir()
    for name in names[:100]:
        (tmp_path / "img_celeba" / name).touch()
    assert len(partial(tmp_path).faces(["valid"])) == 100


def test_attributes_asked_for(root):
    (root / "list_attr_celeba.txt").write_text(headed(ATTRIBUTE_HEADER, ATTRIBUTES))
    faces = partial(root, attributes=["Eyeglasses", "Blurry"]).faces(["train", "valid"])
    assert [face.attributes for face in faces] == [{"Blurry"}, {"Eyeglasses"}, set()]
    assert all(face.attributes == frozenset() for face in partial(root).faces(["train"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            headed(ATTRIBUTE_HEADER.replace("Blurry", "Bald"), ATTRIBUTES),
            r":2: no attribute 'Blurry', nearest \['Bald'\]",
        ),
        (headed(ATTRIBUTE_HEADER, ATTRIBUTES | {"000002.jpg": "-1 0 1"}), r":4: '0' where attributes are 1 or -1"),
        (headed(ATTRIBUTE_HEADER, ATTRIBUTES | {"000002.jpg": "-1 1"}), r":4: 2 columns follow the name where 3"),
        (headed(ATTRIBUTE_HEADER, ATTRIBUTES, announced=5), r":6: 4 rows end here, line 1 announces 5"),
        ("4\n", r":2: no attribute 'Blurry'"),
        ("", r":1: the file is empty"),
    ],
)
def test_damaged_attributes(root, text, message):
    (root / "list_attr_celeba.txt").write_text(text)
    with pytest.raises(DataError, match=r"list_attr_celeba\.txt" + message):
        partial(root, attributes=["Blurry"]).faces(["train"])


def test_attributes_without_list_or_row(root):
    with pytest.raises(DataError, match=r"list_attr_celeba\.txt or Anno/list_attr_celeba\.txt is missing"):
        partial(root, attributes=["Blurry"]).faces(["train"])
    rows = {name: row for name, row in ATTRIBUTES.items() if name != "000001.jpg"}
    (root / "list_attr_celeba.txt").write_text(headed(ATTRIBUTE_HEADER, rows))
    with pytest.raises(DataError, match=r"partition\.txt:1: 000001\.jpg is not in list_attr_celeba\.txt"):
        partial(root, attributes=["Blurry"]).faces(["train"])
