"""AFLW: up to 21 points, head pose and a square box per face, in a database.

Source: Koestinger et al., "Annotated Facial Landmarks in the Wild", BeFIT 2011; the layout as unpacked:
``data/aflw.sqlite`` and the images in ``data/flickr/{0,2,3}``. Only points that are seen have a row, so a point is
``VISIBLE`` or not labelled.

Decisions where sources say nothing or disagree: coordinates count from 0, as public readers take them; boxes are
``x, y, x + w, y + h``. They are anchored between the eyes of a fitted head and may leave the image. The pose has
the signs of 300W-LP's labels, for which the roll of the database changes its sign (Hopenet does the same).
"""

from collections.abc import Sequence
from logging import getLogger
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import VISIBLE, Face, Reader
from canthus.data.readers.aflw_tables import FEATURES, Tables, read_tables
from canthus.data.readers.boxes import check_choice, tight_box
from canthus.data.readers.folders import existing_root, missing
from canthus.data.readers.lists import Images, check_count, unknown_part
from canthus.utils.errors import DataError

log = getLogger(__name__)

_PARTS = ("flickr/0", "flickr/2", "flickr/3")
_DATABASES = ("data/aflw.sqlite", "aflw.sqlite")
# The paper counts 25,993 faces; released databases are known to hold fewer, of which AFLW-19 uses 24,386.
_MOST, _FEWEST = 25_993, 24_000


class AFLW(Reader):
    """Reads AFLW by folders of images: no split was published.

    Attributes:
        root: folder that holds ``data/aflw.sqlite``.
        allow_partial: accept a database with fewer faces, and leave out faces whose image is missing.
        box: ``"rect"``, the boxes of the database, or ``"gt"``, the tight box of the labelled points. Faces that lack
            the box asked for are left out and counted in the log.
    """

    scheme = "21"
    experimental = "coordinates count from 0, boxes are x, y, width, height, the roll of the head changes its sign"

    def __init__(self, root: str | Path, *, allow_partial: bool = False, box: Literal["rect", "gt"] = "rect") -> None:
        check_choice("box", box, {"rect": "FaceRect of the database", "gt": "tight box of the labelled points"})
        self.root = Path(root)
        self.allow_partial = allow_partial
        self.box = box

    def faces(self, parts: Sequence[str]) -> list[Face]:
        """Read the faces of the named folders, in the order of their ids within each.

        Args:
            parts: ``"flickr/0"``, ``"flickr/2"``, ``"flickr/3"``.

        Raises:
            DataError: missing root, database, table or image; another number of faces than released; a value
                that is no number.
        """
        existing_root(self.root)
        for part in parts:
            if part not in _PARTS:
                raise unknown_part("AFLW", part, _PARTS)
        path = next((self.root / name for name in _DATABASES if (self.root / name).is_file()), None)
        if path is None:
            raise missing(self.root, _DATABASES, "unpack the database")
        tables = read_tables(path)
        for face, (collection, name) in tables.images.items():
            if f"{collection}/{name}".rpartition("/")[0] not in _PARTS:
                raise DataError(
                    f"{path}: FaceImages: the image of face {face} is {collection}/{name}, in none of the folders "
                    f"{', '.join(_PARTS)}; replace the database by the official one"
                )
        count = len(tables.images)
        official = count if _FEWEST <= count <= _MOST else _MOST
        check_count(path, "faces", count, official, self.allow_partial)
        images = Images(path.parent)
        return [face for part in parts for face in self._part(path, part, tables, images)]

    def _part(self, path: Path, part: str, tables: Tables, images: Images) -> list[Face]:
        names = {face: "/".join(image) for face, image in tables.images.items()}
        wanted = [face for face, name in names.items() if name.startswith(f"{part}/")]
        check_count(path, f"faces of {part}", len(wanted), max(len(wanted), 1), self.allow_partial)
        files = images.locate(
            [names[face] for face in wanted], lambda i: f"{path}: face {wanted[i]}", self.allow_partial
        )
        faces, boxless = [], []
        for face, file in zip(wanted, files, strict=True):
            if file is None:
                continue
            points = np.full((len(FEATURES), 2), np.nan)
            for feature, point in tables.points.get(face, {}).items():
                points[feature - 1] = point
            box = self._box(tables.boxes.get(face), points)
            if box is None:
                boxless.append(face)
                continue
            faces.append(
                Face(
                    image=file,
                    landmarks=points,
                    visibility=np.where(np.isnan(points[:, 0]), 0, VISIBLE).astype(np.uint8),
                    box=box,
                    scheme=self.scheme,
                    photo=names[face].rpartition(".")[0].lower(),
                    part=part,
                    pose=_pose(tables.poses.get(face)),
                    extra={"face_id": face},
                )
            )
        if boxless:
            log.warning(
                "%s: %d faces of %s have no box (data.box=%s) and are left out, first face %d",
                *(path, len(boxless), part, self.box, boxless[0]),
            )
        return faces

    def _box(self, rect: tuple[float, ...] | None, points: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Give the box asked for, or ``None`` where the face has none with an area."""
        labelled = points[~np.isnan(points[:, 0])]
        if self.box == "rect":
            box = None if rect is None else np.array([rect[0], rect[1], rect[0] + rect[2], rect[1] + rect[3]])
        else:
            box = tight_box(labelled) if len(labelled) else None
        return box if box is not None and (box[2:] > box[:2]).all() else None


def _pose(pose: tuple[float, ...] | None) -> NDArray[np.float64] | None:
    if pose is None:
        return None
    roll, pitch, yaw = pose
    return np.array([yaw, pitch, -roll])
