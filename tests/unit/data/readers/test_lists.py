"""What the readers of text lists share."""

import numpy as np
import pytest

from canthus.data.readers import read_pts
from canthus.data.readers.lists import numbers, text_lines
from canthus.utils.errors import DataError


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_with_their_numbers(tmp_path, caplog, end):
    path = tmp_path / "list.txt"
    path.write_bytes(end.join(["\ufeffa 1", "", "b 2", ""]).encode())
    assert list(text_lines(path)) == [(1, "a 1"), (3, "b 2")]
    assert caplog.text == ""


def test_a_list_that_may_be_cut_is_named(tmp_path, caplog):
    """`12.5` cut to `12` cannot be told from a whole number."""
    path = tmp_path / "list.txt"
    path.write_text("a 12.5\nb 12")
    assert len(list(text_lines(path))) == 2
    assert f"{path}: does not end with a line break" in caplog.text


@pytest.mark.parametrize("token", ["1_0", "\uff11", "\u0663", "nan", "inf", "1e999", "0x1F", ""])
def test_what_data_sets_do_not_write_as_a_number(token):
    with pytest.raises(DataError, match=r"^list\.txt:3: x and y expected, but .*; restore the line"):
        numbers("list.txt:3", ["1", token], "x and y")
    np.testing.assert_array_equal(numbers("", ["1", "-2.5e1"], ""), [1, -25])


def test_points_files_are_as_strict(tmp_path):
    path = tmp_path / "a.pts"
    path.write_text("version: 1\nn_points: 1\n{\n1_0 2\n}\n")
    with pytest.raises(DataError, match=r"a\.pts:4: '1_0 2' is not a pair of numbers"):
        read_pts(path)
