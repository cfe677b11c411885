"""The official detector boxes of 300-W, ``bounding_boxes_<set>.mat``.

A 1 x N cell ``bounding_boxes`` of structs with ``imgName``, ``bb_detector`` and ``bb_ground_truth``; boxes are
``x1 y1 x2 y2`` and count pixels from 1. The ground truth boxes are the tight boxes of the points and tell nothing new.
The file of iBUG holds its 135 images and then 202 of AFW once more: entries go by name, the rest is ignored.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from canthus.data.readers.mat_check import check_level_5
from canthus.utils.errors import DataError

_FOLDERS = (".", "bounding_boxes")


def detector_boxes(root: Path, part: str, boxes: str | None, names: Collection[str]) -> dict[str, NDArray[np.float64]]:
    """Give the detector box of each image of a part.

    Args:
        root: of 300-W; the file lies there or in its folder ``bounding_boxes``.
        part: for messages.
        boxes: ``<set>`` of the file name; ``None`` where none was published.
        names: stems of the images, without blanks.

    Returns:
        Name -> (4,) ``xyxy``, pixel centres at integers from 0.

    Raises:
        DataError: no file, a damaged one, no entry for an image, or an entry that is not a box.
    """
    if boxes is None:
        raise DataError(f"no detector boxes were published for {part}; set data.box=gt for it")
    file = f"bounding_boxes_{boxes}.mat"
    path = next((root / folder / file for folder in _FOLDERS if (root / folder / file).is_file()), None)
    if path is None:
        raise DataError(
            f"{root}: {file} is neither there nor in {_FOLDERS[1]}/; unpack the official bounding boxes there, "
            "or set data.box=gt"
        )
    entries = _entries(path)
    absent = sorted(set(names) - entries.keys())
    if absent:
        more = f" and {len(absent) - 1} more images" if len(absent) > 1 else ""
        raise DataError(f"{path}: no entry for {absent[0]}{more} of {part}; use the official file, or set data.box=gt")
    return {name: _box(path, name, entries[name]) for name in names}


def _entries(path: Path) -> dict[str, Any]:
    try:
        check_level_5(path.read_bytes())  # scipy can crash on a damaged file
        cells = scipy.io.loadmat(path)["bounding_boxes"]
        rows = [cells[0, i] for i in range(cells.shape[1])]
        named = [(str(row["imgName"][0, 0][0]), row["bb_detector"][0, 0]) for row in rows]
    except Exception as error:  # scipy and indexing raise a dozen unrelated kinds for damaged files
        raise DataError(
            f"{path}: does not hold the official cell array bounding_boxes ({type(error).__name__}: {error}); "
            "replace the file, or set data.box=gt"
        ) from error
    # reversed, so that the first of several entries of a name counts
    return {Path(name).stem.replace(" ", ""): box for name, box in reversed(named)}


def _box(path: Path, name: str, entry: Any) -> NDArray[np.float64]:
    try:
        box = np.asarray(entry, dtype=np.float64).reshape(-1) - 1.0
    except (TypeError, ValueError):
        box = np.empty(0)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
        raise DataError(
            f"{path}: bb_detector of {name} is {entry}, not x1 < x2, y1 < y2; replace the file, or set data.box=gt"
        )
    return box
