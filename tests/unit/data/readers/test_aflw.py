import logging
import sqlite3
from contextlib import closing, contextmanager

import numpy as np
import pytest

from canthus.data.readers import AFLW
from canthus.data.readers.aflw_tables import FEATURES
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError

SCHEMA = """
CREATE TABLE Faces (face_id INTEGER, file_id TEXT, db_id TEXT);
CREATE TABLE FaceImages (file_id TEXT, db_id TEXT, filepath TEXT, width INTEGER, height INTEGER);
CREATE TABLE FaceRect (face_id INTEGER, x INTEGER, y INTEGER, w INTEGER, h INTEGER, annot_type_id INTEGER);
CREATE TABLE FacePose (face_id INTEGER, roll FLOAT, pitch FLOAT, yaw FLOAT, annot_type_id INTEGER);
CREATE TABLE FeatureCoords (face_id INTEGER, feature_id INTEGER, x FLOAT, y FLOAT, annot_type_id INTEGER);
CREATE TABLE FeatureCoordTypes (feature_id INTEGER, descr TEXT, code TEXT, x FLOAT, y FLOAT, z FLOAT);
"""
POINTS = np.random.default_rng(0).uniform(20, 200, (21, 2)).round(3)


def add(database, face, path, *, features=range(1, 22), rect=(10, -5, 200, 200), pose=(0.1, 0.2, 0.3), file=None):
    """One face as in the official database; several may share a file."""
    file = file or f"{face}.jpg"
    database.execute("INSERT INTO Faces VALUES (?, ?, 'flickr')", (face, file))
    if not database.execute("SELECT 1 FROM FaceImages WHERE file_id = ?", (file,)).fetchone():
        database.execute("INSERT INTO FaceImages VALUES (?, 'flickr', ?, 400, 300)", (file, path))
    if rect:
        database.execute("INSERT INTO FaceRect VALUES (?, ?, ?, ?, ?, 1)", (face, *rect))
    if pose:
        database.execute("INSERT INTO FacePose VALUES (?, ?, ?, ?, 1)", (face, *pose))
    rows = [(face, feature, *POINTS[feature - 1]) for feature in features]
    database.executemany("INSERT INTO FeatureCoords VALUES (?, ?, ?, ?, 1)", rows)


def whole(root, name):
    file = root / "data/flickr" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


@contextmanager
def created(root):
    """An open database with the official tables, in its place below the root."""
    (root / "data").mkdir(parents=True)
    with closing(sqlite3.connect(root / "data/aflw.sqlite", isolation_level=None)) as database:
        database.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;" + SCHEMA)
        database.executemany("INSERT INTO FeatureCoordTypes VALUES (?, ?, '', 0, 0, 0)", list(enumerate(FEATURES, 1)))
        yield database


@pytest.fixture
def database(tmp_path):
    """Three faces on two images of two folders."""
    with created(tmp_path) as database:
        add(database, 39341, "0/image00002.jpg", file="a.jpg")
        add(database, 39342, "0/image00002.jpg", file="a.jpg", features=(1, 7, 15), pose=None)
        add(database, 40000, "3/image77.jpg")
        whole(tmp_path, "0/image00002.jpg")
        whole(tmp_path, "3/image77.jpg")
        yield database


def partial(root, **options):
    return AFLW(root, allow_partial=True, **options)


def test_a_face(database, tmp_path):
    face = partial(tmp_path).faces(["flickr/0"])[0]
    assert face.image == tmp_path / "data/flickr/0/image00002.jpg"
    np.testing.assert_array_equal(face.landmarks, POINTS)
    assert face.visibility.tolist() == [2] * 21
    assert face.box.tolist() == [10, -5, 210, 195]  # x y w h, and it may leave the image
    assert (face.scheme, face.part, face.photo) == ("21", "flickr/0", "flickr/0/image00002")
    np.testing.assert_allclose(face.pose, [0.3, 0.2, -0.1])  # yaw, pitch, roll with 300W-LP's sign
    assert face.extra["face_id"] == 39341


