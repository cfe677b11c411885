"""What ``canthus-eval predictions=`` reads: landmarks that any tool found, as csv, json or a folder of ``.pts``.

csv
    A row a face, with the columns ``image,x0,y0,x1,y1,...`` and, if there are any, ``box_x1,box_y1,box_x2,box_y2``;
    other columns do not count. ``predictions.csv`` of an evaluation is one.
json
    ``{image: [[x, y], ...]}`` where an image has one face, ``{image: [face, ...]}`` where it has several, an empty
    list where none was found. A face is a list of points or ``{"landmarks": [[x, y], ...], "box": [x1, y1, x2, y2]}``
    without or with the box. ``landmarks.json`` of ``canthus-predict`` is accepted.
.pts
    A file per image, under the name of the image, in the folders of the images or all in one.

Beside a file ``NAME.csv`` or ``NAME.json``, ``NAME.cost.json`` may say what the tool cost, and what else to know of it:
``{"minutes": 48.0, "milliseconds": 1.1, "megabytes": 66.0, "remark": "trained on other data"}``, or some of these.

``image`` is the path of the image, or as much of its end as tells it from the others; the ending may be left out.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from canthus.data.readers import read_pts
from canthus.evaluation.files import ToolCost
from canthus.utils.errors import ConfigError, DataError
from canthus.utils.escaping import csv_value
from canthus.utils.files import read_json, read_text
from canthus.utils.old_names import PREDICTIONS, renamed

__all__ = ["PredictedFace", "Predictions", "read_cost", "read_predicted"]

BOX = ("box_x1", "box_y1", "box_x2", "box_y2")

Found = tuple[str, str, "PredictedFace | None"]
"""Place for messages, image, and a face or that there is none."""


@dataclass(frozen=True, eq=False)
class PredictedFace:
    """What a tool says about one face.

    Attributes:
        points: (K, 2) pixels, centres at integers from 0.
        box: (4,) ``xyxy`` in which the points were sought, if it is known.
    """

    points: NDArray[np.float64]
    box: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Predictions:
    """All that a file or folder holds.

    Attributes:
        faces: image, as the file names it -> faces found there.
        num_points: K.
        scheme: name of the landmark scheme, where the file says it.
    """

    faces: Mapping[str, list[PredictedFace]]
    num_points: int
    scheme: str | None


def read_predicted(path: Path, first_pixel: int | None = None) -> Predictions:
    """Read predictions.

    Args:
        path: a ``.csv`` or ``.json`` file, or a folder of ``.pts`` files, searched to all depths.
        first_pixel: coordinates of the centre of the top-left pixel; 1 in ``.pts`` and 0 elsewhere when absent.

    Raises:
        ConfigError: nothing there, or a kind of file that is not known.
        DataError: damaged content, or faces with different numbers of points; the message names file and place.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        found, scheme = list(_pts(path)), None
        first_pixel = 1 if first_pixel is None else first_pixel
    elif not path.is_file():
        raise ConfigError(f"predictions={path}: no such file or folder")
    elif suffix == ".csv":
        found, scheme = list(_csv(path)), None
    elif suffix == ".json":
        content = _json(path)
        scheme = str(content["scheme"]) if "images" in content and "scheme" in content else None
        found = list(_entries(path, content.get("images", content)))
    else:
        raise ConfigError(f"predictions={path}: give a .csv or .json file, or a folder of .pts files")
    faces: dict[str, list[PredictedFace]] = {}
    count: int | None = None
    shift = float(first_pixel or 0)
    for place, name, face in found:
        here = faces.setdefault(name, [])
        if face is None:
            continue
        count = len(face.points) if count is None else count
        if len(face.points) != count:
            raise DataError(f"{place}: {len(face.points)} points where the faces before have {count}")
        here.append(PredictedFace(face.points - shift, None if face.box is None else face.box - shift))
    if count is None:
        raise DataError(f"{path}: holds no face; check that it is the file that the tool wrote")
    return Predictions(faces, count, scheme)


