import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canthus.data.readers import Menpo, write_pts
from canthus.utils.errors import DataError

RANDOM = np.random.default_rng(0)
FACE = RANDOM.uniform(10, 90, (68, 2)).round(6)
PROFILE = RANDOM.uniform(10, 90, (39, 2)).round(6)


def add(folder, stem, points=FACE, suffix=".jpg"):
    """One face as distributed, beside an empty file: readers do not open images."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}{suffix}").touch()
    write_pts(folder / f"{stem}.pts", points)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "menpo"
    add(folder, "aflw__face_39843")
    add(folder, "aflw__face_39844", PROFILE)
    add(folder, "fddb_1 _2", FACE + 5, ".JPG")
    for name in ("Thumbs.db", "._aflw__face_39843.pts", "readme.txt"):
        (folder / name).write_text("not a face")
    return folder


def partial(root, **options):
    return Menpo(root, allow_partial=True, **options)


def test_a_face(root):
    face = partial(root).faces(["semifrontal"])[0]
    assert face.image == root / "aflw__face_39843.jpg"
    np.testing.assert_allclose(face.landmarks, FACE, atol=1e-6)
    np.testing.assert_allclose(face.box, [*FACE.min(0), *FACE.max(0)], atol=1e-6)
    assert face.visibility.tolist() == [2] * 68
    assert (face.scheme, face.part, face.photo) == ("68", "semifrontal", "aflw__face_39843")


def test_files_count_from_1(root):
    first = (root / "aflw__face_39843.pts").read_text().splitlines()[3]
    x, y = (float(token) for token in first.split())
    np.testing.assert_allclose(partial(root).faces(["semifrontal"])[0].landmarks[0], [x - 1, y - 1])


def test_profiles_are_left_out_and_counted(root, caplog):
    assert len(partial(root).faces(["semifrontal"])) == 2
    assert "1 of 3 labels are profiles with 39 points (of 2300 published)" in caplog.text
    assert "no part of 'semifrontal' and are left out" in caplog.text


def test_without_profiles_nothing_is_logged(root, caplog):
    for file in root.glob("aflw__face_39844.*"):
        file.unlink()
    assert len(partial(root).faces(["semifrontal"])) == 2
    assert not caplog.text


def test_profiles_cannot_be_asked_for(root):
    with pytest.raises(DataError, match=r"menpo: the 1 profiles with 39 points cannot be read.*name .*'semifrontal'"):
        partial(root).faces(["profile"])


@pytest.mark.slow
def test_official_count(tmp_path):
    with pytest.raises(DataError, match=r"no such folder"):
        Menpo(tmp_path / "menpo").faces(["semifrontal"])
    add(tmp_path, "0")
    label = (tmp_path / "0.pts").read_bytes()
    for i in range(1, 6679):
        (tmp_path / f"{i}.jpg").touch()
        (tmp_path / f"{i}.pts").write_bytes(label)
    add(tmp_path, "profile", PROFILE)
    assert len(Menpo(tmp_path).faces(["semifrontal"])) == 6679
    add(tmp_path, "one_more")
    with pytest.raises(DataError, match=r"6680 faces with 68 points where the official one has 6679; remove"):
        Menpo(tmp_path).faces(["semifrontal"])
    assert len(partial(tmp_path).faces(["semifrontal"])) == 6680


def test_too_few_faces(root, tmp_path):
    with pytest.raises(DataError, match=r"menpo: 2 faces with 68 points .* has 6679; .*data\.allow_partial=true"):
        Menpo(root).faces(["semifrontal"])
    add(tmp_path / "profiles", "1", PROFILE)
    with pytest.raises(DataError, match=r"profiles: 0 faces with 68 points"):
        partial(tmp_path / "profiles").faces(["semifrontal"])


@pytest.mark.parametrize("lone", [".jpg", ".pts"])
def test_lone_files(root, lone):
    (root / f"aflw__face_39844{ {'.jpg': '.pts', '.pts': '.jpg'}[lone] }").unlink()
    lacks = {".jpg": r"label \(\.pts\)", ".pts": "image"}[lone]
    with pytest.raises(DataError, match=rf"aflw__face_39844\{lone}: has no {lacks} of the same name; restore"):
        partial(root).faces(["semifrontal"])


def test_two_images_for_one_label(root):
    (root / "aflw__face_39843.png").touch()
    with pytest.raises(DataError, match=r"39843\.png: has the name of aflw__face_39843\.jpg; remove"):
        partial(root).faces(["semifrontal"])


def test_wrong_folder_part_and_box(root, tmp_path):
    with pytest.raises(DataError, match=rf"{tmp_path}: no \.pts files; it holds menpo/; set data\.root"):
        partial(tmp_path).faces(["semifrontal"])
    with pytest.raises(DataError, match=r"Menpo has no part 'semi_frontal', nearest 'semifrontal'"):
        partial(root).faces(["semi_frontal"])
    with pytest.raises(DataError, match=r"data\.box is 'detector'; choose 'gt' .*no other"):
        Menpo(root, box="detector")


OFFICIAL = "version: 1\nn_points:  68\n{\n" + "".join(f"{x:.6f} {y:.6f}\n" for x, y in FACE + 1) + "}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r":1: the file is empty"),
        (OFFICIAL[:800], r":\d+: the file ends after \d+ of 68 points"),
        (OFFICIAL.replace("n_points:  68", "n_points:  39"), r":43: .* follows the last of 39 points"),
        (OFFICIAL.replace("{\n", "{\nx y\n"), r":4: 'x y' is not a pair of numbers"),
        (OFFICIAL.replace("{\n", "{\nnan 2\n"), r":4: 'nan 2' is not a position"),
        ("{\n1 2\n}\nn_points: 1\n", r":1: no n_points before the opening brace"),
        (
            "version: 1\nn_points: 2\n{\n1 2\n3 4\n}\n",
            r": 2 points, but Menpo has faces of 68 and profiles of 39; remove",
        ),
        (OFFICIAL.split("{")[0] + "{\n" + "1 2\n" * 68 + "}\n", r": the box \(0, 1, 0, 1\) is not x1 < x2"),
    ],
)
def test_damaged_labels_name_place_and_remedy(root, text, message):
    (root / "aflw__face_39843.pts").write_text(text)
    with pytest.raises(DataError, match=r"aflw__face_39843\.pts" + message) as caught:
        partial(root).faces(["semifrontal"])
    assert any(remedy in str(caught.value) for remedy in ("replace", "restore", "remove"))


@settings(max_examples=100, deadline=None)
@given(n=st.integers(0, 100), size=st.integers(0, 100), cut=st.none() | st.integers(0, 2500))
def test_any_number_of_points_parses_or_raises_dataerror(n, size, cut, tmp_path_factory):
    """The header decides the markup; whatever it says, a face has 68 points or there is none."""
    root = tmp_path_factory.getbasetemp() / "mutated_menpo"
    add(root, "face")
    rows = "".join(f"{i}.5 {i * i}\n" for i in range(size))
    (root / "face.pts").write_text(f"version: 1\nn_points: {n}\n{{\n{rows}}}\n"[:cut])
    faces, message = [], str(root)
    try:
        faces = partial(root).faces(["semifrontal"])
    except DataError as error:
        message = str(error)
    assert str(root) in message
    assert all(face.landmarks.shape == (68, 2) for face in faces)
    assert not faces or n == size == 68