def test_points_without_a_row_are_not_labelled(database, tmp_path):
    face = partial(tmp_path).faces(["flickr/0"])[1]
    assert np.flatnonzero(face.visibility).tolist() == [0, 6, 14]
    assert np.isnan(face.landmarks[1]).all()
    assert face.pose is None
    np.testing.assert_array_equal(face.landmarks[6], POINTS[6])


def test_faces_of_one_image_share_its_key(database, tmp_path):
    assert {face.photo for face in partial(tmp_path).faces(["flickr/0"])} == {"flickr/0/image00002"}


def test_order_of_parts(database, tmp_path):
    assert [face.part for face in partial(tmp_path).faces(["flickr/3", "flickr/0"])] == ["flickr/3", *["flickr/0"] * 2]


def test_names_of_the_points_are_the_schemes():
    assert load_scheme(21).num_landmarks == len(FEATURES) == 21


@pytest.mark.parametrize("name", ["image77.png", "IMAGE77.JPG", "Image77.Png"])
def test_capitals_and_extension_of_a_image_do_not_count(database, tmp_path, name):
    (tmp_path / "data/flickr/3/image77.jpg").unlink()
    whole(tmp_path, f"3/{name}")
    assert partial(tmp_path).faces(["flickr/3"])[0].image.name == name


def test_database_in_the_root(database, tmp_path):
    assert len(partial(tmp_path / "data").faces(["flickr/3"])) == 1


def test_faces_without_box_are_left_out_and_counted(database, tmp_path, caplog):
    add(database, 50000, "3/image77.jpg", file="40000.jpg", rect=None)
    add(database, 50001, "3/image77.jpg", file="40000.jpg", rect=(3, 3, 0, 10))
    with caplog.at_level(logging.WARNING):
        assert len(partial(tmp_path).faces(["flickr/3"])) == 1
    assert "2 faces of flickr/3 have no box (data.box=rect) and are left out, first face 50000" in caplog.text


def test_tight_boxes(database, tmp_path, caplog):
    add(database, 50000, "3/image77.jpg", file="40000.jpg", features=(4,))
    faces = partial(tmp_path, box="gt").faces(["flickr/3"])
    assert [face.box.tolist() for face in faces] == [[*POINTS.min(0), *POINTS.max(0)]]
    assert "1 faces of flickr/3 have no box (data.box=gt)" in caplog.text


def test_first_of_several_rows_counts(database, tmp_path):
    database.execute("INSERT INTO FeatureCoords VALUES (40000, 1, 1, 1, 2)")
    database.execute("INSERT INTO FaceRect VALUES (40000, 1, 1, 1, 1, 2)")
    face = partial(tmp_path).faces(["flickr/3"])[0]
    assert face.landmarks[0].tolist() == POINTS[0].tolist()
    assert face.box.tolist() == [10, -5, 210, 195]


def test_missing_images(database, tmp_path, caplog):
    add(database, 50000, "3/image78.jpg")
    (tmp_path / "data/flickr/0/image00002.jpg").unlink()
    assert len(partial(tmp_path).faces(["flickr/3"])) == 1
    assert "1 of 2 listed images are missing, first flickr/3/image78.jpg; their faces are left out" in caplog.text
    with pytest.raises(
        DataError, match=r"face 39341: .*image00002\.jpg does not exist; 2 of 2 .* complete the folder$"
    ):
        partial(tmp_path).faces(["flickr/0"])


def test_official_counts(database, tmp_path, monkeypatch):
    with pytest.raises(
        DataError, match=r"aflw\.sqlite: 3 faces where .* 25993; complete it, or set data\.allow_partial"
    ):
        AFLW(tmp_path).faces(["flickr/0"])
    monkeypatch.setattr("canthus.data.readers.aflw._FEWEST", 3)
    assert len(AFLW(tmp_path).faces(["flickr/0"])) == 2
    monkeypatch.setattr("canthus.data.readers.aflw._MOST", 2)
    with pytest.raises(DataError, match=r"3 faces where .* has 2; remove"):
        partial(tmp_path).faces(["flickr/0"])


