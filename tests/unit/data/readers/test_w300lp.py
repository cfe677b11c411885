import numpy as np
import pytest
import scipy.io

from canthus.data.readers import W300LP
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError

RANDOM = np.random.default_rng(0)
FLAT, SOLID = RANDOM.uniform(100, 350, (2, 68, 2))
POSE = np.array([[0.1, 0.2, 0.3, 55.0, 66.0, 0.0, 0.0011]])  # pitch, yaw, roll, translation, scale


def add(root, part, stem, *, landmarks=True, **content):
    folder = root / part
    folder.mkdir(parents=True, exist_ok=True)
    sample = {"Pose_Para": POSE, "roi": np.array([[90, 80, 370, 360]]), "pt2d": np.zeros((2, 68)), **content}
    scipy.io.savemat(folder / f"{stem}.mat", sample)
    (folder / f"{stem}.jpg").touch()
    if landmarks:
        (root / "landmarks" / part).mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(root / "landmarks" / part / f"{stem}_pts.mat", {"pts_2d": FLAT, "pts_3d": SOLID})


@pytest.fixture
def root(tmp_path):
    for stem in ("AFW_134212_1_0", "AFW_134212_1_7", "AFW_134212_2_0"):
        add(tmp_path, "AFW", stem)
    add(tmp_path, "AFW_Flip", "AFW_134212_1_0", landmarks=False, Pose_Para=POSE * [1, -1, -1, 1, 1, 1, 1])
    add(tmp_path, "IBUG", "IBUG_image_003_1_0")
    add(tmp_path, "LFPW", "LFPW_image_test_0001_0")
    (tmp_path / "Code").mkdir()
    (tmp_path / "Code/Model.mat").touch()
    return tmp_path


def partial(root, **options):
    return W300LP(root, allow_partial=True, **options)


def test_a_face(root):
    face = partial(root).faces(["AFW"])[0]
    assert face.image == root / "AFW/AFW_134212_1_0.jpg"
    np.testing.assert_allclose(face.landmarks, FLAT - 1)  # from 1 on disk
    np.testing.assert_allclose(face.box, [*(FLAT.min(0) - 1), *(FLAT.max(0) - 1)])
    np.testing.assert_allclose(face.pose, [0.2, 0.1, 0.3])  # yaw, pitch, roll
    assert face.visibility.tolist() == [2] * 68
    assert (face.scheme, face.part) == ("68", "AFW")
    assert face.extra["scale"] == 0.0011


def test_projected_points(root):
    np.testing.assert_allclose(partial(root, points="3d").faces(["AFW"])[0].landmarks, SOLID - 1)


def test_box_of_the_file(root):
    assert partial(root, box="roi").faces(["AFW"])[0].box.tolist() == [89, 79, 369, 359]


def test_all_that_comes_from_one_image_shares_its_key(root):
    faces = partial(root).faces(["AFW", "AFW_Flip"])
    assert {face.photo for face in faces} == {"AFW/AFW_134212"}


def test_numbers_of_the_other_sets_are_part_of_the_name(root):
    assert [face.photo for face in partial(root).faces(["IBUG", "LFPW"])] == [
        "IBUG/IBUG_image_003_1",
        "LFPW/LFPW_image_test_0001",
    ]


def test_mirrored_copies_without_landmarks_are_mirrored_originals(root):
    face = partial(root).faces(["AFW_Flip"])[0]
    mirrored = (450 - 1 - (FLAT[:, 0] - 1))[list(load_scheme(68).flip)]
    np.testing.assert_allclose(face.landmarks[:, 0], mirrored)
    np.testing.assert_allclose(face.landmarks[:, 1], (FLAT[:, 1] - 1)[list(load_scheme(68).flip)])
    np.testing.assert_allclose(face.pose, [-0.2, 0.1, -0.3])  # of its own file


