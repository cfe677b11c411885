import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canthus.data.readers import CsvLabels
from canthus.utils.errors import DataError

POINTS = [[10, 12], [30.5, 11], [20, 22], [13, 33], [27, 34]]
CELLS = [str(value) for point in POINTS for value in point]
NAMES = [f"{axis}{i}" for i in range(5) for axis in "xy"]
CODES = [f"v{i}" for i in range(5)]
CORNERS = ["box_x1", "box_y1", "box_x2", "box_y2"]


def write(path, header, *rows, delimiter=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "mine"
    for name in ("a.jpg", "b c.png", "more/d.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    write(folder / "train.csv", ["image", *NAMES], ["a.jpg", *CELLS], ["more/d.jpg", *CELLS])
    return folder


def reader(root, **options):
    return CsvLabels(root, **{"label_scheme": 5} | options)


def one(root, header, row, **options):
    write(root / "one.csv", header, row)
    return reader(root, **options).faces(["one"])[0]


def test_a_face(root):
    face = reader(root).faces(["train"])[0]
    assert face.image == root / "a.jpg"
    np.testing.assert_array_equal(face.landmarks, POINTS)
    assert face.visibility.tolist() == [2] * 5
    assert face.box.tolist() == [10, 11, 30.5, 34]
    assert (face.scheme, face.part, face.photo, face.identity) == ("5", "train", "a.jpg", None)
    assert (face.attributes, face.extra) == (frozenset(), {"line": 2})


def test_every_column_in_any_order(root):
    header = ["Attributes", *CORNERS, "identity", *reversed(CODES), *NAMES, "PHOTO", "image"]
    row = ["blur; occlusion;", 5, 6, 40, 41, "Ada", 2, 1, 0, 2, 2, *CELLS, "scene 7", " b c.png "]
    face = one(root, header, row, box="detector")
    assert face.image == root / "b c.png"
    assert face.visibility.tolist() == [2, 2, 0, 1, 2]
    assert np.isnan(face.landmarks[2]).all()
    assert np.isfinite(face.landmarks[[0, 1, 3, 4]]).all()
    assert face.box.tolist() == [5, 6, 40, 41]
    assert (face.identity, face.photo, face.attributes) == ("Ada", "scene 7", {"blur", "occlusion"})


def test_empty_cells_are_unlabelled_points(root):
    face = one(root, ["image", *NAMES], ["a.jpg", "", "", *CELLS[2:]])
    assert face.visibility.tolist() == [0, 2, 2, 2, 2]
    assert face.box.tolist() == [13, 11, 30.5, 34]


@pytest.mark.parametrize("cells", [["", ""], ["-1", "-1"], ["nan", "nan"], ["?", ""]])
def test_cells_of_points_with_code_0_do_not_count(root, cells):
    face = one(root, ["image", *NAMES, *CODES], ["a.jpg", *cells, *CELLS[2:], 0, 1, 2, "1.0", 2])
    assert face.visibility.tolist() == [0, 1, 2, 1, 2]
    assert np.isnan(face.landmarks[0]).all()


def test_negative_coordinates_are_positions(root):
    face = one(root, ["image", *NAMES], ["a.jpg", "-4", "-5", *CELLS[2:]])
    assert face.landmarks[0].tolist() == [-4, -5]
    assert face.visibility[0] == 2


def test_files_that_count_from_1(root):
    face = one(root, ["image", *NAMES, *CORNERS], ["a.jpg", *CELLS, 1, 1, 9, 9], first_pixel=1, box="detector")
    assert face.landmarks[0].tolist() == [9, 11]
    assert face.box.tolist() == [0, 0, 8, 8]


def test_several_faces_of_a_image_share_its_key(root):
    write(root / "train.csv", ["image", *NAMES], ["a.jpg", *CELLS], ["./a.jpg", *CELLS], ["more\\d.jpg", *CELLS])
    faces = reader(root).faces(["train"])
    assert [face.photo for face in faces] == ["a.jpg", "a.jpg", "more/d.jpg"]
    assert faces[2].image == root / "more/d.jpg"


def test_absolute_names_below_the_root(root):
    assert one(root, ["image", *NAMES], [str(root / "more/d.jpg"), *CELLS]).photo == "more/d.jpg"


def test_one_file_with_a_column_for_the_part(root):
    rows = [["a.jpg", *CELLS, "train"], ["b c.png", *CELLS, "test"], ["more/d.jpg", *CELLS, "train"]]
    write(root / "all.csv", ["image", *NAMES, "part"], *rows)
    faces = reader(root, labels="all.csv").faces(["test", "train"])
    assert [(face.part, face.image.name) for face in faces] == [
        ("test", "b c.png"),
        ("train", "a.jpg"),
        ("train", "d.jpg"),
    ]
    with pytest.raises(DataError, match=r"all\.csv \(column part\) has no part 'val', nearest .*: test, train"):
        reader(root, labels=root / "all.csv").faces(["val"])
    with pytest.raises(DataError, match=r"all\.csv:1: has a column part; set data\.labels=all\.csv to select"):
        reader(root).faces(["all"])


def test_one_file_without_such_a_column_is_all(root):
    assert [face.part for face in reader(root, labels="train.csv").faces(["all"])] == ["all", "all"]


def test_part_may_be_said_with_its_ending(root):
    assert len(reader(root).faces(["train.csv"])) == 2


def test_scheme_of_the_labels_decides_the_columns(root):
    names = [f"{axis}{i}" for i in range(98) for axis in "xy"]
    write(root / "wflw.csv", ["image", *names], ["a.jpg", *range(196)])
    face = CsvLabels(root, label_scheme="98").faces(["wflw"])[0]
    assert (face.scheme, face.landmarks.shape) == ("98", (98, 2))
    with pytest.raises(ValueError, match=r"no landmark scheme '97'"):
        CsvLabels(root, label_scheme="97")


def test_byte_order_mark_blank_lines_and_quotes(root):
    lines = ["\ufeffimage," + ",".join(NAMES), "", '"b c.png",' + ",".join(CELLS), ",,", ""]
    (root / "train.csv").write_text("\r\n".join(lines), encoding="utf-8", newline="")
    assert [face.extra["line"] for face in reader(root).faces(["train"])] == [3]


def test_other_columns_are_named_in_the_log(root, caplog):
    one(root, ["image", *NAMES, "scale", "center_w"], ["a.jpg", *CELLS, 1, 2])
    assert "one.csv: ignores the columns scale, center_w" in caplog.text


def test_missing_images(root, caplog):
    (root / "more/d.jpg").unlink()
    with pytest.raises(DataError, match=r"train\.csv:3: .*d\.jpg does not exist; 1 of 2 listed.*data\.allow_partial"):
        reader(root).faces(["train"])
    assert [face.photo for face in reader(root, allow_partial=True).faces(["train"])] == ["a.jpg"]
    assert "1 of 2 listed images are missing, first more/d.jpg" in caplog.text


HEADER = ["image", *NAMES]


@pytest.mark.parametrize(
    ("header", "rows", "options", "message"),
    [
        pytest.param(HEADER, [], {}, r": no rows after the header; save", id="no-rows"),
        pytest.param(HEADER[1:], [CELLS], {}, r":1: the header lacks the column image; add it", id="no-image"),
        pytest.param(HEADER[:-1], [["a.jpg", *CELLS]], {}, r":1: the header lacks the column y4; add", id="no-y4"),
        pytest.param(
            HEADER,
            [["a.jpg", *CELLS]],
            {"label_scheme": 68},
            r":1: the header lacks the column x5 \(and 125 more\)",
            id="68",
        ),
        pytest.param([*HEADER, "x5"], [], {}, r":1: column x5 is beyond the 5 points .*data\.label_scheme", id="x5"),
        pytest.param(
            [*HEADER, "v0"],
            [],
            {},
            r":1: the header lacks the column v1 \(and 3 more\); give visibility for all",
            id="v0",
        ),
        pytest.param(
            [*HEADER, "box_x1"],
            [],
            {},
            r":1: the header lacks the column box_y1 .*; give all four corners",
            id="corner",
        ),
        pytest.param([*HEADER, "atributes"], [], {}, r":1: column 'atributes' is not known, .*'attributes'", id="typo"),
        pytest.param([*HEADER, "X0"], [], {}, r":1: column x0 occurs more than once; remove one", id="doubled"),
        pytest.param(
            HEADER, [["a.jpg", *CELLS[:-1]]], {}, r":2: 10 cells where the header has 11; restore", id="short"
        ),
        pytest.param(HEADER, [["a.jpg", *CELLS, 1]], {}, r":2: 12 cells where the header has 11", id="long"),
        pytest.param(HEADER, [["", *CELLS]], {}, r":2: '' names no image; give", id="no-name"),
        pytest.param(
            HEADER, [["/etc/a.jpg", *CELLS]], {}, r":2: '/etc/a.jpg' is not below .*data\.root", id="absolute"
        ),
        pytest.param(HEADER, [["../a.jpg", *CELLS]], {}, r":2: '\.\./a.jpg' is not below", id="upwards"),
        pytest.param(HEADER, [["a.jpg", "x", *CELLS[1:]]], {}, r":2: x0 is 'x', not a number; correct", id="word"),
        pytest.param(HEADER, [["a.jpg", *CELLS[:9], "3,5"]], {}, r":2: y4 is '3,5', not a number", id="comma"),
        pytest.param(HEADER, [["a.jpg", "nan", *CELLS[1:]]], {}, r":2: x0 is 'nan', not a number", id="nan"),
        pytest.param(HEADER, [["a.jpg", "1e999", *CELLS[1:]]], {}, r":2: x0 is '1e999', not a number", id="inf"),
        pytest.param(HEADER, [["a.jpg", "1_0", *CELLS[1:]]], {}, r":2: x0 is '1_0', not a number", id="underscore"),
        pytest.param(HEADER, [["a.jpg", "", *CELLS[1:]]], {}, r":2: x0 or y0 is empty; fill both, or empty", id="half"),
        pytest.param(
            [*HEADER, *CODES],
            [["a.jpg", "", "", *CELLS[2:], *"22222"]],
            {},
            r":2: x0 or y0 is empty; .*v0 = 0",
            id="v2",
        ),
        pytest.param([*HEADER, *CODES], [["a.jpg", *CELLS, *"22322"]], {}, r":2: v2 is 3, not 0, 1 or 2", id="code"),
        pytest.param([*HEADER, *CODES], [["a.jpg", *CELLS, *"22", "", *"22"]], {}, r":2: v2 is '', not a num", id="v-"),
        pytest.param(HEADER, [["a.jpg", *[""] * 10]], {}, r":2: the 0 labelled points span no box; label", id="none"),
        pytest.param(HEADER, [["a.jpg", *[""] * 8, 1, 2]], {}, r":2: the 1 labelled points span no box", id="single"),
        pytest.param(
            HEADER, [["a.jpg", *CELLS]], {"box": "detector"}, r":1: has no columns box_x1, .*data\.box=gt", id="b"
        ),
        pytest.param(
            [*HEADER, *CORNERS],
            [["a.jpg", *CELLS, 9, 9, 1, 1]],
            {"box": "detector"},
            r":2: the box \(9, 9, 1, 1\)",
            id="io",
        ),
        pytest.param(
            [*HEADER, "part"], [["a.jpg", *CELLS, ""]], {"labels": "one.csv"}, r":2: the cell .*part", id="part"
        ),
        # rows of another order than the header
        pytest.param(HEADER, [[*CELLS, "a.jpg"]], {}, r":2: y4 is 'a.jpg', not a number; correct", id="reordered"),
    ],
)
def test_bad_files_name_line_and_remedy(root, header, rows, options, message):
    write(root / "one.csv", header, *rows)
    with pytest.raises(DataError, match=r"one\.csv" + message):
        reader(root, **options).faces(["one"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r":1: the file is empty; save"),
        (b"\n \r\n,,\n", r":1: the file is empty"),
        (b"\xff\xfeimage", r": is not a csv file in UTF-8 .*; save"),
        (b"image\n\x89PNG\xff", r": is not a csv file in UTF-8"),
        (b'image,"x0\n1,2\n', r": is not a csv file in UTF-8 \(unexpected end of data\)"),
        ((";".join(HEADER) + "\na.jpg;" + ";".join(CELLS)).encode(), r":1: columns are not separated by commas; save"),
        ("\t".join(HEADER).encode(), r":1: columns are not separated by commas"),
    ],
)
def test_unreadable_files(root, content, message):
    (root / "one.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"one\.csv" + message):
        reader(root).faces(["one"])


def test_missing_root_and_files(root, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        reader(tmp_path / "nowhere").faces(["train"])
    with pytest.raises(
        DataError, match=r"test\.csv is missing; the folder holds a\.jpg.*data\.test_parts or data\.lab"
    ):
        reader(root).faces(["test"])
    with pytest.raises(DataError, match=rf"train\.csv is missing; .*set data\.root={root}$"):
        reader(tmp_path).faces(["train"])
    with pytest.raises(DataError, match=r"data\.box is 'tight'; choose 'gt'"):
        reader(root, box="tight")
    with pytest.raises(DataError, match=r"data\.first_pixel is '2'"):
        reader(root, first_pixel=2)


@given(
    points=st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 2), min_size=5, max_size=5),
    codes=st.lists(st.integers(0, 2), min_size=5, max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read(points, codes, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "written_csv"
    root.mkdir(exist_ok=True)
    (root / "a.jpg").touch()
    cells = [value for point in points for value in point]
    face = one(root, [*HEADER, *CODES, *CORNERS], ["a.jpg", *cells, *codes, 0, 0, 5, 5], box="detector")
    expected = np.where(np.array(codes)[:, None] > 0, np.array(points), np.nan)
    np.testing.assert_array_equal(face.landmarks, expected)
    assert face.visibility.tolist() == codes
