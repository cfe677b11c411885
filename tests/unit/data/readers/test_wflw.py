import numpy as np
import pytest

from canthus.data.readers import WFLW, wflw
from canthus.schemes import load_scheme, reduce_landmarks
from canthus.utils.errors import DataError

SHAPE = np.random.default_rng(0).uniform(10, 400, (98, 2)).round(6)
RECT = (120, 80, 210, 190)
LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test"
ATTRIBUTES = ["pose", "expression", "illumination", "makeup", "occlusion", "blur"]


def line(name="0--Parade/0_Parade_marchingband_1_116.jpg", points=SHAPE, rect=RECT, flags=(0, 0, 0, 0, 0, 0)):
    """One of 207 columns as distributed: six decimals, integers, blanks between."""
    coordinates = " ".join(f"{value:.6f}" for value in points.flat)
    return " ".join([coordinates, *map(str, rect), *map(str, flags), name])


def write(root, part, lines, images=None):
    """A list, and an empty file for each image: readers do not open them."""
    path = root / LISTS / f"list_98pt_rect_attr_{part}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    for name in images if images is not None else {text.split(maxsplit=206)[-1] for text in lines}:
        (root / "WFLW_images" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "WFLW_images" / name).touch()
    return path


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "wflw"
    other = "37--Soccer/37_Soccer_soccer_ball_37_281.jpg"
    write(folder, "train", [line(flags=(0, 0, 1, 0, 0, 1)), line(points=SHAPE + 50), line(other, rect=(0, 0, 9, 9))])
    write(folder, "test", [line(other, flags=(1, 0, 0, 0, 1, 0))])
    return folder


def partial(root, **options):
    return WFLW(root, allow_partial=True, **options)


def test_a_face(root):
    face = partial(root).faces(["train"])[0]
    assert face.image == root / "WFLW_images/0--Parade/0_Parade_marchingband_1_116.jpg"
    # nothing is taken off: the files count from 0
    np.testing.assert_array_equal(face.landmarks, SHAPE)
    np.testing.assert_array_equal(face.box, [*SHAPE.min(0), *SHAPE.max(0)])
    assert face.visibility.tolist() == [2] * 98
    assert face.attributes == {"illumination", "blur"}
    assert (face.scheme, face.part, face.extra) == ("98", "train", {"line": 1})


@pytest.mark.parametrize("number", range(6))
def test_order_of_the_flags(tmp_path, number):
    write(tmp_path, "test", [line(flags=[int(i == number) for i in range(6)])])
    assert partial(tmp_path).faces(["test"])[0].attributes == {ATTRIBUTES[number]}


def test_faces_of_one_image_share_its_key_and_differ_in_line(root):
    faces = partial(root).faces(["train"])
    assert [face.photo.split("/")[0] for face in faces] == ["0--Parade", "0--Parade", "37--Soccer"]
    assert faces[0].image == faces[1].image
    assert [face.extra["line"] for face in faces] == [1, 2, 3]


def test_parts_come_in_the_order_asked(root):
    assert [face.part for face in partial(root).faces(["test", "train"])] == ["test", *["train"] * 3]


def test_rectangle_of_the_list(root):
    faces = partial(root, box="detector").faces(["train"])
    # much smaller than the points, and used as it is
    assert [face.box.tolist() for face in faces] == [[120, 80, 210, 190], [120, 80, 210, 190], [0, 0, 9, 9]]


def test_points_outside_the_image_are_kept(tmp_path):
    write(tmp_path, "train", [line(points=SHAPE - 300)])
    np.testing.assert_allclose(partial(tmp_path).faces(["train"])[0].landmarks, SHAPE - 300, atol=1e-6)


def test_names_with_blanks_and_backslashes(tmp_path):
    name = "50--Celebration Or Party/50_Celebration Or_Party_1.jpg"
    write(tmp_path, "train", [line(name)])
    assert partial(tmp_path).faces(["train"])[0].photo == name
    write(tmp_path, "train", [line(name.replace("/", "\\"))], images=[name])
    assert partial(tmp_path).faces(["train"])[0].image == tmp_path / "WFLW_images" / name


@pytest.mark.parametrize("change", [("\n", "\r\n"), ("\n", " \n\n"), (" ", "  \t"), ("\n", "\r")])
def test_line_ends_blank_lines_and_blanks(root, change):
    path = root / LISTS / "list_98pt_rect_attr_train.txt"
    before = partial(root).faces(["train"])
    path.write_bytes(path.read_text().replace(*change).encode())
    for a, b in zip(before, partial(root).faces(["train"]), strict=True):
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
        assert a.image == b.image


def test_list_without_the_folder_of_the_archive(root):
    (root / LISTS).rename(root / "list_98pt_rect_attr_train_test")
    assert len(partial(root).faces(["train"])) == 3


def test_reduces_to_68_and_5(root):
    face = partial(root).faces(["train"])[0]
    for target, points in (("68", 68), ("68-index", 68), ("5", 5)):
        landmarks, seen = reduce_landmarks(face.landmarks, face.visibility, load_scheme(face.scheme), target)
        assert landmarks.shape == (points, 2)
        assert (seen == 2).all()


def official(root, part, counts):
    """A list of the official length whose flags are set for the first ``counts`` faces."""
    faces = {"train": 7500, "test": 2500}[part]
    template = line(flags="@")
    lines = [template.replace("@", " ".join(str(int(i < count)) for count in counts)) for i in range(faces)]
    write(root, part, lines, images=["0--Parade/0_Parade_marchingband_1_116.jpg"])


