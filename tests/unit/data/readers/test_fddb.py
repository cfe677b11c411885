import numpy as np
import pytest

from canthus.data.readers import FDDB
from canthus.data.readers.fddb import box_of_ellipse
from canthus.utils.errors import DataError

NAMES = ["2002/08/11/big/img_591", "2002/08/26/big/img_265"]
# two blanks before the 1, as distributed
TEXT = f"""{NAMES[0]}
1
123.583300 85.549500 1.265839 269.693400 161.781200  1
{NAMES[1]}
3
67.363819 44.511485 -1.476417 105.249970 87.209036  1
41.936870 27.064477 1.471906 184.070915 129.345601  1
70.993052 43.355200 1.370217 340.894300 117.498951  1
"""


def write(root, fold="01", text=TEXT, names=NAMES):
    folder = root / "FDDB-folds"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"FDDB-fold-{fold}-ellipseList.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    (folder / f"FDDB-fold-{fold}.txt").write_text("".join(f"{name}\n" for name in names))
    for name in NAMES:
        file = root / "originalPics" / f"{name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.fixture
def root(tmp_path):
    write(tmp_path)
    return tmp_path


def partial(root):
    return FDDB(root, allow_partial=True)


def test_a_face(root):
    face = FDDB(root).faces(["fold-01"])[0]
    assert face.image == root / "originalPics/2002/08/11/big/img_591.jpg"
    assert face.visibility.tolist() == [0] * 5
    assert np.isnan(face.landmarks).all()
    assert (face.scheme, face.part, face.photo) == ("5", "fold-01", NAMES[0])
    assert face.extra["ellipse"].tolist() == [123.5833, 85.5495, 1.265839, 269.6934, 161.7812]


def test_faces_of_one_image_share_its_key(root):
    assert [face.photo for face in FDDB(root).faces(["fold-01"])] == [NAMES[0], *[NAMES[1]] * 3]


@pytest.mark.parametrize(
    ("angle", "box"),
    [(0, [-10, 16, 30, 24]), (np.pi / 2, [6, 0, 14, 40]), (-np.pi / 2, [6, 0, 14, 40]), (np.pi, [-10, 16, 30, 24])],
)
def test_boxes_of_upright_ellipses(angle, box):
    np.testing.assert_allclose(box_of_ellipse(np.array([20, 4, angle, 10, 20])), box, atol=1e-9)


def test_box_touches_the_ellipse(root):
    for face in FDDB(root).faces(["fold-01"]):
        major, minor, angle, x, y = face.extra["ellipse"]
        turn = np.linspace(0, 2 * np.pi, 100_000)
        a, b = major * np.cos(turn), minor * np.sin(turn)
        xs, ys = x + a * np.cos(angle) - b * np.sin(angle), y + a * np.sin(angle) + b * np.cos(angle)
        np.testing.assert_allclose(face.box, [xs.min(), ys.min(), xs.max(), ys.max()], atol=1e-5)


@pytest.mark.parametrize("text", [TEXT.replace("\n", "\r\n"), TEXT.replace("  1\n", " 1\n\n"), TEXT.rstrip()])
def test_tolerated_forms(root, text):
    write(root, text=text)
    assert len(FDDB(root).faces(["fold-01"])) == 4


def test_images_without_faces(root):
    write(root, text=TEXT + f"{NAMES[0]}\n0\n", names=[*NAMES, NAMES[0]])
    assert len(FDDB(root).faces(["fold-01"])) == 4


