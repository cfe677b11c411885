"""Every reader answers damaged labels with a right parse or with a DataError that names the file, the line and the
remedy: never with another exception, never with a face that nobody labelled.
"""

import logging
import re
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canthus.utils.errors import DataError
from tests.helpers.trees import TREES, signature

QUICK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBER = re.compile(rb"(?<![\w.+-])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")
NO_NUMBERS = [
    b"abc",
    b"nan",
    b"inf",
    b"1_0",
    b"0x1F",
    b"--3",
    b"1e999",
    b"\xef\xbc\x91",
    b"\xc2\xb2",
    b"\x00",
    b"12.5.1",
]
REMEDY = re.compile(
    r"\b(restore|replace|use|set|fetch|remove|correct|complete|check|unpack|save|export|rename|fill|give|name|add|leave"
    r"|convert|choose|redo)\b"
)
OPTIONAL = ("val/label.txt", "FDDB-folds/FDDB-fold-01.txt")
"""Without these, faces have no points, or a fold is not compared with its list."""
CASES = [(name, file) for name, tree in TREES.items() for file in tree.files]
TEXT = [case for case in CASES if not case[1].endswith((".mat", ".sqlite"))]
BINARY = [case for case in CASES if case not in TEXT]
MATLAB_5 = [case for case in BINARY if "COFW_" not in case[1] and case[1].endswith(".mat")]
HDF5 = [case for case in BINARY if "COFW_" in case[1]]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Every tree once; tests put damaged files in place and the whole ones back."""
    made = {}

    def build(name):
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            TREES[name].build(root)
            made[name] = root, [signature(face, root) for face in TREES[name].read(root)]
        return made[name]

    return build


@contextmanager
def damaged(path, content):
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)


@contextmanager
def logged():
    """Messages of the readers."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("canthus")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def outcome(name, root):
    """What reading gives: signatures and nothing, or nothing and the message of the error. Other errors get through."""
    try:
        faces = TREES[name].read(root)
    except DataError as error:
        message = str(error)
        files = [root / file for file in TREES[name].files]
        assert str(root) in message
        assert any(word in message for file in files for word in (file.name, str(file.parent))), message
        assert REMEDY.search(message), message
        return None, message
    for face in faces:
        assert np.isfinite(face.landmarks[face.visibility > 0]).all()
        assert (face.box[2:] > face.box[:2]).all()
    return [signature(face, root) for face in faces], ""


@pytest.mark.parametrize(("name", "file"), CASES)
def test_whole_files_are_read(built, name, file):
    root, faces = built(name)
    assert len(faces) >= 2
    assert len(set(faces)) > 1 or name in ("bioid_eyes", "biwi")
    assert (root / file).is_file()


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\xff\xfe\x00\x01" * 50], ids=["empty", "blank", "garbage"])
@pytest.mark.parametrize(("name", "file"), CASES)
def test_files_without_content(built, name, file, content):
    root, _ = built(name)
    with damaged(root / file, content):
        faces, message = outcome(name, root)
    assert faces is None
    assert Path(file).name in message


@pytest.mark.parametrize("folder", [False, True], ids=["missing", "folder"])
@pytest.mark.parametrize(("name", "file"), CASES)
def test_missing_files_and_folders_in_their_place(built, name, file, folder):
    root, whole = built(name)
    path, aside = root / file, root / "aside"
    path.rename(aside)
    try:
        if folder:
            path.mkdir()
        faces, message = outcome(name, root)
    finally:
        if folder:
            path.rmdir()
        aside.rename(path)
    if file in OPTIONAL:
        assert [face[2] for face in faces] == [face[2] for face in whole]
    else:
        assert faces is None
        assert Path(file).name in message or str(path.parent) in message


@pytest.mark.parametrize(("name", "file"), CASES)
@QUICK
@given(share=st.floats(0, 1))
def test_downloads_that_stopped(built, name, file, share):
    """A cut file gives no face that the whole one has not; where a last number or row may be lost, the log says so."""
    root, whole = built(name)
    content = (root / file).read_bytes()
    kept = content[: int(share * len(content))]
    with damaged(root / file, kept), logged() as messages:
        faces, _ = outcome(name, root)
    if faces is not None and any("does not end with a line break" in message for message in messages):
        assert not kept.endswith(b"\n")
    elif file == "val/label.txt" and faces != whole:  # nothing counts these but the boxes that lack them
        assert faces is None or any("faces have no row in" in message for message in messages)
    elif faces is not None:
        assert set(faces) <= set(whole)
        assert len(faces) == len(whole) or not TREES[name].counted


@pytest.mark.parametrize(("name", "file"), TEXT)
@QUICK
@given(data=st.data())
def test_words_in_place_of_numbers(built, name, file, data):
    """What is no number is refused by line, or stands where nothing is read."""
    root, whole = built(name)
    content = (root / file).read_bytes()
    places = [match.span() for match in NUMBER.finditer(content) if not _in_a_path(content, match.start())]
    start, end = data.draw(st.sampled_from(places))
    token = data.draw(st.sampled_from(NO_NUMBERS))
    with damaged(root / file, content[:start] + token + content[end:]):
        faces, message = outcome(name, root)
    if faces is None:
        line = content[:start].count(b"\n") + 1
        record = r": (annotations|images)\[" if file.endswith(".json") else f":({line}|{line + 1}|\\d+):"
        assert re.search(record, message) or re.search(rf"{Path(file).name}:\d+|is not", message), message
    else:
        assert faces == whole


