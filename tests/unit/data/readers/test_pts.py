import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canthus.data.readers import read_pts, write_pts
from canthus.utils.errors import DataError

POINTS = np.random.default_rng(0).uniform(-5, 500, (68, 2)).round(6)
ROWS = "".join(f"{x:.6f} {y:.6f}\n" for x, y in POINTS + 1)
OFFICIAL = f"version: 1\nn_points:  68\n{{\n{ROWS}}}\n"


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "image_0001.pts"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(OFFICIAL, id="official"),
        pytest.param(OFFICIAL.replace("\n", "\r\n"), id="crlf"),
        pytest.param(OFFICIAL.replace("\n", "\r"), id="cr"),
        pytest.param(OFFICIAL + "\n\n \n", id="trailing-blank-lines"),
        pytest.param(OFFICIAL.rstrip("\n"), id="no-last-newline"),
        pytest.param(OFFICIAL.replace("version: 1", "version: 1.0"), id="1.0"),
        pytest.param(OFFICIAL.replace("n_points:  68", "n_points: 68"), id="one-blank"),
        pytest.param(OFFICIAL.replace("n_points:  68", "n_points:68   "), id="no-blank"),
        pytest.param(OFFICIAL.replace(" ", "  \t").replace("\n", " \n"), id="blanks"),
        pytest.param(OFFICIAL.replace("{\n", "{\n\n").replace("}", "\n}"), id="inner-blank"),
        pytest.param(OFFICIAL.replace("\n}", " 1\n}"), id="third"),
    ],
)
def test_tolerated_forms_give_points_from_0(file, text):
    for expected in (68, None):
        points = read_pts(file(text), expected)
        assert points.dtype == np.float64
        np.testing.assert_allclose(points, POINTS, atol=1e-6)


def test_top_left_pixel_is_origin(file):
    assert read_pts(file("version: 1\nn_points: 1\n{\n1 1\n}\n"), 1).tolist() == [[0.0, 0.0]]


def test_number_of_points_may_come_from_the_header(file):
    assert read_pts(file("version: 1\nn_points: 2\n{\n1 2\n3.5 -4e1\n}\n")).tolist() == [[0, 1], [2.5, -41]]


def lines(*, drop=(), **replace):
    """The official file with lines (counted from 1) dropped or replaced."""
    text = OFFICIAL.splitlines()
    return "\n".join(replace.get(f"n{i}", line) for i, line in enumerate(text, 1) if i not in drop) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r":1: the file is empty"),
        ("\n \r\n", r":1: the file is empty"),
        (lines(drop=(1, 2, 3)), r":1: no line with an opening brace"),
        (lines(drop=(3,)), r":1: no line with an opening brace"),
        (lines(drop=(2,)), r":2: no n_points before the opening brace: the header is missing"),
        (lines(drop=(1, 2)), r":1: no n_points.*header is missing"),
        (lines(n1="version: 2"), r":1: version '2' is not known; convert"),
        (lines(n2="n_points: many"), r":2: n_points is 'many'"),
        (lines(n2="n_points: -68"), r":2: n_points is '-68'"),
        (lines(n2="n_points: 0"), r":2: n_points is '0'"),
        (lines(n2="n_points: " + "9" * 5000), r":2: n_points is '999"),
        (lines(drop=(72,)), r":71: the file ends after 68 of 68 points without a closing brace"),
        (lines(drop=range(30, 80)), r":29: the file ends after 26 of 68 points without a closing brace"),
        (lines(drop=(40,)), r":71: 67 points end here, the header announces 68"),
        (lines(drop=(40,), n2="n_points:  67"), r":3: the header announces 67 points where 68 are expected; replace"),
        (lines(n72="5 6\n}"), r":72: '5 6' follows the last of 68 points"),
        (lines(n10="12.5 abc"), r":10: '12.5 abc' is not a pair of numbers"),
        (lines(n10="12,5 7,5"), r":10: '12,5 7,5' is not a pair of numbers"),
        (lines(n10="12.5"), r":10: '12.5' is not a pair of coordinates"),
        (lines(n10="nan 3"), r":10: 'nan 3' is not a position"),
        (lines(n10="3 -inf"), r":10: '3 -inf' is not a position"),
        (lines(n10="3 1e999"), r":10: '3 1e999' is not a position"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), r":1: no line with an opening brace"),
    ],
)
def test_damaged_files_name_place_and_remedy(file, text, message):
    with pytest.raises(DataError, match=r"image_0001\.pts" + message) as caught:
        read_pts(file(text), 68)
    assert any(remedy in str(caught.value) for remedy in ("replace", "convert"))


@pytest.mark.parametrize("name", ["absent.pts", "."])
def test_unreadable_file(tmp_path, name):
    with pytest.raises(DataError, match=r"cannot be read \(.+\); restore"):
        read_pts(tmp_path / name)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_damage_parses_to_shape_or_raises_dataerror(data, tmp_path_factory):
    content = bytearray(OFFICIAL.encode())
    for _ in range(data.draw(st.integers(0, 4))):
        # most of the interesting places are in the header, at braces and at ends of lines
        place = data.draw(st.integers(0, len(content)) | st.integers(0, min(40, len(content))))
        action = data.draw(st.sampled_from(["cut", "delete", "insert", "replace"]))
        token = data.draw(
            st.sampled_from([b"{", b"}", b"\n", b"nan", b" ", b"-", b"\x00", b"1e400"]) | st.binary(max_size=6)
        )
        if action == "cut":
            del content[place:]
        elif action == "delete":
            del content[place : place + data.draw(st.integers(1, 60))]
        else:
            content[place : place + (action == "replace") * len(token)] = token
    path = tmp_path_factory.getbasetemp() / "mutated.pts"
    path.write_bytes(content)
    try:
        points = read_pts(path, 68)
    except DataError as error:
        points, message = None, str(error)
    if points is None:
        assert message.startswith(f"{path}:")
    else:
        assert points.shape == (68, 2)
        assert np.isfinite(points).all()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=1, max_size=100))
def test_written_points_are_read_back(tmp_path_factory, points):
    path = tmp_path_factory.getbasetemp() / "round.pts"
    write_pts(path, points)
    np.testing.assert_allclose(read_pts(path, len(points)), points, atol=1e-6)


def test_written_form_is_the_official_one(tmp_path):
    write_pts(tmp_path / "a.pts", POINTS)
    assert (tmp_path / "a.pts").read_bytes() == OFFICIAL.encode()


@pytest.mark.parametrize(
    ("points", "message"),
    [(np.zeros((3, 3)), r"\(3, 3\).*give \(K, 2\)"), ([[1, 2], [np.nan, 3]], r"point 1 is \[nan +3\.\]")],
)
def test_what_cannot_be_written(tmp_path, points, message):
    with pytest.raises(DataError, match=r"a\.pts.*" + message):
        write_pts(tmp_path / "a.pts", points)
    assert not (tmp_path / "a.pts").exists()


@pytest.mark.parametrize("first", [0, 1])
def test_numbered_points_are_refused(tmp_path, first):
    path = tmp_path / "a.pts"
    rows = [f"{first + i} {10.5 + i} {20.25 - i}" for i in range(3)]
    path.write_text("\n".join(["version: 1", "n_points: 3", "{", *rows, "}"]))
    with pytest.raises(DataError, match=r"a\.pts: every line begins with the number of its point"):
        read_pts(path)
    path.write_text("\n".join(["version: 1", "n_points: 3", "{", "1 10", "2 11", "3 12", "}"]))  # these are points
    np.testing.assert_array_equal(read_pts(path), [[0, 9], [1, 10], [2, 11]])
