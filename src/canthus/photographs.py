"""What `canthus-predict` reads: photographs from a path, and face boxes from a file."""

import csv
import glob
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canthus.config import ConfigError
from canthus.data.images import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES

__all__ = ["Boxes", "find_photographs", "read_boxes", "whole_box"]

Boxes = dict[str, NDArray[np.float64]]
"""Photograph (as the file names it) -> (N, 4) ``xyxy``."""


def find_photographs(source: str) -> list[Path]:
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
        raise ConfigError(f"source={source}: no photograph there ({', '.join(IMAGE_SUFFIXES)})")
    return sorted(found)


def read_boxes(path: Path) -> Boxes:
    """Read face boxes from csv (header ``image,x1,y1,x2,y2``) or json (``{image: [[x1, y1, x2, y2], ...]}``).

    ``landmarks.json`` of an earlier prediction is accepted too.

    Raises:
        ConfigError: missing file, or an entry that is no box; the message names the line or photograph.
    """
    if not path.is_file():
        raise ConfigError(f"boxes={path}: no such file")
    entries: dict[str, list[list[float]]] = {}
    if path.suffix.lower() == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                try:
                    box = [float(row[key]) for key in ("x1", "y1", "x2", "y2")]
                    entries.setdefault(row["image"], []).append(box)
                except (KeyError, TypeError, ValueError) as error:
                    raise ConfigError(f"{path}:{number}: needs image,x1,y1,x2,y2 with numbers, has {row}") from error
    else:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content = content.get("photographs", content)
            entries = {name: _boxes_of(value) for name, value in content.items()}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ConfigError(f"{path}: not of the form {{image: [[x1, y1, x2, y2], ...]}} ({error})") from error
    return {name: _checked(path, name, boxes) for name, boxes in entries.items()}


def boxes_for(photograph: Path, boxes: Boxes) -> NDArray[np.float64] | None:
    """Boxes of a photograph, found by its path or by its file name."""
    for name in (str(photograph), photograph.name):
        if name in boxes:
            return boxes[name]
    return None


def whole_box(pixels: NDArray[np.uint8], margin: float) -> NDArray[np.float64]:
    """(1, 4) the whole photograph, less a share ``margin`` on every side."""
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
