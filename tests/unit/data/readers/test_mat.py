import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from canthus.data.readers.mat import load_arrays, load_variables
from canthus.data.readers.mat_check import check_level_5
from canthus.utils.errors import DataError

NAMES = np.empty((3, 1), dtype=object)
NAMES[:, 0] = ["0/image00002.jpg", "2/imagé.png", ""]
CONTENT = {
    "points": np.arange(6.0).reshape(3, 2),
    "small": np.array([[1, 2]], dtype=np.uint8),
    "empty": np.zeros((0, 4)),
    "nameList": NAMES,
    "box": {"imgName": "a.jpg", "bb": np.ones((1, 4))},
}
SHAPES = {"points": (3, 2), "small": (1, -1)}


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """Content of a file with numbers, text, cells and structs, plain and compressed."""
    path = tmp_path_factory.mktemp("mat") / "official.mat"
    files = {}
    for compressed in (False, True):
        scipy.io.savemat(path, CONTENT, do_compression=compressed)
        files[compressed] = path.read_bytes()
    return files


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_and_cells(official, tmp_path, compressed):
    path = tmp_path / "a.mat"
    path.write_bytes(official[compressed])
    arrays = load_arrays(path, SHAPES)
    assert arrays["points"].tolist() == CONTENT["points"].tolist()
    assert arrays["small"].dtype == np.float64
    cells = load_variables(path, ("nameList", "box"))["nameList"]
    assert [str(cell[0]) for cell in cells[:2, 0]] == ["0/image00002.jpg", "2/imagé.png"]


def changed(content, old, new, count=1):
    assert old in content
    return content.replace(old, new, count)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: b"", "the header of MATLAB 5 is missing"),
        (lambda file: b"MATLAB 7.3 MAT-file" + file[19:], "MATLAB 7.3 files are HDF5"),
        (lambda file: file[:126] + b"XX" + file[128:], "the header of MATLAB 5 is missing"),
        (lambda file: file[:131], "it ends inside the tag of an element"),
        (lambda file: file[:200], "it ends inside an element"),
        (lambda file: file[:128] + b"\x09" + file[129:], "an element of type 9 stands in place of a matrix"),
        # the first variable: tag, class, dimensions 3 and 2, name, values
        (lambda file: file[:144] + b"\x12" + file[145:], "a matrix of class 18"),
        (lambda file: file[:145] + b"\x08" + file[146:], "a matrix is complex"),
        (lambda file: file[:136] + b"\x05" + file[137:], "a matrix lacks its class, dimensions or name"),
        (lambda file: file[:163] + b"\x7f" + file[164:], r"a matrix of 4261412870 entries holds .* 6.0 entries"),
        (lambda file: file[:184] + b"\x05" + file[185:], r"a matrix of 6 entries holds 1 elements, of type 5 and 12.0"),
        (lambda file: file[:170] + b"\x09" + file[171:], "a short element is 9 bytes long"),
        (lambda file: changed(file, b"imag\xc3", b"imag\xff"), "can't decode byte 0xff"),
    ],
)
def test_damaged_files(official, tmp_path, change, message):
    path = tmp_path / "a.mat"
    path.write_bytes(change(official[False]))
    with pytest.raises(DataError, match=rf"a\.mat: is not a MATLAB file \(\w+: .*{message}.*; replace the file"):
        load_arrays(path, SHAPES)


def test_damaged_compression(official):
    file = bytearray(official[True])
    file[-1] ^= 1  # the checksum
    with pytest.raises(ValueError, match="a compressed variable is damaged"):
        check_level_5(bytes(file))


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"a\.mat: cannot be read \(No such file or directory\); restore the file"):
        load_arrays(tmp_path / "a.mat", SHAPES)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), compressed=st.booleans())
def test_any_damage_loads_or_raises_dataerror(official, tmp_path_factory, data, compressed):
    """Without the check, one file in a few hundred of these ends the process."""
    content = bytearray(official[compressed])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(len(content) - 1, 0)))
        action = data.draw(st.sampled_from(["cut", "delete", "set", "set", "set"]))
        if action == "cut":
            del content[place:]
        elif action == "delete":
            del content[place : place + data.draw(st.integers(1, 60))]
        else:
            content[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
    path = tmp_path_factory.getbasetemp() / "mutated.mat"
    path.write_bytes(content)
    try:
        loaded, problem = load_variables(path, tuple(CONTENT)), None
        arrays = load_arrays(path, SHAPES)
    except DataError as error:
        problem = str(error)
    else:
        assert set(loaded) == set(CONTENT)
        assert arrays["points"].shape == (3, 2)
    assert problem is None or "mutated.mat" in problem
