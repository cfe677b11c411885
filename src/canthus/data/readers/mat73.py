"""MATLAB files from version 7.3 on, which are HDF5: arrays, and images kept in cell arrays.

HDF5 counts axes from the other end: MATLAB's H x W x C array appears as C x W x H, N x 87 as 87 x N, and a cell array
as an array of references to its cells.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Face, Reader, WholeImage
from canthus.utils.errors import DataError

_REPLACE = "replace the file by the official one"
# Opening and closing one file from several threads at once is not safe in every HDF5 build; reads are serial anyway.
_LOCK = threading.Lock()


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for one thread at a time. It is opened anew each time, so that readers travel to other processes.

    Raises:
        DataError: it is missing, of an older MATLAB format, truncated, or damaged where it is read.
    """
    if not path.is_file():
        raise DataError(f"{path}: does not exist; restore the file")
    try:
        with _LOCK, h5py.File(path, "r") as file:
            yield file
    except DataError:
        raise
    except Exception as error:  # h5py raises a dozen unrelated kinds for damaged files
        raise DataError(f"{path}: is not a readable MATLAB 7.3 (HDF5) file ({error}); {_REPLACE}") from error


def matrix(file: h5py.File, name: str, columns: int) -> NDArray[np.float64]:
    """Read a matrix with MATLAB's axes.

    Args:
        file: open.
        name: of the variable.
        columns: how many it must have.

    Returns:
        (N, columns) float64.

    Raises:
        DataError: no such variable, another shape, or a value that is not finite.
    """
    values = _variable(file, name)
    if values.dtype.kind not in "iuf":
        raise DataError(f"{file.filename}: {name} is not a matrix of numbers; {_REPLACE}")
    if values.ndim != 2 or values.shape[0] != columns:
        size = " x ".join(str(length) for length in reversed(values.shape))
        raise DataError(f"{file.filename}: {name} is {size} in MATLAB's order of axes, not N x {columns}; {_REPLACE}")
    array = np.asarray(values[()], dtype=np.float64).T
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        row, column = (int(i) for i in bad[0])
        raise DataError(
            f"{file.filename}: {name}({row + 1}, {column + 1}) is {array[row, column]}, not a number; {_REPLACE}"
        )
    return array


def cells(file: h5py.File, name: str) -> NDArray[Any]:
    """Give the references to the cells of a cell array, in MATLAB's order.

    Raises:
        DataError: no such variable, or one that is not a cell array.
    """
    values = _variable(file, name)
    if h5py.check_ref_dtype(values.dtype) is not h5py.Reference:
        raise DataError(f"{file.filename}: {name} is not a cell array; {_REPLACE}")
    return np.asarray(values[()]).reshape(-1)


class CellImages(Reader):
    """A reader whose images are cells of a MATLAB 7.3 file: image ``<file>/<variable>/<number from 1>``."""

    def pixels(self, image: Path) -> NDArray[np.uint8]:
        """Read one cell as (H, W, 3) uint8 RGB; grey is repeated. Threads may call this at once.

        Raises:
            DataError: no such cell, or one that does not hold an image.
        """
        path, name, number = image.parent.parent, image.parent.name, int(image.name)
        with opened(path) as file:
            references = cells(file, name)
            if not 1 <= number <= len(references):
                raise DataError(f"{path}: {name} has {len(references)} cells and none with number {number}; {_REPLACE}")
            cell = file[references[number - 1]]
            array = cell[()] if isinstance(cell, h5py.Dataset) else np.empty(0)
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[:-2] not in ((), (1,), (3,)):
            size = " x ".join(str(length) for length in reversed(array.shape))
            raise DataError(f"{path}: {name}{{{number}}} is a {size} {array.dtype}, not a picture in bytes; {_REPLACE}")
        upright = np.atleast_3d(array.T)
        return np.ascontiguousarray(np.broadcast_to(upright, (*upright.shape[:2], 3)))

    def file(self, image: Path) -> Path:
        """The MATLAB file."""
        return image.parent.parent

    def fingerprint(self, face: Face | WholeImage) -> str:
        """What identifies the pixels of a face: the state of the file that holds its image, and the cell."""
        path = self.file(face.image)
        try:
            status = path.stat()
        except OSError:
            return f"{face.image}:missing"
        return f"{path.resolve()}:{status.st_size}:{status.st_mtime_ns}:{face.image.parent.name}:{face.image.name}"


def cell_path(path: Path, name: str, number: int) -> Path:
    """Name an image for `CellImages`.

    Args:
        path: of the file.
        name: of the cell array.
        number: of the cell, from 1 as in MATLAB.
    """
    return path / name / f"{number:04d}"


def _variable(file: h5py.File, name: str) -> h5py.Dataset:
    values = file.get(name)
    if not isinstance(values, h5py.Dataset):
        held = ", ".join(key for key in file if not key.startswith("#")) or "nothing"
        raise DataError(f"{file.filename}: has no variable {name}, it holds {held}; {_REPLACE}")
    return values
