import numpy as np
import pytest
import scipy.io
import torch

from canthus.data.readers import AFLW2000
from canthus.geometry.pose import rotation_of_angles
from canthus.utils.errors import DataError

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.uniform(100, 350, (3, 68))


def official(*, pitch=0.1, yaw=0.2, roll=0.3, points=21):
    """The variables of one ``.mat``; the 21 points have two that are not seen."""
    pt2d = RANDOM.uniform(1, 450, (2, points))
    pt2d[:, [2, 20]] = -1
    return {
        "pt2d": pt2d,
        "pt3d_68": POINTS,
        "roi": np.array([[90, 80, 370, 360]], dtype=np.int16),
        "Pose_Para": np.array([[pitch, yaw, roll, 55.0, 66.0, 0.0, 0.0011]]),
        "Shape_Para": np.zeros((199, 1)),
    }


def add(folder, stem, content=None, suffix=".jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / f"{stem}.mat", content or official())
    (folder / f"{stem}{suffix}").touch()


@pytest.fixture
def root(tmp_path):
    add(tmp_path / "AFLW2000", "image00002")
    add(tmp_path / "AFLW2000", "image00004", official(yaw=-1.0))
    (tmp_path / "AFLW2000/Code").mkdir()
    (tmp_path / "AFLW2000/Code/ModelGeneration.mat").write_bytes(b"is not read")
    return tmp_path


def faces(root, **options):
    return AFLW2000(root, allow_partial=True, **options).faces(["AFLW2000"])


def test_a_face(root):
    face = faces(root)[0]
    assert face.image == root / "AFLW2000/image00002.jpg"
    np.testing.assert_allclose(face.landmarks, POINTS[:2].T - 1)  # from 1 on disk
    np.testing.assert_allclose(face.box, [*(POINTS[:2].min(1) - 1), *(POINTS[:2].max(1) - 1)])
    assert face.visibility.tolist() == [2] * 68
    np.testing.assert_allclose(face.pose, [0.2, 0.1, 0.3])  # yaw, pitch, roll; on disk pitch comes first
    assert (face.scheme, face.part, face.photo) == ("68", "AFLW2000", "AFLW2000/image00002")
    assert face.extra["scale"] == 0.0011
    assert face.extra["translation"].tolist() == [55, 66, 0]


def test_the_folder_itself_may_be_the_root(root):
    assert len(faces(root / "AFLW2000")) == 2


def test_21_points_of_which_some_are_not_seen(root):
    face = faces(root, points="2d")[0]
    assert face.scheme == "21"
    assert AFLW2000(root, points="2d").scheme == "21"
    assert np.flatnonzero(face.visibility == 0).tolist() == [2, 20]
    assert np.isnan(face.landmarks[[2, 20]]).all()
    assert face.box.tolist() == faces(root)[0].box.tolist()  # of the 68 points


def test_one_coordinate_of_minus_one_is_a_position(root):
    content = official()
    content["pt2d"][0, 5] = -1
    add(root / "AFLW2000", "image00002", content)
    assert faces(root, points="2d")[0].landmarks[5, 0] == -2


def test_files_whose_2d_points_are_inconsistent(root):
    add(root / "AFLW2000", "image00004", official(points=68))
    assert len(faces(root)) == 2
    with pytest.raises(DataError, match=r"image00004\.mat: pt2d holds 68 points, not 21; set data\.points=3d"):
        faces(root, points="2d")


def test_box_of_the_file(root):
    assert faces(root, box="roi")[0].box.tolist() == [89, 79, 369, 359]


@pytest.mark.parametrize(
    ("degrees", "name"),
    [(0, "yaw_0_30"), (-29.9, "yaw_0_30"), (31, "yaw_30_60"), (-59, "yaw_30_60"), (61, "yaw_60_90"), (95, "yaw_60_90")],
)
def test_attributes_by_yaw(root, degrees, name):
    add(root / "AFLW2000", "image00002", official(yaw=np.deg2rad(degrees)))
    assert faces(root)[0].attributes == {name}


@pytest.mark.parametrize("angle", ["pitch", "yaw", "roll"])
def test_attribute_of_faces_that_the_pose_protocol_leaves_out(root, angle):
    add(root / "AFLW2000", "image00002", official(**{angle: -np.deg2rad(99.5)}))
    assert "pose_over_99" in faces(root)[0].attributes


def test_rotation_is_3ddfas():
    """Rx(pitch) Ry(yaw) Rz(roll) as 3DDFA writes them, the transpose of the right-handed Rz Ry Rx."""
    from scipy.spatial.transform import Rotation

    yaw, pitch, roll = 0.3, -0.2, 0.5
    right_handed = Rotation.from_euler("xyz", [pitch, yaw, roll]).as_matrix()
    ours = rotation_of_angles(torch.tensor([yaw, pitch, roll], dtype=torch.float64))
    np.testing.assert_allclose(ours, right_handed.T, atol=1e-12)


def test_official_count(root):
    with pytest.raises(
        DataError, match=r"AFLW2000: 2 faces where .* 2000; complete it, or set data\.allow_partial=true"
    ):
        AFLW2000(root).faces(["AFLW2000"])


def test_missing_images(root, monkeypatch, caplog):
    (root / "AFLW2000/image00004.jpg").unlink()
    assert len(faces(root)) == 1
    assert "1 of 2 listed images are missing" in caplog.text
    monkeypatch.setattr("canthus.data.readers.aflw2000._FACES", 2)
    with pytest.raises(DataError, match=r"image00004\.mat: .*image00004\.jpg does not exist; 1 of 2"):
        AFLW2000(root).faces(["AFLW2000"])


def test_missing_folder(tmp_path):
    (tmp_path / "Code").mkdir()
    with pytest.raises(DataError, match=r"AFLW2000 is missing; the folder holds Code/; unpack the archive"):
        faces(tmp_path)


def test_unknown_names(root):
    with pytest.raises(DataError, match=r"AFLW2000-3D has no part 'test', nearest 'AFLW2000'"):
        AFLW2000(root).faces(["test"])
    with pytest.raises(DataError, match=r"data\.points is '3D'; choose '3d' \(.*\) or '2d'"):
        AFLW2000(root, points="3D")
    with pytest.raises(DataError, match=r"data\.box is 'tight'"):
        AFLW2000(root, box="tight")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pt3d_68": POINTS[:2]}, r"pt3d_68 is 2 x 68, not 3 x 68"),
        ({"pt3d_68": POINTS.T}, r"pt3d_68 is 68 x 3, not 3 x 68"),
        ({"pt3d_68": np.full((3, 68), np.inf)}, r"pt3d_68\(1, 1\) is inf, not a number"),
        ({"pt3d_68": np.ones((3, 68))}, r"the box \(0, 0, 0, 0\) is not x1 < x2"),
        ({"Pose_Para": np.zeros((1, 6))}, r"Pose_Para is 1 x 6, not 1 x 7"),
        ({"Pose_Para": "none"}, r"Pose_Para is not an array of numbers"),
        ({"roi": np.zeros((2, 2))}, r"roi is 2 x 2, not 1 x 4"),
        ({"roi": None}, r"has no variable roi, it holds .*Pose_Para"),
    ],
)
def test_damaged_labels(root, change, message):
    content = {key: value for key, value in {**official(), **change}.items() if value is not None}
    add(root / "AFLW2000", "image00004", content)
    with pytest.raises(DataError, match=rf"image00004\.mat: {message}"):
        faces(root)


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file" + bytes(300), b"text", "cut"])
def test_files_that_are_no_matlab(root, content):
    path = root / "AFLW2000/image00004.mat"
    path.write_bytes(path.read_bytes()[:700] if content == "cut" else content)
    with pytest.raises(DataError, match=r"image00004\.mat: .*; replace the file by the official one"):
        faces(root)