def replaced(old, new):
    assert old in TEXT
    return TEXT.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r":1: the file is empty"),
        (replaced("\n3\n", "\n4\n"), r":8: the file ends after 3 of 4 faces of 2002/08/26"),
        (
            replaced("\n1\n", "\n2\n"),
            r":4: '2002/08/26.*' stands where face 2 of 2 of 2002/08/11/big/img_591 is expected",
        ),
        (replaced("\n3\n", "\n2\n"), r":8: '70\.993052 .*' stands where the path of an image is expected"),
        (replaced("\n3\n", "\nmany\n"), r":5: 'many' where the number of faces of 2002/08/26/big/img_265 is expected"),
        (replaced("\n1\n", "\n"), r":2: '123\.58.*' where the number of faces"),
        (TEXT[: TEXT.index("3\n67")], r":5: 'the end of the file' where the number"),
        (replaced("1.265839", "72.5272"), r":3: the angle 72\.5272 is beyond a full turn: degrees, not radians"),
        (replaced("  1\n", "\n"), r":3: '123.*' is not major_radius minor_radius angle center_x center_y 1"),
        (replaced("  1\n", "  0\n"), r":3: .* is not major_radius"),
        (replaced("123.583300", "-123.58"), r":3: the radii -123\.58 and 85\.549500 are not positive"),
        (replaced("123.583300", "0"), r":3: the radii 0 and"),
        (replaced("123.583300", "12x"), r":3: major_radius .* expected, but .*'12x'"),
        (replaced("269.693400", "nan"), r":3: .* expected, but 'nan' is not finite"),
    ],
)
def test_damaged_lists(root, text, message):
    write(root, text=text)
    with pytest.raises(DataError, match=rf"FDDB-fold-01-ellipseList\.txt{message}"):
        FDDB(root).faces(["fold-01"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (NAMES[::-1], r"image 1 is 2002/08/11/big/img_591, in FDDB-fold-01\.txt it is 2002/08/26/big/img_265"),
        ([*NAMES, "2002/x/big/img_1"], r"image 3 is missing, in FDDB-fold-01\.txt it is 2002/x/big/img_1"),
        (NAMES[:1], r"image 2 is 2002/08/26/big/img_265, in FDDB-fold-01\.txt it is missing"),
    ],
)
def test_fold_is_what_its_list_says(root, names, message):
    write(root, names=names)
    with pytest.raises(DataError, match=rf"ellipseList\.txt:\d+: {message}; replace .*data\.allow_partial=true"):
        FDDB(root).faces(["fold-01"])
    assert len(partial(root).faces(["fold-01"])) == 4


def test_official_counts_are_of_all_folds(root, monkeypatch):
    folds = [f"fold-{number:02d}" for number in range(1, 11)]
    for fold in folds:
        write(root, fold.removeprefix("fold-"))
    with pytest.raises(DataError, match=r"FDDB-folds: 20 images where the official one has 2845; complete it"):
        FDDB(root).faces(folds)
    monkeypatch.setattr("canthus.data.readers.fddb._IMAGES", 20)
    with pytest.raises(DataError, match=r"FDDB-folds: 40 faces where the official one has 5171; complete it"):
        FDDB(root).faces(folds)
    assert len(partial(root).faces(folds)) == 40


def test_missing_things(root, caplog):
    (root / f"originalPics/{NAMES[1]}.jpg").unlink()
    assert len(partial(root).faces(["fold-01"])) == 1
    assert f"1 of 2 listed images are missing, first {NAMES[1]}.jpg" in caplog.text
    with pytest.raises(DataError, match=r"ellipseList\.txt:4: .*img_265\.jpg does not exist; 1 of 2 .*allow_partial"):
        FDDB(root).faces(["fold-01"])
    with pytest.raises(DataError, match=r"FDDB-fold-02-ellipseList\.txt is missing; .*name other folds"):
        partial(root).faces(["fold-02"])
    (root / "originalPics").rename(root / "pictures")
    with pytest.raises(DataError, match=r"originalPics is missing; the folder holds FDDB-folds/, pictures/"):
        partial(root).faces(["fold-01"])


def test_unknown_part(root):
    with pytest.raises(DataError, match=r"FDDB has no part 'fold-1', nearest 'fold-10'; .*fold-01, "):
        partial(root).faces(["fold-1"])
