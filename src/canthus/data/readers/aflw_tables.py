"""The tables of AFLW's sqlite database, as dictionaries by the id of the face.

``Faces(face_id, file_id, db_id)``, ``FaceImages(file_id, db_id, filepath, width, height)``,
``FaceRect(face_id, x, y, w, h)``, ``FacePose(face_id, roll, pitch, yaw)`` in radians,
``FeatureCoords(face_id, feature_id, x, y)``, ``FeatureCoordTypes(feature_id, descr)``.
"""

import math
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canthus.utils.errors import DataError

FEATURES = (
    *("LeftBrowLeftCorner", "LeftBrowCenter", "LeftBrowRightCorner"),
    *("RightBrowLeftCorner", "RightBrowCenter", "RightBrowRightCorner"),
    *("LeftEyeLeftCorner", "LeftEyeCenter", "LeftEyeRightCorner"),
    *("RightEyeLeftCorner", "RightEyeCenter", "RightEyeRightCorner"),
    *("LeftEar", "NoseLeft", "NoseCenter", "NoseRight", "RightEar"),
    *("MouthLeftCorner", "MouthCenter", "MouthRightCorner", "ChinCenter"),
)
"""The points in the order of their ids, 1 to 21; left is the image's left."""

_REPLACE = "replace the database by the official one"
_QUERIES = {
    "FeatureCoordTypes": "SELECT feature_id, descr FROM FeatureCoordTypes ORDER BY feature_id",
    "Faces and FaceImages": (
        "SELECT f.face_id, i.db_id, i.filepath FROM Faces f "
        "JOIN FaceImages i ON i.file_id = f.file_id AND i.db_id = f.db_id ORDER BY f.face_id"
    ),
    "FaceRect": "SELECT face_id, x, y, w, h FROM FaceRect",
    "FacePose": "SELECT face_id, roll, pitch, yaw FROM FacePose",
    "FeatureCoords": "SELECT face_id, feature_id, x, y FROM FeatureCoords",
}


@dataclass(frozen=True)
class Tables:
    """What the database says; of several rows for the same thing the first counts.

    Attributes:
        images: face -> (name of the collection, path of the image in it), in the order of the ids.
        boxes: face -> x, y, w, h.
        poses: face -> roll, pitch, yaw in radians.
        points: face -> feature id (1 to 21) -> x, y.
    """

    images: dict[int, tuple[str, str]]
    boxes: dict[int, tuple[float, ...]]
    poses: dict[int, tuple[float, ...]]
    points: dict[int, dict[int, tuple[float, ...]]]


def read_tables(path: Path) -> Tables:
    """Read the database.

    Raises:
        DataError: not a database, a missing table or column, a value of the wrong type, features in another order.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = {table: _rows(path, database, table) for table in _QUERIES}
    except (sqlite3.Error, UnicodeDecodeError) as error:  # damaged text, or a message of sqlite that quotes it
        raise DataError(f"{path}: is not a readable sqlite database ({error}); {_REPLACE}") from error
    if [tuple(row) for row in rows["FeatureCoordTypes"]] != list(enumerate(FEATURES, 1)):
        raise DataError(
            f"{path}: FeatureCoordTypes does not list the 21 features {FEATURES[0]} to {FEATURES[-1]} in the published "
            f"order; {_REPLACE}"
        )
    images: dict[int, tuple[str, str]] = {}
    for face, collection, name in rows["Faces and FaceImages"]:
        if not (isinstance(face, int) and isinstance(collection, str) and isinstance(name, str)):
            raise DataError(f"{path}: FaceImages: face {face!r} has the image {name!r}, not a path; {_REPLACE}")
        images.setdefault(face, (collection, name.replace("\\", "/")))
    points: dict[int, dict[int, tuple[float, ...]]] = {}
    for face, feature, *values in rows["FeatureCoords"]:
        if not isinstance(feature, int) or not 1 <= feature <= len(FEATURES):
            raise DataError(f"{path}: FeatureCoords: face {face} has feature {feature!r}, not 1 to 21; {_REPLACE}")
        points.setdefault(face, {}).setdefault(feature, _checked(path, "FeatureCoords", face, values))
    return Tables(images, _by_face(path, "FaceRect", rows), _by_face(path, "FacePose", rows), points)


def _rows(path: Path, database: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    try:
        return database.execute(_QUERIES[table]).fetchall()
    except sqlite3.OperationalError as error:
        raise DataError(f"{path}: {table} cannot be read ({error}); {_REPLACE}") from error


def _by_face(path: Path, table: str, rows: dict[str, list[tuple[Any, ...]]]) -> dict[int, tuple[float, ...]]:
    found: dict[int, tuple[float, ...]] = {}
    for face, *values in rows[table]:
        found.setdefault(face, _checked(path, table, face, values))
    return found


def _checked(path: Path, table: str, face: Any, values: list[Any]) -> tuple[float, ...]:
    # sqlite keeps a text in a numeric column without complaint
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
        raise DataError(f"{path}: {table}: face {face} has the values {values}, not finite numbers; {_REPLACE}")
    return tuple(float(value) for value in values)