def test_mirrored_copies_with_landmarks_of_their_own(root):
    (root / "landmarks/AFW_Flip").mkdir()
    scipy.io.savemat(root / "landmarks/AFW_Flip/AFW_134212_1_0_pts.mat", {"pts_2d": FLAT + 5, "pts_3d": SOLID})
    np.testing.assert_allclose(partial(root).faces(["AFW_Flip"])[0].landmarks, FLAT + 4)


@pytest.mark.parametrize(("part", "count"), [("AFW", 5207), ("AFW_Flip", 5207), ("IBUG", 1786), ("LFPW", 16556)])
def test_official_counts(root, part, count):
    with pytest.raises(DataError, match=rf"{part}: \d faces where .* {count}; complete it, or set data\.allow_partial"):
        W300LP(root).faces([part])


def test_missing_things(root):
    with pytest.raises(DataError, match=r"HELEN is missing; the folder holds AFW/, AFW_Flip/, .*name other folders"):
        partial(root).faces(["HELEN"])
    (root / "landmarks/AFW/AFW_134212_1_7_pts.mat").unlink()
    with pytest.raises(
        DataError, match=r"landmarks/AFW/AFW_134212_1_7_pts\.mat: cannot be read \(No such file.*\); restore"
    ):
        partial(root).faces(["AFW"])
    (root / "IBUG/IBUG_image_003_1_0.jpg").unlink()
    with pytest.raises(DataError, match=r"003_1_0\.mat: .*IBUG_image_003_1_0\.jpg does not exist; 1 of 1"):
        partial(root).faces(["IBUG"])


def test_an_empty_folder(root):
    (root / "HELEN").mkdir()
    with pytest.raises(DataError, match=r"HELEN: 0 faces where .*; check that the archive was unpacked"):
        partial(root).faces(["HELEN"])


def test_unknown_names(root):
    with pytest.raises(DataError, match=r"300W-LP has no part 'Code', nearest .*AFW, HELEN, IBUG, LFPW, AFW_Flip"):
        partial(root).faces(["Code"])
    with pytest.raises(DataError, match=r"data\.points is '2D'; choose '2d' \(pts_2d\) or '3d'"):
        W300LP(root, points="2D")
    with pytest.raises(DataError, match=r"data\.box is 'tight'"):
        W300LP(root, box="tight")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pts_2d": FLAT.T}, r"pts_2d is 2 x 68, not 68 x 2"),
        ({"pts_2d": FLAT[:67]}, r"pts_2d is 67 x 2, not 68 x 2"),
        ({"pts_3d": SOLID}, r"has no variable pts_2d, it holds pts_3d"),
        ({"pts_2d": np.where(FLAT > 300, np.nan, FLAT)}, r"pts_2d\(\d+, \d\) is nan, not a number"),
        ({"pts_2d": "points"}, r"pts_2d is not an array of numbers"),
        (b"", r"is not a MATLAB file"),
        (b"MATLAB 5.0 MAT-file" + bytes(300), r"(is not a MATLAB file|has no variable pts_2d)"),
        ("cut", r"is not a MATLAB file"),
    ],
)
def test_damaged_landmarks(root, content, message):
    path = root / "landmarks/AFW/AFW_134212_1_0_pts.mat"
    if isinstance(content, dict):
        scipy.io.savemat(path, content)
    else:
        path.write_bytes(path.read_bytes()[:800] if content == "cut" else content)
    with pytest.raises(DataError, match=rf"1_0_pts\.mat: {message}"):
        partial(root).faces(["AFW"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"Pose_Para": POSE[:, :3]}, r"Pose_Para is 1 x 3, not 1 x 7"),
        ({"roi": np.array([[370, 80, 90, 360]])}, r"the box \(369, 79, 89, 359\) is not x1 < x2"),
    ],
)
def test_damaged_samples(root, content, message):
    add(root, "AFW", "AFW_134212_1_0", **content)
    with pytest.raises(DataError, match=rf"AFW_134212_1_0\.mat: {message}"):
        partial(root, box="roi").faces(["AFW"])