def read_cost(path: Path) -> ToolCost | None:
    """What ``NAME.cost.json`` beside predictions says; None without one.

    Raises:
        DataError: something else than `ToolCost`.
    """
    source = path.with_suffix(".cost.json")
    if path.is_dir() or not source.is_file():
        return None
    content = _json(source)
    for key, value in content.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
        if key not in ToolCost.__annotations__ or not (isinstance(value, str) if key == "remark" else number):
            raise DataError(
                f"{source}: {key!r} is {value!r}; numbers from 0 for minutes, milliseconds and megabytes, a text for "
                "remark"
            )
    return cast(ToolCost, content)


def _pts(folder: Path) -> Iterator[Found]:
    files = sorted(file for file in folder.rglob("*.pts") if not file.name.startswith("."))
    if not files:
        raise ConfigError(f"predictions={folder}: no .pts file there")
    for file in files:
        points = read_pts(file) + 1.0  # as in the file: `first_pixel` may be another than the format's own 1
        yield str(file), file.relative_to(folder).with_suffix("").as_posix(), PredictedFace(points, None)


def _csv(path: Path) -> Iterator[Found]:
    with io.StringIO(_text(path), newline="") as file:
        rows = csv.DictReader(file)
        names = [name.strip() for name in rows.fieldnames or []]
        rows.fieldnames = names
        k = sum(re.fullmatch(r"x\d+", name) is not None for name in names)
        points = [f"{axis}{i}" for i in range(k) for axis in "xy"]
        lacking = [name for name in ("image", *points) if name not in names]
        if lacking or not k:
            raise DataError(f"{path}:1: the header lacks {', '.join(lacking[:4]) or 'x0, y0'}; needs image,x0,y0,...")
        boxed = set(BOX) <= set(names)
        for row in rows:
            place = f"{path}:{rows.line_num}"
            if None in row or None in row.values():
                raise DataError(f"{place}: another number of cells than the header; restore the row")
            if all(row[name].strip().lower() in ("", "nan") for name in points):
                yield place, csv_value(row["image"]), None  # a face that was not found
                continue
            box = _numbers(place, [row[name] for name in BOX]) if boxed else None
            flat = _numbers(place, [row[name] for name in points])
            yield place, csv_value(row["image"]), PredictedFace(flat.reshape(-1, 2), box)


def _text(path: Path) -> str:
    try:
        return read_text(path, "save it as UTF-8")
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path, "write it again")
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from error
    if isinstance(content, dict) and "scheme" in content:  # our own file, maybe an older one
        content = renamed(content, PREDICTIONS)
    if not isinstance(content, dict) or not isinstance(content.get("images", {}), dict):
        raise DataError(f"{path}: not an object {{image: points or faces}}")
    return content


def _entries(path: Path, images: Mapping[str, Any]) -> Iterator[Found]:
    for name, value in images.items():
        faces = value["faces"] if isinstance(value, dict) and "faces" in value else value
        if isinstance(faces, dict) or _is_points(faces):
            faces = [faces]
        if not isinstance(faces, list):
            raise DataError(f"{path}: {name}: {faces!r} is neither points nor a list of faces")
        if not faces:
            yield f"{path}: {name}", name, None
        for number, face in enumerate(faces):
            place = f"{path}: {name}: face {number}"
            points, box = (face.get("landmarks"), face.get("box")) if isinstance(face, dict) else (face, None)
            if not _is_points(points):
                raise DataError(f"{place}: landmarks are not a list of [x, y]")
            if box is not None and not (isinstance(box, list) and len(box) == 4):
                raise DataError(f"{place}: the box {box} is not [x1, y1, x2, y2]")
            flat = [value for point in cast(list[list[Any]], points) for value in point]
            corners = None if box is None else _numbers(place, box)
            yield place, name, PredictedFace(_numbers(place, flat).reshape(-1, 2), corners)


def _is_points(value: Any) -> bool:
    """Whether a value is a list of pairs of numbers."""
    pairs = isinstance(value, list) and bool(value) and all(isinstance(point, list) for point in value)
    return pairs and all(len(point) == 2 and not any(isinstance(x, (list, dict)) for x in point) for point in value)


def _numbers(place: str, values: Iterable[Any]) -> NDArray[np.float64]:
    cells = list(values)
    try:
        numbers = np.array([float(cell) for cell in cells], dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.full(len(cells), np.nan)
    if not np.isfinite(numbers).all():
        raise DataError(f"{place}: not every coordinate is a finite number; leave out faces that were not found")
    return numbers