def _in_a_path(content, place):
    """Another path may be that of another image, of which labels are allowed to speak."""
    line = content[: content.find(b"\n", place)].rpartition(b"\n")[2]
    return line.startswith(b"# ")


@pytest.mark.parametrize(("name", "file"), TEXT)
@QUICK
@given(data=st.data())
def test_lines_in_another_order_missing_or_twice(built, name, file, data):
    root, whole = built(name)
    tree = TREES[name]
    lines = (root / file).read_bytes().splitlines(keepends=True)
    i, j = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    change = data.draw(st.sampled_from(["swap", "drop", "repeat"]))
    if change == "swap":
        lines[i], lines[j] = lines[j], lines[i]
    elif change == "drop":
        del lines[i]
    else:
        lines.insert(j, lines[i])
    with damaged(root / file, b"".join(lines)):
        faces, _ = outcome(name, root)
    if faces is not None and tree.counted:
        assert len(faces) == len(whole)
    if faces is not None and tree.rows:
        assert set(faces) <= set(whole)


@pytest.mark.parametrize(("name", "file"), CASES)
@QUICK
@given(data=st.data())
def test_any_bytes(built, name, file, data):
    root, _ = built(name)
    content = bytearray((root / file).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content)))
        token = data.draw(
            st.sampled_from([b"\n", b" ", b"-", b"..", b"/", b"\\", b"#", b",", b'"', b"\x00"]) | st.binary(max_size=8)
        )
        content[place : place + data.draw(st.integers(0, 30))] = token
    with damaged(root / file, bytes(content)):
        outcome(name, root)


SPOILED = {
    "words": lambda array: "text",
    "shorter": lambda array: array[:-1],
    "column": lambda array: array.reshape(-1, 1),
    "turned": lambda array: np.ascontiguousarray(array.T)[::-1],
    "nan": lambda array: (
        np.where(np.arange(array.size).reshape(array.shape) == array.size // 2, np.nan, array)
        if array.dtype.kind in "iuf"
        else np.full((2, 2), np.nan)
    ),
    "empty": lambda array: np.zeros((0, 0)),
    "complex": lambda array: np.ones((3, 3)) * 1j,
    "struct": lambda array: {"a": 1.0},
}


@pytest.mark.parametrize("spoil", [*SPOILED, "missing"])
@pytest.mark.parametrize(("name", "file"), MATLAB_5)
def test_matlab_variables_of_another_kind(built, name, file, spoil):
    """Each variable in turn: refused by name, or not one that is read."""
    root, whole = built(name)
    variables = {key: value for key, value in scipy.io.loadmat(root / file).items() if not key.startswith("__")}
    refused = 0
    for key, value in variables.items():
        content = dict(variables)
        if spoil == "missing":
            del content[key]
        else:
            content[key] = SPOILED[spoil](value)
        with damaged(root / file, (root / file).read_bytes()):
            scipy.io.savemat(root / file, content)
            faces, message = outcome(name, root)
        if faces is None:
            refused += 1
            assert Path(file).name in message
            assert key in message or spoil in ("complex", "struct", "shorter") or "faces where" in message, message
        elif not (spoil == "turned" and key == "ra"):  # another permutation is one
            assert faces == whole, key
    assert refused or spoil in ("turned", "column")  # cells are columns


@pytest.mark.parametrize("spoil", ["words", "shorter", "nan", "empty", "missing"])
@pytest.mark.parametrize(("name", "file"), HDF5)
def test_hdf5_variables_of_another_kind(built, name, file, spoil):
    root, whole = built(name)
    content = (root / file).read_bytes()
    with h5py.File(root / file) as opened:
        keys = [key for key in opened if not key.startswith("#")]
    refused = 0
    for key in keys:
        with damaged(root / file, content):
            with h5py.File(root / file, "r+") as opened:
                value = opened[key][()]
                if spoil == "nan" and value.dtype.kind != "f":
                    continue
                kind = opened[key].dtype
                del opened[key]
                if spoil == "words":
                    opened[key] = "text"
                elif spoil != "missing":
                    changed = {"shorter": value[..., :-1], "empty": value[:0], "nan": value}[spoil]
                    if spoil == "nan":
                        changed[0, 0] = np.nan
                    opened.create_dataset(key, data=changed, dtype=kind)
            faces, message = outcome(name, root)
        if faces is None:
            refused += 1
            assert Path(file).name in message
        else:
            assert faces == whole, key
    assert refused or spoil == "nan"


@pytest.mark.parametrize("value", ["abc", None, b"\x00", 9e999, ""], ids=["word", "null", "blob", "infinite", "empty"])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("FaceRect", column) for column in "xywh"),
        *(("FacePose", column) for column in ("roll", "pitch", "yaw")),
        *(("FeatureCoords", column) for column in ("feature_id", "x", "y")),
        *(("FaceImages", "filepath"), ("FeatureCoordTypes", "descr"), ("FeatureCoordTypes", "feature_id")),
    ],
)
def test_cells_of_a_database(built, table, column, value):
    root, _ = built("aflw")
    path = root / "data/aflw.sqlite"
    with damaged(path, path.read_bytes()):
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = 1", (value,))
        faces, message = outcome("aflw", root)
    assert faces is None
    assert table in message
