"""YouTube Faces frames with 68 points, in the form of a public course on facial key points.

``<part>/`` holds the frames, ``<part>_frames_keypoints.csv`` their points: a header ``,0,1,...,135``, then the name of
the frame and ``x, y`` of 68 points. The points come from a model, not from people, as whole pixels, from 0 as far as
can be told.

Measured on ``training``: 3462 frames, three each of 1154 videos of 347 people; the tight box is 74 px wide and high in
the median (1 % below 35 px). No name occurs twice, but 3 frames are copies of their neighbour in the same video, with
the same points. 20 points of 6 faces lie outside the frame, by up to 23 px (``Eliza_Dushku_2*`` and ``Chris_Cooper_42``
on the left, ``Mariana_Ohata_22`` and ``Charlotte_Casiraghi_00`` at the bottom). Rounding makes points coincide in 3170
faces, 2.4 of 68 on average. 19 faces are near profiles, whose outer eye corners are less than 0.4 of the square root of
the box's area apart. Three faces have points in a wrong order or place: ``Marieta_Chrousala_12`` (brows and mouth in
each other), ``Chris_Cirino_30`` and ``Elton_John_10`` (ends of the jaw). All are kept as they are.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from canthus.data.face import VISIBLE, Face, Reader
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import strange_number, warn_if_cut
from canthus.utils.errors import DataError

_OFFICIAL = {"training": 3462}
_COLUMNS = 1 + 2 * 68
_NAME = re.compile(r"(?P<person>.+)_(?P<video>\d)(?P<frame>\d)\.\w+")


class YTF68(Reader):
    """Reads ``training`` and, where it was fetched, ``test``.

    The key of an image is the person: frames of one video are nearly the same image, and a person's videos are
    often of one occasion, so that a split by frame would train on what it validates on.

    Attributes:
        root: folder that holds ``training_frames_keypoints.csv``.
        allow_partial: accept fewer frames than ``training`` has. For ``test`` no count is published.
    """

    scheme = "68"

    def __init__(self, root: str | Path, *, allow_partial: bool = True) -> None:
        self.root = Path(root)
        self.allow_partial = allow_partial

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the named parts, in the order of the lists. Frames without a row are not faces.

        Args:
            parts: ``"training"``, ``"test"``.

        Raises:
            DataError: missing root, list or frame; no row or, for ``training``, another number than published; a
                damaged row.
        """
        existing_root(self.root)
        return [face for part in parts for face in self._part(part)]

    def _part(self, part: str) -> list[Face]:
        path = self.root / f"{part}_frames_keypoints.csv"
        if not path.is_file():
            raise missing(self.root, [path.name], "name other parts in data.train_parts and data.test_parts")
        folder = self.root / part
        if not folder.is_dir():
            raise missing(self.root, [part], f"unpack the frames that {path.name} lists")
        present = {entry.name for entry in folder.iterdir()}
        faces, lines = [], dict[str, int]()
        for line, row in _rows(path):
            face = _face(path, line, row, part)
            name = face.image.name
            if name in lines:
                raise DataError(f"{path}:{line}: {name} was already on line {lines[name]}; remove one of the rows")
            if name not in present:
                raise DataError(f"{path}:{line}: {folder / name} does not exist; restore the frame or remove the row")
            lines[name] = line
            faces.append(face)
        self._check_count(path, part, len(faces))
        return faces

    def _check_count(self, path: Path, part: str, found: int) -> None:
        official = _OFFICIAL.get(part)
        if not found:
            raise DataError(f"{path}: no rows after the header; fetch the file again")
        if official is not None and (found > official or (found < official and not self.allow_partial)):
            remedy = "remove what was added" if found > official else "complete it, or set data.allow_partial=true"
            raise DataError(f"{path}: {found} frames where the published list has {official}; {remedy}")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows after the header, each with its line number."""
    try:
        warn_if_cut(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if len(header) != _COLUMNS or _NAME.fullmatch(header[0]):
                raise DataError(
                    f"{path}:1: {len(header)} columns starting with {header[:2]} are not the header ',0,1,...,135'; "
                    "fetch the file again"
                )
            for row in reader:
                if row:
                    yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not a csv file in UTF-8 ({error}); fetch the file again") from error


def _face(path: Path, line: int, row: list[str], part: str) -> Face:
    if len(row) != _COLUMNS:
        raise DataError(
            f"{path}:{line}: {len(row)} columns where a name and 68 points need {_COLUMNS}; restore the row"
        )
    name = _NAME.fullmatch(row[0])
    if name is None or Path(row[0]).name != row[0]:
        raise DataError(
            f"{path}:{line}: {row[0]!r} is not person_<video><frame>.jpg; rename it, splits need the person"
        )
    try:
        points = np.array(row[1:], dtype=np.float64).reshape(68, 2)
        strange = strange_number(row[1:])
        if strange is not None:
            raise ValueError(f"could not convert string to float: {strange!r}")
    except ValueError as error:
        raise DataError(f"{path}:{line}: {row[0]}: {error}; restore the row") from error
    if not np.isfinite(points).all():
        bad = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise DataError(
            f"{path}:{line}: {row[0]}: point {bad} is {points[bad]}, not a position; restore or remove the row"
        )
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    if (box[2:] <= box[:2]).any():
        raise DataError(f"{path}:{line}: {row[0]}: all points lie on one line, box {box}; restore or remove the row")
    return Face(
        image=path.parent / part / row[0],
        landmarks=points,
        visibility=np.full(68, VISIBLE, dtype=np.uint8),
        box=box,
        scheme=YTF68.scheme,
        photo=name["person"],
        part=part,
        identity=name["person"],
        extra={"video": int(name["video"]), "frame": int(name["frame"])},
    )
