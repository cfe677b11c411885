"""Whether a MATLAB file is whole, before scipy reads it.

scipy trusts the types, lengths and dimensions inside a file: a wrong byte there ends the process without a message, or
takes all its memory. This walks the elements of a level 5 file ("MAT-File Format", The MathWorks) without reading data.
"""

import math
import struct
import zlib
from collections.abc import Iterator

_HEADER = 128
_INT32, _UINT32, _MATRIX, _COMPRESSED = 5, 6, 14, 15
_UTF_8 = 16
# bytes per entry: integers of 8 to 64 bits, single, double
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
_COMPLEX = 0x800
_CELL, _STRUCT, _CHAR, _NUMBERS = 1, 2, 4, range(6, 16)

Element = tuple[int, memoryview]
"""Type and data."""


def check_level_5(content: bytes) -> None:
    """Check the structure of a file.

    Raises:
        ValueError: not a file of level 5 (MATLAB 5 to 7.2), one that is cut or damaged, or one with other things than
            real numbers, text, cells and structs.
    """
    if content.startswith(b"MATLAB 7.3"):
        raise ValueError("MATLAB 7.3 files are HDF5, an older format is expected")
    order = {b"IM": "<", b"MI": ">"}.get(content[_HEADER - 2 : _HEADER])
    if len(content) < _HEADER or order is None:
        raise ValueError("the header of MATLAB 5 is missing")
    for kind, data in _elements(memoryview(content)[_HEADER:], order):
        if kind == _COMPRESSED:
            try:
                inner = list(_elements(memoryview(zlib.decompress(data)), order))
            except zlib.error as error:
                raise ValueError(f"a compressed variable is damaged: {error}") from None
            if len(inner) != 1:
                raise ValueError(f"a compressed variable has {len(inner)} elements")
            kind, data = inner[0]
        _check_matrix(kind, data, order)


def _elements(content: memoryview, order: str) -> Iterator[Element]:
    position = 0
    while position < len(content):
        if len(content) - position < 8:
            raise ValueError("it ends inside the tag of an element")
        kind, size = struct.unpack_from(f"{order}II", content, position)
        start, following = position + 8, position + 8 + size + -size % 8
        if kind >> 16:  # type, length and up to four bytes of data share eight bytes
            kind, size = kind & 0xFFFF, kind >> 16
            start, following = position + 4, position + 8
            if size > 4:
                raise ValueError(f"a short element is {size} bytes long")
        if start + size > len(content):
            raise ValueError("it ends inside an element")
        yield kind, content[start : start + size]
        # compressed elements alone are not padded
        position = start + size if kind == _COMPRESSED else following


def _check_matrix(kind: int, content: memoryview, order: str) -> None:
    """Check one variable, cell or field: its class, dimensions, name and data are elements in this order."""
    if kind != _MATRIX:
        raise ValueError(f"an element of type {kind} stands in place of a matrix")
    if not len(content):  # an empty cell or field
        return
    parts = list(_elements(content, order))
    kinds = [kind for kind, _ in parts[:3]]
    if kinds[:2] != [_UINT32, _INT32] or len(kinds) < 3 or len(parts[0][1]) != 8 or len(parts[1][1]) % 4:
        raise ValueError("a matrix lacks its class, dimensions or name")
    flags = struct.unpack_from(f"{order}I", parts[0][1])[0]
    array_class = flags & 0xFF
    if flags & _COMPLEX:
        raise ValueError("a matrix is complex")
    entries = math.prod(struct.unpack(f"{order}{len(parts[1][1]) // 4}I", parts[1][1]))
    data = parts[3:]
    if array_class == _CELL and len(data) == entries:
        for element in data:
            _check_matrix(*element, order)
    elif array_class == _STRUCT and len(data) >= 2 and entries <= max(len(data) - 2, 1):
        for element in data[2:]:
            _check_matrix(*element, order)
    elif array_class == _CHAR or array_class in _NUMBERS:
        kind, values = data[0] if len(data) == 1 else (0, content[:0])
        if array_class == _CHAR and kind == _UTF_8:  # a letter may take several bytes
            size = float(len(str(values, "utf-8")))
        else:
            size = len(values) / _SIZES.get(kind, math.nan)
        if size != entries:
            raise ValueError(
                f"a matrix of {entries} entries holds {len(data)} elements, of type {kind} and {size} entries"
            )
    else:
        raise ValueError(f"a matrix of class {array_class} and {entries} entries holds {len(data)} elements")
