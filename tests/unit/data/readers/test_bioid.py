import numpy as np
import pytest

from canthus.data.readers import BioID, write_pts
from canthus.utils.errors import DataError

# person's right pupil first, which is on the image's left
TWENTY = np.random.default_rng(0).uniform(50, 300, (20, 2)).round(3)
EYE = "#LX\tLY\tRX\tRY\n232\t110\t161\t112\n"


def add(root, number, *, points=TWENTY, eye=EYE):
    (root / "points_20").mkdir(parents=True, exist_ok=True)
    (root / f"BioID_{number:04d}.pgm").touch()
    (root / f"BioID_{number:04d}.eye").write_text(eye)
    write_pts(root / f"points_20/bioid_{number:04d}.pts", points - 1)  # the numbers on disk count from 0


@pytest.fixture
def root(tmp_path):
    tmp_path /= "bioid"  # alone in its parent, for the test of a root that is one folder too high
    add(tmp_path, 0)
    add(tmp_path, 7)
    (tmp_path / "Readme.txt").write_text("not a face")
    (tmp_path / "other.pgm").touch()
    return tmp_path


def faces(root, **options):
    return BioID(root, allow_partial=True, **options).faces(["bioid"])


def test_a_face(root):
    face = faces(root)[1]
    assert face.image == root / "BioID_0007.pgm"
    np.testing.assert_allclose(face.landmarks, TWENTY[[0, 1, 14, 2, 3]], atol=1e-6)
    np.testing.assert_allclose(face.box, [*TWENTY.min(0), *TWENTY.max(0)], atol=1e-6)
    assert face.visibility.tolist() == [2] * 5
    assert (face.scheme, face.part, face.photo, face.identity) == ("5", "bioid", "bioid_0007", None)


def test_pupils_alone(root):
    face = faces(root, points="eye")[0]
    # left is the person's left: the image's right
    assert face.landmarks[:2].tolist() == [[161, 112], [232, 110]]
    assert face.visibility.tolist() == [2, 2, 0, 0, 0]
    assert np.isnan(face.landmarks[2:]).all()
    side = 2.2 * np.hypot(71, 2)
    np.testing.assert_allclose(face.box[2:] - face.box[:2], side)
    np.testing.assert_allclose((face.box[0] + face.box[2]) / 2, 196.5)
    np.testing.assert_allclose(face.box[1], 111 - 0.4 * side)


@pytest.mark.parametrize("text", ["#c\r\n232 110 161 112\r\n\r\n", "# LX LY RX RY\n  232  110\t161 112"])
def test_tolerated_forms_of_eye_files(root, text):
    add(root, 0, eye=text)
    assert faces(root, points="eye")[0].landmarks[0].tolist() == [161, 112]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r":1: the file is empty"),
        ("#LX LY RX RY\n", r": is not one comment line and one line LX LY RX RY"),
        ("#LX LY RX RY\n232 110 161\n", r": is not one comment line"),
        ("#LX LY RX RY\n232 110 161 112\n1 2 3 4\n", r": is not one comment line"),
        ("#LX LY RX RY\n232 110 abc 112\n", r":2: LX LY RX RY expected, but could not convert .*'abc'"),
        ("#LX LY RX RY\n232 110 nan 112\n", r":2: LX LY RX RY expected, but 'nan' is not finite"),
        ("#LX LY RX RY\n161 112 232 110\n", r":2: the person's left eye \(161\) is not to the image's right"),
        (b"\xff\xfe\x00", r":1: is not text"),
    ],
)
def test_damaged_eye_files(root, text, message):
    (root / "BioID_0000.eye").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=rf"BioID_0000\.eye{message}"):
        faces(root, points="eye")


@pytest.mark.parametrize(
    ("points", "message"),
    [(TWENTY[:19], r":3: the header announces 19 points where 20"), (TWENTY * 0, r": the box \(")],
)
def test_damaged_points(root, points, message):
    add(root, 0, points=points)
    with pytest.raises(DataError, match=rf"bioid_0000\.pts{message}"):
        faces(root)


def test_missing_labels(root):
    (root / "points_20/bioid_0007.pts").unlink()
    (root / "BioID_0007.eye").unlink()
    with pytest.raises(DataError, match=r"bioid_0007\.pts: cannot be read"):
        faces(root)
    with pytest.raises(DataError, match=r"BioID_0007\.eye: cannot be read .*; restore the file"):
        faces(root, points="eye")


def test_missing_folders(root):
    (root / "points_20").rename(root / "points")
    with pytest.raises(DataError, match=r"points_20 is missing; .*or set data\.points=eye"):
        faces(root)
    with pytest.raises(DataError, match=rf"BioID_0000\.pgm is missing; .*set data\.root={root}"):
        faces(root.parent)


def test_official_count(root):
    with pytest.raises(DataError, match=r"2 images where the official one has 1521; complete it"):
        BioID(root).faces(["bioid"])


def test_unknown_names(root):
    with pytest.raises(DataError, match=r"BioID has no part 'test', nearest 'bioid'"):
        BioID(root).faces(["test"])
    with pytest.raises(DataError, match=r"data\.points is '20'; choose 'points_20' \(.*\) or 'eye'"):
        BioID(root, points="20")
