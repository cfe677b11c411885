"""Which faces of WIDER FACE's validation set count as easy, medium and hard.

The evaluation tools hold ``wider_face_val.mat`` with ``event_list``, ``file_list`` and ``face_bbx_list``, the twin of
the text list, and ``wider_{easy,medium,hard}_val.mat`` with ``gt_list``: per event and image the faces that are
kept, counted from 1. All are cells [event][image]; names of images have no extension. The lists are nested.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.readers.lists import check_count
from canthus.data.readers.mat import load_variables
from canthus.data.readers.wider_lists import Listed
from canthus.utils.errors import DataError

FACES = {"easy": 7211, "medium": 13319, "hard": 31958}
_TWIN = "wider_face_val.mat"
_FOLDERS = ("wider_face_split", "eval_tools/ground_truth", "ground_truth")
_REPLACE = "replace the evaluation tools by the official ones, or remove this file to do without difficulties"


def read_difficulties(root: Path, listed: Sequence[Listed], allow_partial: bool) -> dict[tuple[str, int], set[str]]:
    """Read the levels, where the files are at hand.

    Args:
        root: of the data set.
        listed: images of the text list, with which the files must agree.
        allow_partial: accept fewer faces of a level than published, and images that the list lacks.

    Returns:
        (path of the image, number of the face from 0) -> names of its levels; empty without the files.

    Raises:
        DataError: a damaged or incomplete set of files, boxes that are not those of the list, another number of faces
            than published.
    """
    paths = {level: [root / folder / f"wider_{level}_val.mat" for folder in _FOLDERS] for level in FACES}
    folder = next((path.parent for level in FACES for path in paths[level] if path.is_file()), None)
    if folder is None:
        return {}
    # the archive of the annotations holds the twin, and nothing else of these
    twins = [folder / _TWIN, *(root / name / _TWIN for name in _FOLDERS)]
    twin_path = next((path for path in twins if path.is_file()), twins[0])
    names = _names(twin_path)
    twin = _by_name(twin_path, "face_bbx_list", names)
    by_stem = {entry.name.rpartition(".")[0]: entry for entry in listed}
    levels: dict[tuple[str, int], set[str]] = {}
    for level, official in FACES.items():
        path = folder / f"wider_{level}_val.mat"
        found = 0
        for stem, kept in _by_name(path, "gt_list", names).items():
            entry = by_stem.get(stem)
            if entry is None:
                if allow_partial:
                    continue
                raise DataError(f"{path}: has {stem}, which the list of boxes lacks; {_REPLACE}")
            boxes = np.array([box for _, box, _ in entry.faces]).reshape(-1, 4)
            if stem not in twin or not np.array_equal(twin[stem].reshape(-1, 4), boxes):
                raise DataError(f"{twin_path}: boxes of {stem} are not those of the list; {_REPLACE}")
            numbers = kept.reshape(-1).astype(np.int64)
            if ((numbers < 1) | (numbers > len(boxes))).any():
                raise DataError(f"{path}: keeps faces {numbers.tolist()} of {len(boxes)} of {stem}; {_REPLACE}")
            for number in numbers.tolist():
                levels.setdefault((entry.name, number - 1), set()).add(level)
            found += len(numbers)
        check_count(path, f"{level} faces", found, official, allow_partial)
    return levels


def _names(path: Path) -> list[tuple[str, list[str]]]:
    """Events and the stems of their images."""
    content = load_variables(path, ("event_list", "file_list"))
    try:
        events = [str(cell[0]) for cell in content["event_list"][:, 0]]
        files = [[str(cell[0]) for cell in cells[:, 0]] for cells in content["file_list"][:, 0]]
        return list(zip(events, files, strict=True))
    except (TypeError, ValueError, IndexError) as error:
        raise DataError(f"{path}: event_list and file_list are not cells of names ({error}); {_REPLACE}") from error


def _by_name(path: Path, name: str, names: list[tuple[str, list[str]]]) -> dict[str, NDArray[np.float64]]:
    """Arrays of a file by image, ``<event>/<stem>``."""
    cells = load_variables(path, (name,))[name]
    found = {}
    try:
        for (event, files), arrays in zip(names, cells[:, 0], strict=True):
            for file, array in zip(files, arrays[:, 0], strict=True):
                found[f"{event}/{file}"] = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, IndexError) as error:
        raise DataError(f"{path}: {name} is not a cell per event and image ({error}); {_REPLACE}") from error
    return found
