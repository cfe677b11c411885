"""The levels of WIDER FACE's evaluation, from MATLAB files in the form of its tools."""

import numpy as np
import pytest
import scipy.io

from canthus.data.readers import WiderFace
from canthus.utils.errors import DataError
from tests.unit.data.readers.test_wider_face import EMPTY, MARCH, PARADE, write

BOXES = {
    PARADE: [[449, 330, 122, 149], [10, 20, 30, 40], [5, 6, 7, 8]],
    EMPTY: np.zeros((0, 4)),
    MARCH: [[78, 221, 7, 8], [78, 238, 0, 17]],
}
KEPT = {
    "easy": {PARADE: [1], EMPTY: [], MARCH: []},
    "medium": {PARADE: [1], EMPTY: [], MARCH: [1]},
    "hard": {PARADE: [1, 3], EMPTY: [], MARCH: [1]},
}


def nested(content):
    """Cells [event][image], each a column, as MATLAB writes them."""
    events = {}
    for name, value in content.items():
        event, _, file = name.partition("/")
        events.setdefault(event, []).append((file.rpartition(".")[0], value))
    outer = np.empty((len(events), 1), dtype=object)
    files = np.empty((len(events), 1), dtype=object)
    names = np.empty((len(events), 1), dtype=object)
    for i, (event, rows) in enumerate(events.items()):
        outer[i, 0], files[i, 0] = np.empty((len(rows), 1), dtype=object), np.empty((len(rows), 1), dtype=object)
        names[i, 0] = event
        for j, (file, value) in enumerate(rows):
            files[i, 0][j, 0], outer[i, 0][j, 0] = file, value
    return names, files, outer


def tools(folder, boxes=BOXES, kept=KEPT):
    folder.mkdir(parents=True, exist_ok=True)
    content = {name: np.asarray(value, np.int32).reshape(-1, 4) for name, value in boxes.items()}
    events, files, cells = nested(content)
    twin = {"event_list": events, "file_list": files, "face_bbx_list": cells}
    scipy.io.savemat(folder / "wider_face_val.mat", twin)
    for level, images in kept.items():
        columns = {name: np.array(numbers, np.int32)[:, None] for name, numbers in images.items()}
        scipy.io.savemat(folder / f"wider_{level}_val.mat", {"gt_list": nested(columns)[2]})


@pytest.fixture
def root(tmp_path):
    write(tmp_path)
    return tmp_path


def levels(root):
    faces = WiderFace(root, allow_partial=True).faces(["val"])
    return [face.attributes & {"easy", "medium", "hard"} for face in faces]


@pytest.mark.parametrize("folder", ["wider_face_split", "eval_tools/ground_truth", "ground_truth"])
def test_levels_are_attributes(root, folder):
    tools(root / folder)
    assert levels(root) == [{"easy", "medium", "hard"}, set(), {"hard"}, {"medium", "hard"}]


def test_without_the_tools_there_are_no_levels(root):
    assert levels(root) == [set()] * 4


def test_official_counts(root, monkeypatch):
    tools(root / "ground_truth")
    monkeypatch.setitem(WiderFace._part.__globals__["_PARTS"], "val", WiderFace._part.__globals__["_Part"](3, 5))
    with pytest.raises(DataError, match=r"wider_easy_val\.mat: 1 easy faces where the official one has 7211"):
        WiderFace(root).faces(["val"])


@pytest.mark.parametrize(
    ("boxes", "kept", "message"),
    [
        (BOXES | {PARADE: BOXES[PARADE][::-1]}, KEPT, r"wider_face_val\.mat: boxes of 0--Parade.* are not those"),
        (BOXES, KEPT | {"easy": KEPT["easy"] | {MARCH: [3]}}, r"wider_easy_val\.mat: keeps faces \[3\] of 2 of 2--"),
        (BOXES, KEPT | {"easy": KEPT["easy"] | {MARCH: [0]}}, r"wider_easy_val\.mat: keeps faces \[0\] of 2"),
        (BOXES, KEPT | {"hard": {PARADE: [1]}}, r"wider_hard_val\.mat: gt_list is not a cell per event"),
    ],
)
def test_files_that_do_not_agree(root, boxes, kept, message):
    tools(root / "ground_truth", boxes, kept)
    with pytest.raises(DataError, match=message + r".*(replace|remove)"):
        levels(root)


@pytest.mark.parametrize("name", ["wider_medium_val.mat", "wider_face_val.mat"])
@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0", None])
def test_damaged_and_missing_files(root, name, content):
    tools(root / "ground_truth")
    path = root / "ground_truth" / name
    if content is None:
        scipy.io.savemat(path, {"gt_list": "text", "event_list": 1.0, "file_list": 2.0, "face_bbx_list": 3.0})
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: "):
        levels(root)
    path.unlink()
    with pytest.raises(DataError, match=rf"{name}: cannot be read"):
        levels(root)


def test_twin_of_the_annotations(root):
    """The archive of the annotations has the twin: it alone says nothing, and it serves the tools."""
    tools(root / "ground_truth")
    (root / "ground_truth/wider_face_val.mat").rename(root / "wider_face_split/wider_face_val.mat")
    assert levels(root)[3] == {"medium", "hard"}
    for level in KEPT:
        (root / f"ground_truth/wider_{level}_val.mat").unlink()
    assert levels(root) == [set()] * 4