def test_official_counts(tmp_path):
    official(tmp_path, "train", [0] * 6)
    official(tmp_path, "test", [326, 314, 698, 206, 736, 773])
    faces = WFLW(tmp_path).faces(["train", "test"])
    assert len(faces) == 10_000
    assert sum("makeup" in face.attributes for face in faces) == 206


def test_flags_in_another_order_are_noticed(tmp_path):
    official(tmp_path, "test", [326, 314, 698, 206, 773, 736])
    with pytest.raises(
        DataError, match=r"rect_attr_test\.txt: 773 faces under 'occlusion' where 736 are published; use"
    ):
        WFLW(tmp_path).faces(["test"])
    assert len(partial(tmp_path).faces(["test"])) == 2500


def test_another_number_of_faces(root):
    with pytest.raises(DataError, match=r"train\.txt: 3 faces where the official one has 7500; .*data\.allow_partial"):
        WFLW(root).faces(["train"])
    write(root, "test", [line()] * 2501)
    with pytest.raises(DataError, match=r"test\.txt: 2501 faces where the official one has 2500; remove"):
        partial(root).faces(["test"])


def test_missing_images_are_counted(root, caplog, monkeypatch):
    monkeypatch.setitem(wflw._FACES, "train", 3)
    (root / "WFLW_images/37--Soccer/37_Soccer_soccer_ball_37_281.jpg").unlink()
    with pytest.raises(DataError, match=r"train\.txt:3: .*37_281\.jpg does not exist; 1 of 3 listed.*allow_partial"):
        WFLW(root).faces(["train"])
    assert len(partial(root).faces(["train"])) == 2
    assert "1 of 3 listed images are missing, first 37--Soccer" in caplog.text


def test_missing_root_part_list_and_images(root, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder.*holds wflw/; set data\.root"):
        WFLW(tmp_path / "nowhere").faces(["train"])
    with pytest.raises(DataError, match=r"WFLW has no part 'val', nearest 'train'; .*train, test"):
        partial(root).faces(["val"])
    with pytest.raises(DataError, match=rf"rect_attr_train\.txt is missing; .*set data\.root={root}$"):
        partial(tmp_path).faces(["train"])
    (root / "WFLW_images").rename(root / "images")
    with pytest.raises(DataError, match=r"WFLW_images is missing; the folder holds WFLW_annotations/, images/; unpack"):
        partial(root).faces(["train"])


def test_unknown_box(root):
    with pytest.raises(DataError, match=r"data\.box is 'rect'; choose 'gt' .* or 'detector'"):
        WFLW(root, box="rect")


GOOD = line()
TOKENS = GOOD.split()


def changed(**tokens):
    return " ".join(tokens.get(f"c{i}", token) for i, token in enumerate(TOKENS))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", r":1: the file is empty; replace", id="empty"),
        pytest.param(" \n\r\n", r":1: the file is empty", id="blank"),
        pytest.param(f"{GOOD}\n{GOOD[:900]}", r":2: \d+ columns where WFLW has 207; restore", id="truncated"),
        pytest.param(" ".join(TOKENS[:196] + TOKENS[206:]), r":1: 197 columns .*list_98pt_test, without", id="197"),
        pytest.param(" ".join(TOKENS[1:]), r":1: 206 columns", id="one-less"),
        # one number too many: everything after it moves, the flags first
        pytest.param("1.5 " + GOOD, r":1: .*'190 0 0 0 0 0' are not six flags of 0 and 1; restore", id="one-more"),
        pytest.param(changed(c7="12,5"), r":1: coordinates of 98 points expected.*'12,5'; restore", id="comma"),
        pytest.param(changed(c7="nan"), r":1: coordinates of 98 points expected, but 'nan' is not finite", id="nan"),
        pytest.param(changed(c7="1e999"), r":1: .*'1e999' is not finite", id="overflow"),
        pytest.param(changed(c198="x"), r":1: corners of a rectangle expected.*'x'; restore", id="rect"),
        pytest.param(changed(c203="2"), r":1: '0 0 0 2 0 0' are not six flags of 0 and 1", id="flag-2"),
        pytest.param(changed(c203="1.0"), r":1: '0 0 0 1\.0 0 0' are not six flags", id="flag-float"),
        # the image first, as other lists have it
        pytest.param(" ".join([TOKENS[-1], *TOKENS[:-1]]), r":1: coordinates .*0--Parade", id="reordered"),
        pytest.param(line(points=np.ones((98, 2))), r":1: the box \(1, 1, 1, 1\) is not x1 < x2", id="one-spot"),
        pytest.param(b"\xff\xfe" + GOOD.encode("utf-16-le"), r":1: is not text", id="utf-16"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(range(256)), r":1: is not text", id="picture"),
    ],
)
def test_damaged_lists_name_line_and_remedy(root, text, message):
    path = root / LISTS / "list_98pt_rect_attr_train.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=r"list_98pt_rect_attr_train\.txt" + message) as caught:
        partial(root).faces(["train"])
    assert any(remedy in str(caught.value) for remedy in ("restore", "replace", "use"))


def test_rectangle_inside_out(root):
    write(root, "train", [line(rect=(210, 80, 120, 190))])
    assert len(partial(root).faces(["train"])) == 1  # the rectangle is not asked for
    with pytest.raises(DataError, match=r"train\.txt:1: the box \(210, 80, 120, 190\) is not x1 < x2"):
        partial(root, box="detector").faces(["train"])


def test_list_that_is_a_folder(root):
    path = root / LISTS / "list_98pt_rect_attr_train.txt"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"list_98pt_rect_attr_train\.txt is missing; .*unpack WFLW_annotations"):
        partial(root).faces(["train"])
