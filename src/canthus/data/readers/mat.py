"""MATLAB files (up to version 7.2) with named arrays, checked."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from canthus.data.readers.mat_check import check_level_5
from canthus.utils.errors import DataError

_REPLACE = "replace the file by the official one"


def load_variables(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Load named variables as scipy gives them.

    Raises:
        DataError: no such file, one that is damaged, or a variable that it does not hold.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file") from error
    try:
        check_level_5(raw)
        content = scipy.io.loadmat(BytesIO(raw), variable_names=names)
        absent = [name for name in names if name not in content]
        held = [name for name, *_ in scipy.io.whosmat(BytesIO(raw))] if absent else []
    except Exception as error:  # scipy raises a dozen unrelated kinds for damaged files
        raise DataError(f"{path}: is not a MATLAB file ({type(error).__name__}: {error}); {_REPLACE}") from error
    if absent:
        raise DataError(f"{path}: has no variable {absent[0]}, it holds {', '.join(held) or 'nothing'}; {_REPLACE}")
    return {name: content[name] for name in names}


def load_arrays(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float64]]:
    """Load numeric arrays of known shapes, as float64.

    Args:
        path: the file.
        shapes: name -> shape; -1 stands for any size.

    Raises:
        DataError: as for `load_variables`; an array of another shape or type, or one with a value that is not finite.
    """
    arrays = {}
    for name, value in load_variables(path, tuple(shapes)).items():
        shape = shapes[name]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
            raise DataError(f"{path}: {name} is not an array of numbers; {_REPLACE}")
        if value.ndim != len(shape) or any(want not in (-1, got) for want, got in zip(shape, value.shape, strict=True)):
            wanted = " x ".join("N" if size < 0 else str(size) for size in shape)
            raise DataError(f"{path}: {name} is {' x '.join(map(str, value.shape))}, not {wanted}; {_REPLACE}")
        array = value.astype(np.float64)
        if not np.isfinite(array).all():
            bad = tuple(int(i) + 1 for i in np.argwhere(~np.isfinite(array))[0])
            raise DataError(f"{path}: {name}{bad} is {array[tuple(i - 1 for i in bad)]}, not a number; {_REPLACE}")
        arrays[name] = array
    return arrays
