"""People's own labels in a csv file with a header; a row is a face.

Columns, in any order, capitals or not:

    image                   its path, below the root
    x0, y0, ... xK-1, yK-1  points in pixels; both cells of a point empty: not labelled
    v0, ... vK-1            optional: 0 not labelled, 1 covered, 2 seen; without them labelled points count as seen
    box_x1, box_y1, box_x2, box_y2
                            optional: corners of the face box, for ``box=detector``. (Not x1, y1: that is a point.)
    part                    optional: ``train``, ``test``, ...; see `CsvLabels`
    photo                   optional: faces with the same value stay on one side of a split; the image by default
    identity                optional: person
    attributes              optional: conditions that hold, separated by ``;``

Other columns are named in the log and ignored, unless they look like a misspelling of one of these.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from canthus.data.face import Face, Reader
from canthus.data.images import Exif
from canthus.data.readers.csv_columns import BOX, Columns
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images, unknown_part, warn_if_cut
from canthus.data.readers.own_labels import check_options, file_key, labelled_box, relative_name
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError

_ALL = "all"


class CsvLabels(Reader):
    """Reads csv files of one's own.

    A part is a file, ``train`` being ``<root>/train.csv``; with ``labels``, it is a value of that file's column
    ``part``, or ``all`` if there is no such column.

    Attributes:
        root: folder that the images are named below; holds the csv files too.
        labels: the one csv file, below the root or absolute; ``None`` for a file per part.
        scheme: of the points in the file, from ``label_scheme``.
        allow_partial: leave out faces whose image is missing.
        box: ``"gt"``, the tight box of the labelled points, or ``"detector"``, the box columns.
        first_pixel: what the file calls the first pixel, 0 or 1.
        exif: ``"apply"``: the labels were made on images turned as their EXIF orientation asks, as browsers, labelling
            tools and OpenCV show them; ``"ignore"``: on the pixels as stored; ``None``: as ``"apply"``, with a warning
            when images have an orientation.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        labels: str | Path | None = None,
        label_scheme: str | int = "68",
        allow_partial: bool = False,
        box: Literal["gt", "detector"] = "gt",
        first_pixel: int = 0,
        exif: Exif | None = None,
    ) -> None:
        check_options(box, first_pixel, exif)
        self.exif = exif
        self.root, self.labels, self.scheme = Path(root), labels, load_scheme(label_scheme).name
        self.allow_partial, self.box, self.first_pixel = allow_partial, box, first_pixel

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named parts, in order; within a part in the order of rows.

        Raises:
            DataError: missing root, file, part, column or image; no rows; a cell that is not what it should be.
        """
        existing_root(self.root)
        if self.labels is None:
            return [face for part in parts for face in self._file(f"{part.removesuffix('.csv')}.csv", part)]
        faces = self._file(self.labels, None)
        found = sorted({face.part for face in faces})
        for part in parts:
            if part not in found:
                raise unknown_part(f"{self.labels} (column part)", part, found)
        return [face for part in parts for face in faces if face.part == part]

    def _file(self, name: str | Path, part: str | None) -> list[Face]:
        path = self.root / name
        if not os.path.isfile(path):
            raise missing(
                self.root, [str(name)], "name other files in data.train_parts, data.test_parts or data.labels"
            )
        lines = _rows(path)
        _, header = next(lines)
        columns = Columns(path, header, load_scheme(self.scheme).num_landmarks)
        if part is not None and "part" in columns.at:
            raise DataError(
                f"{path}:1: has a column part; set data.labels={path.name} to select its rows by that column"
            )
        if self.box == "detector" and not columns.boxes:
            raise DataError(f"{path}:1: has no columns {', '.join(BOX)}; add them, or set data.box=gt")
        # row by row, since a row of text takes six times the memory of its numbers
        labels = [(line, *self._label(columns, f"{path}:{line}", row, part)) for line, row in lines]
        if not labels:
            raise DataError(f"{path}: no rows after the header; save the labels again")
        names = [name for _, name, _ in labels]
        images = Images(self.root).locate(names, lambda i: f"{path}:{labels[i][0]}", self.allow_partial)
        faces = []
        for (line, _, label), image in zip(labels, images, strict=True):
            if image is not None:
                # without a column photo, the split goes by the file, however its rows spell it
                label["photo"] = label["photo"] or file_key(image, self.root)
                faces.append(Face(image=image, scheme=self.scheme, extra={"line": line}, **label))
        return faces

    def _label(self, columns: Columns, place: str, row: list[str], part: str | None) -> tuple[str, dict[str, Any]]:
        """Name of the image, and what the row gives of a `Face`."""
        columns.check(place, row)
        name = relative_name(place, self.root, row[columns.at["image"]])
        if "part" in columns.at and not columns.word(row, "part"):
            raise DataError(f"{place}: the cell of column part is empty; name the part of this face")
        points, visibility = columns.landmarks(place, row)
        points -= self.first_pixel
        if self.box == "detector":
            box = columns.box(place, row) - self.first_pixel
        else:
            box = labelled_box(place, points, visibility)
        return name, {
            "photo": columns.word(row, "photo"),
            "landmarks": points,
            "visibility": visibility,
            "box": box,
            "part": part or columns.word(row, "part") or _ALL,
            "attributes": frozenset(filter(None, map(str.strip, columns.word(row, "attributes").split(";")))),
            "identity": columns.word(row, "identity") or None,
        }


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the header and the rows that are not blank, each with its line number."""
    try:
        warn_if_cut(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            found = False
            for row in reader:
                if any(cell.strip() for cell in row):
                    found = True
                    yield reader.line_num, row
            if not found:
                raise DataError(f"{path}:1: the file is empty; save the labels again")
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not a csv file in UTF-8 ({error}); save it as that") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file") from error