def test_a_folder_without_faces(database, tmp_path):
    with pytest.raises(DataError, match=r"0 faces of flickr/2 .*; check that the archive was unpacked"):
        partial(tmp_path).faces(["flickr/2"])


def test_unknown_names(database, tmp_path):
    with pytest.raises(DataError, match=r"AFLW has no part 'flickr/1', nearest 'flickr/\d'.*flickr/0, flickr/2"):
        partial(tmp_path).faces(["flickr/1"])
    with pytest.raises(DataError, match=r"data\.box is 'tight'; choose 'rect' \(.*\) or 'gt'"):
        AFLW(tmp_path, box="tight")


def test_missing_database(tmp_path):
    with pytest.raises(DataError, match=r"data/aflw\.sqlite or aflw\.sqlite is missing; the folder holds nothing"):
        partial(tmp_path).faces(["flickr/0"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE FaceRect SET x = 'abc' WHERE face_id = 40000", r"FaceRect: face 40000 has the values \['abc', -5"),
        ("UPDATE FaceRect SET w = NULL WHERE face_id = 40000", r"FaceRect: face 40000 .*None.* not finite numbers"),
        ("UPDATE FacePose SET yaw = 9e999", r"FacePose: face 39341 has the values \[.*inf\]"),
        (
            "UPDATE FeatureCoords SET y = '1,5' WHERE face_id = 40000",
            r"FeatureCoords: face 40000 has the values .*'1,5'",
        ),
        (
            "UPDATE FeatureCoords SET feature_id = 22 WHERE feature_id = 3",
            r"FeatureCoords: face \d+ has feature 22, not 1 to 21",
        ),
        (
            "UPDATE FeatureCoords SET feature_id = 'x' WHERE feature_id = 3",
            r"FeatureCoords: face \d+ has feature 'x', not 1 to 21",
        ),
        ("UPDATE FeatureCoordTypes SET descr = 'Nose' WHERE feature_id = 3", r"FeatureCoordTypes does not list the 21"),
        ("UPDATE FeatureCoordTypes SET feature_id = 22 - feature_id", r"FeatureCoordTypes .* in the published order"),
        ("UPDATE FaceImages SET filepath = NULL", r"FaceImages: face 39341 has the image None, not a path"),
        ("DROP TABLE FacePose", r"FacePose cannot be read \(no such table: FacePose\)"),
        ("ALTER TABLE FaceRect RENAME COLUMN w TO width", r"FaceRect cannot be read \(no such column: w\)"),
        ("UPDATE FaceImages SET filepath = CAST(x'ff2f' AS TEXT)", r"is not a readable sqlite database|.* not decode"),
        ("DELETE FROM Faces", r"0 faces where the official one has 25993"),
    ],
)
def test_damaged_databases(database, tmp_path, change, message):
    database.execute(change)
    with pytest.raises(DataError, match=rf"aflw\.sqlite: {message}"):
        partial(tmp_path).faces(["flickr/0", "flickr/3"])


@pytest.mark.parametrize("content", [b"", b"text that is no database at all", "cut"])
def test_files_that_are_no_database(database, tmp_path, content):
    path = tmp_path / "data/aflw.sqlite"
    database.close()
    path.write_bytes(path.read_bytes()[:3000] if content == "cut" else content)
    with pytest.raises(DataError, match=r"aflw\.sqlite: .*; replace the database by the official one"):
        partial(tmp_path).faces(["flickr/0"])


def test_images_in_unknown_folders(database, tmp_path):
    """No part would give these faces, so that they would be lost without a word."""
    add(database, 50000, "4/image1.jpg")
    with pytest.raises(DataError, match=r"FaceImages: the image of face 50000 is flickr/4/image1\.jpg, in none of"):
        partial(tmp_path).faces(["flickr/0"])
