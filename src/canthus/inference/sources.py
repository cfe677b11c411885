"""What `canthus-predict` reads: images from a path, and face boxes from a file."""

import csv
import glob
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canthus.data.image_names import ImageNames
from canthus.data.images import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES
from canthus.utils.errors import ConfigError, DataError
from canthus.utils.escaping import csv_value
from canthus.utils.files import read_text
from canthus.utils.old_names import PREDICTIONS, renamed

__all__ = ["Boxes", "boxes_by_image", "find_images", "read_boxes", "whole_box"]

Boxes = dict[str, NDArray[np.float64]]
"""Image (as the file names it) -> (N, 4) ``xyxy``."""


def find_images(source: str) -> list[Path]:
    """An image, the images of a folder and its subfolders, or the matches of a glob; sorted.

    Images of kinds that are not read, pipes and broken links are among them: whoever reads them learns why they cannot
    be read, and says so.

    Raises:
        ConfigError: nothing there.
    """
    path = Path(source)
    if path.is_dir():
        suffixes = {*IMAGE_SUFFIXES, *OTHER_IMAGE_SUFFIXES}
        found = [file for file in path.rglob("*") if file.suffix.lower() in suffixes]
    elif path.exists():
        found = [path]
    else:
        found = list(map(Path, glob.glob(source, recursive=True)))
    found = [file for file in found if not file.is_dir()]
    if not found:
        raise ConfigError(f"source={source}: no image there ({', '.join(IMAGE_SUFFIXES)})")
    return sorted(found)


def read_boxes(path: Path) -> Boxes:
    """Read face boxes from csv (header ``image,x1,y1,x2,y2``) or json (``{image: [[x1, y1, x2, y2], ...]}``).

    ``landmarks.json`` of an earlier prediction is accepted too.

    Raises:
        ConfigError: missing file, or an entry that is no box; the message names the line or image.
    """
    if not path.is_file():
        raise ConfigError(f"boxes={path}: no such file")
    try:
        text = read_text(path, "save it as UTF-8")
        entries = _csv_boxes(path, text) if path.suffix.lower() == ".csv" else _json_boxes(path, text)
    except (OSError, ValueError) as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"boxes: {error}") from error
    return {name: _checked(path, name, boxes) for name, boxes in entries.items()}


def _csv_boxes(path: Path, text: str) -> dict[str, list[list[float]]]:
    entries: dict[str, list[list[float]]] = {}
    for number, row in enumerate(csv.DictReader(io.StringIO(text, newline="")), 2):
        try:
            box = [float(row[key]) for key in ("x1", "y1", "x2", "y2")]
            entries.setdefault(csv_value(row["image"]), []).append(box)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}:{number}: needs image,x1,y1,x2,y2 with numbers, has {row}") from error
    return entries


def _json_boxes(path: Path, text: str) -> dict[str, list[list[float]]]:
    try:
        content = json.loads(text)
        content = renamed(content, PREDICTIONS)
        content = content.get("images", content)
        return {name: _boxes_of(value) for name, value in content.items()}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not of the form {{image: [[x1, y1, x2, y2], ...]}} ({error})") from error


def boxes_by_image(
    boxes: Boxes, images: Iterable[Path], source: str
) -> tuple[dict[Path, NDArray[np.float64]], list[str]]:
    """Give every image its boxes.

    Args:
        boxes: by the names of a file, see `canthus.data.image_names.ImageNames`.
        images: of the source.
        source: what the user named; a folder may begin the names.

    Returns:
        Image -> (N, 4) boxes, for those that have any, and the names that are none of the images'.

    Raises:
        ConfigError: a name that several images may have, or an image under two names.
    """
    root = Path(source) if os.path.isdir(source) else None
    names, found, strangers = ImageNames(images, root), {}, []
    called: dict[Path, str] = {}
    for name, some in boxes.items():
        try:
            image = names.find(name)
        except DataError as error:
            raise ConfigError(f"boxes: {error}") from error
        if image is None:
            strangers.append(name)
        elif image in called:
            raise ConfigError(
                f"boxes: {image} is called both {called[image]} and {name}; keep one name for all its boxes"
            )
        else:
            called[image], found[image] = name, some
    return found, strangers


def whole_box(pixels: NDArray[np.uint8], margin: float) -> NDArray[np.float64]:
    """(1, 4) the whole image, less a share ``margin`` on every side."""
    height, width = pixels.shape[:2]
    right, bottom = width - 1, height - 1
    edge = np.array([margin * right, margin * bottom, (1 - margin) * right, (1 - margin) * bottom])
    return edge[None]


def _boxes_of(value: Any) -> list[list[float]]:
    if isinstance(value, Mapping):  # landmarks.json
        return [face["box"] for face in value["faces"]]
    return [list(map(float, box)) for box in value]


def _checked(path: Path, name: str, boxes: list[list[float]]) -> NDArray[np.float64]:
    array = np.array(boxes, dtype=np.float64).reshape(-1, 4) if all(len(box) == 4 for box in boxes) else np.empty(0)
    if array.ndim != 2 or not np.isfinite(array).all() or (array[:, 2:] <= array[:, :2]).any():
        raise ConfigError(f"{path}: {name}: {boxes} are not boxes x1 < x2, y1 < y2")
    return array
