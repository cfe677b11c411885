import numpy as np
import pytest

from canthus.data.readers import LFWNet
from canthus.utils.errors import DataError

POINTS = "106.750000 108.250000 143.750000 108.750000 131.250000 127.250000 106.250000 155.250000 142.750000 155.250000"
LINES = [
    rf"lfw_5590\Aaron_Eckhart_0001.jpg 84 161 92 169 {POINTS}",
    rf"lfw_5590\Aaron_Peirsol_0003.jpg 81 156 81 156 {POINTS}",
    rf"net_7876\10001_0_0.jpg 40 180 60 200 {POINTS}",
]


def write(root, lines, name="trainImageList.txt", end="\n"):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes("".join(line + end for line in lines).encode())


@pytest.fixture
def root(tmp_path):
    write(tmp_path, LINES)
    write(tmp_path, LINES[:1], "testImageList.txt")
    write(tmp_path, [r"lfpw_testImage\001.jpg 10 90 20 110"], "lfpw_test_249_bbox.txt")
    for line in (*LINES, r"lfpw_testImage\001.jpg "):
        file = tmp_path / line.split()[0].replace("\\", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def partial(root, **options):
    return LFWNet(root, allow_partial=True, **options)


def test_a_face(root):
    face = partial(root).faces(["train"])[0]
    assert face.image == root / "lfw_5590/Aaron_Eckhart_0001.jpg"
    np.testing.assert_array_equal(face.landmarks.ravel(), np.array(POINTS.split(), float))  # eyes, nose, mouth
    assert face.box.tolist() == [84, 92, 161, 169]  # left right top bottom on disk
    assert face.visibility.tolist() == [2] * 5
    assert (face.scheme, face.part, face.photo) == ("5", "train", "lfw_5590/Aaron_Eckhart_0001")


def test_people_are_known_in_lfw_alone(root):
    faces = partial(root).faces(["train"])
    assert [face.identity for face in faces] == ["Aaron_Eckhart", "Aaron_Peirsol", None]


def test_validation_list_is_called_test_on_disk(root):
    assert [face.part for face in partial(root).faces(["val", "train"])] == ["val", *["train"] * 3]


def test_test_list_has_boxes_without_points(root):
    (face,) = partial(root).faces(["lfpw_test"])
    assert face.box.tolist() == [10, 20, 90, 110]
    assert face.visibility.tolist() == [0] * 5
    assert np.isnan(face.landmarks).all()
    with pytest.raises(DataError, match=r"bbox\.txt: lists boxes without points; set data\.box=detector for lfpw_test"):
        partial(root, box="gt").faces(["lfpw_test"])


def test_tight_boxes(root):
    assert partial(root, box="gt").faces(["train"])[0].box.tolist() == [106.25, 108.25, 143.75, 155.25]


@pytest.mark.parametrize(
    "change", [str, lambda line: line.replace("\\", "/"), lambda line: line.replace(" ", " \t ") + " "]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_tolerated_forms(root, change, end):
    write(root, [change(line) for line in LINES], end=end)
    assert len(partial(root).faces(["train"])) == 3


def test_blanks_in_names(root):
    (root / "net_7876/10001 0.jpg").touch()
    write(root, [rf"net_7876\10001 0.jpg 40 180 60 200 {POINTS}"])
    assert partial(root).faces(["train"])[0].image == root / "net_7876/10001 0.jpg"


def test_lists_in_the_folders_of_the_archives(root):
    root.rename(root.parent / "train")
    assert len(partial(root.parent).faces(["val"])) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (rf"lfw_5590\a.jpg 84 161 92 {POINTS}", r"14 columns where a path and 14 numbers"),
        (r"lfw_5590\a.jpg 84 161 92 169", r"5 columns where a path and 14 numbers"),
        (rf"84 161 92 169 {POINTS}", r"14 columns where"),
        (rf"lfw_5590\a.jpg 84 161 92 x69 {POINTS}", r"left right top bottom and x y of five points expected, .*'x69'"),
        (rf"lfw_5590\a.jpg 84 161 92 nan {POINTS}", r".*expected, but 'nan' is not finite"),
        (rf"lfw_5590\Aaron_Eckhart_0001.jpg 84 92 161 169 {POINTS}", None),
        (rf"lfw_5590\Aaron_Eckhart_0001.jpg 161 84 92 169 {POINTS}", r"the box \(161, 92, 84, 169\) is not x1 < x2"),
        (rf"lfw_5590\Aaron_Eckhart_0001.jpg 84 161 169 92 {POINTS}", r"the box \(84, 169, 161, 92\) is not x1 < x2"),
    ],
)
def test_damaged_lines(root, line, message):
    write(root, [LINES[1], line])
    if message is None:  # x1 y1 x2 y2 cannot be told from left right top bottom here: it is read as the latter
        assert partial(root).faces(["train"])[1].box.tolist() == [84, 161, 92, 169]
        return
    with pytest.raises(DataError, match=rf"trainImageList\.txt:2: {message}"):
        partial(root).faces(["train"])


def test_empty_and_missing_lists(root):
    write(root, ["", "  "])
    with pytest.raises(DataError, match=r"trainImageList\.txt:1: the file is empty; replace"):
        partial(root).faces(["train"])
    (root / "trainImageList.txt").unlink()
    with pytest.raises(
        DataError, match=r"trainImageList\.txt or train/trainImageList\.txt is missing; the folder holds"
    ):
        partial(root).faces(["train"])


def test_missing_images(root, caplog):
    (root / "net_7876/10001_0_0.jpg").unlink()
    assert len(partial(root).faces(["train"])) == 2
    assert "1 of 3 listed images are missing, first net_7876/10001_0_0.jpg" in caplog.text
    for file in (root / "lfw_5590").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"trainImageList\.txt:1: .*Aaron_Eckhart_0001\.jpg does not exist; 3 of 3"):
        partial(root).faces(["train"])


@pytest.mark.parametrize(("part", "official"), [("train", 10_000), ("val", 3_466), ("lfpw_test", 249)])
def test_official_counts(root, part, official):
    with pytest.raises(DataError, match=rf"\d faces where the official one has {official}; complete it"):
        LFWNet(root).faces([part])
    name = {"train": "trainImageList.txt", "val": "testImageList.txt", "lfpw_test": "lfpw_test_249_bbox.txt"}[part]
    line = (root / name).read_text().splitlines()[0]
    write(root, [line] * official, name)
    assert len(LFWNet(root).faces([part])) == official
    write(root, [line] * (official + 1), name)
    with pytest.raises(DataError, match=rf"{official + 1} faces where .*; remove what is not part"):
        partial(root).faces([part])


def test_unknown_names(root):
    with pytest.raises(DataError, match=r"has no part 'test', nearest .*train, val, lfpw_test"):
        partial(root).faces(["test"])
    with pytest.raises(DataError, match=r"data\.box is 'tight'; choose 'detector'"):
        LFWNet(root, box="tight")
