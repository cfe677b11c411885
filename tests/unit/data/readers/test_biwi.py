import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from canthus.data.readers import BIWI
from canthus.data.readers.pose import pose_of_biwi
from canthus.utils.errors import DataError

POSE = """0.980639 0.109899 0.162077 
-0.11023 0.993882 -0.00697376 
-0.161851 -0.011027 0.986754 

43.4019 -30.7038 906.864 
"""  # noqa: W291
CAMERA = """517.679 0 320 
0 517.679 240.5 
0 0 1 

0 0 0 0 

0.999947 0.00432361 0.00929419 
-0.00446314 0.999877 0.0150443 
-0.009228 -0.015085 0.999844 

-24.0198 5.8896 -13.2308 

640 480 
"""  # noqa: W291


def add(root, part, frame, pose=POSE, camera=CAMERA):
    folder = root / part
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"frame_{frame:05d}_rgb.png").touch()
    (folder / f"frame_{frame:05d}_depth.bin").touch()
    (folder / f"frame_{frame:05d}_pose.txt").write_bytes(pose.encode("utf-8", "surrogatepass"))
    (folder / "rgb.cal").write_bytes(camera.encode("utf-8", "surrogatepass"))
    (folder / "depth.cal").write_text(camera)


@pytest.fixture
def root(tmp_path):
    tmp_path /= "hpdb"
    for part, frame in (("03", 3), ("03", 4), ("03", 9), ("15", 3), ("01", 3)):  # frame numbers have gaps
        add(tmp_path, part, frame)
    (tmp_path / "01.obj").touch()
    return tmp_path


def partial(root):
    return BIWI(root, allow_partial=True)


def test_a_face(root):
    face = partial(root).faces(["03"])[0]
    assert face.image == root / "03/frame_00003_rgb.png"
    assert face.visibility.tolist() == [0] * 68
    assert np.isnan(face.landmarks).all()
    assert (face.scheme, face.part, face.photo, face.identity) == ("68", "hpdb", "F03", "F03")
    assert face.extra["recording"] == "03"
    assert face.extra["centre"].tolist() == [43.4019, -30.7038, 906.864]
    np.testing.assert_allclose(face.extra["rotation"][0], [0.980639, 0.109899, 0.162077])


def test_box_is_200_mm_around_the_head_in_the_colour_camera(root):
    box = partial(root).faces(["03"])[0].box
    # by hand: R c + T = (27.67, -11.36, 893.55) mm
    x, y, z = 27.674, -11.362, 893.554
    np.testing.assert_allclose(
        [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], [517.679 * x / z + 320, 517.679 * y / z + 240.5], atol=0.01
    )
    np.testing.assert_allclose(box[2:] - box[:2], 517.679 * 200 / z, atol=1e-3)


def test_frames_in_order_whatever_their_numbers(root):
    assert [face.image.name[6:11] for face in partial(root).faces(["03"])] == ["00003", "00004", "00009"]


def test_people_recorded_twice_share_a_key(root):
    assert {face.photo for face in partial(root).faces(["03", "15"])} == {"F03"}
    assert len({face.photo for face in partial(root).faces(["03", "01"])}) == 2


def test_angles_are_those_of_fsa_net(root):
    face = partial(root).faces(["03"])[0]
    m = face.extra["rotation"].T
    roll = -np.arctan2(m[1][0], m[0][0])
    yaw = -np.arctan2(-m[2][0], np.sqrt(m[2][1] ** 2 + m[2][2] ** 2))
    pitch = np.arctan2(m[2][1], m[2][2])
    np.testing.assert_allclose(face.pose, [yaw, pitch, roll])


@pytest.mark.parametrize(("axis", "index"), [("y", 0), ("x", 1), ("z", 2)])
def test_turns_about_one_axis_are_one_angle(axis, index):
    pose = pose_of_biwi(Rotation.from_euler(axis, 0.4).as_matrix())
    assert abs(pose[index]) == pytest.approx(0.4)
    assert np.delete(pose, index) == pytest.approx([0, 0])


@pytest.mark.parametrize(
    "text", [POSE.replace("\n", "\r\n"), POSE.replace("\n\n", "\n"), POSE.replace(" ", "  ").rstrip()]
)
def test_tolerated_forms(root, text):
    add(root, "03", 3, pose=text)
    assert partial(root).faces(["03"])[0].extra["centre"][2] == 906.864


def changed(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        ("", r":1: the file is empty"),
        (POSE[: POSE.index("43.4")], r":3: 3 rows where a rotation of three rows and the centre of the head are 4"),
        (POSE + "1 2 3\n", r":6: 5 rows where"),
        (changed(POSE, "0.993882 ", ""), r":2: 2 numbers where 3 are expected"),
        (changed(POSE, "0.993882", "abc"), r":2: a rotation .* expected, but .*'abc'"),
        (changed(POSE, "906.864", "nan"), r":5: a rotation .* expected, but 'nan' is not finite"),
        (changed(POSE, "0.980639", "0.5"), r":1: the first three rows are not a rotation"),
        (changed(POSE, "0.980639 0.109899 0.162077", "-0.980639 -0.109899 -0.162077"), r":1: .* are not a rotation"),
        (changed(POSE, "906.864", "-906.864"), r": the head at .* mm is behind the camera"),
        ("43.4019 -30.7038 906.864\n\n" + POSE[: POSE.index("43.4")], r":1: the first three rows are not a rotation"),
    ],
)
def test_damaged_poses(root, pose, message):
    add(root, "03", 4, pose=pose)
    with pytest.raises(DataError, match=rf"frame_00004_pose\.txt{message}"):
        partial(root).faces(["03"])


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ("", r":1: the file is empty"),
        (CAMERA[: CAMERA.index("640")], r":11: 8 rows where matrix, distortion, rotation, translation and size are 9"),
        (changed(CAMERA, "0 0 0 0", "0 0 0 0 0"), r":5: 5 numbers where 4 are expected"),
        (changed(CAMERA, "517.679 0 320", "-517.679 0 320"), r":1: the focal lengths -517\.679 and 517\.679 are not"),
        (changed(CAMERA, "5.8896", "5,8896"), r":11: matrix, .* expected, but .*'5,8896'"),
    ],
)
def test_damaged_cameras(root, camera, message):
    add(root, "03", 4, camera=camera)
    with pytest.raises(DataError, match=rf"03.rgb\.cal{message}"):
        partial(root).faces(["03"])


@pytest.mark.parametrize(("lone", "lacks"), [("pose.txt", "picture"), ("rgb.png", "pose")])
def test_lone_files(root, lone, lacks):
    other = {"pose.txt": "rgb.png", "rgb.png": "pose.txt"}[lone]
    for frame in (4, 9):
        (root / f"03/frame_{frame:05d}_{other}").unlink()
    with pytest.raises(DataError, match=rf"frame_00004_{lone}: has no {lacks} .*\(and 1 more like it\); restore it"):
        partial(root).faces(["03"])


def test_missing_things(root):
    with pytest.raises(
        DataError, match=r"02 is missing; the folder holds 01\.obj, 01/, 03/, 15/; name other recordings"
    ):
        partial(root).faces(["02"])
    with pytest.raises(DataError, match=rf"03 is missing; .*set data\.root={root}$"):
        partial(root.parent).faces(["03"])
    (root / "04").mkdir()
    with pytest.raises(DataError, match=r"04/frame_00003_rgb\.png is missing; .*unpack the archive again"):
        partial(root).faces(["04"])
    (root / "03/rgb.cal").unlink()
    with pytest.raises(DataError, match=r"rgb\.cal: cannot be read .*; restore the file"):
        partial(root).faces(["03"])


def test_official_count_is_of_all_recordings(root, monkeypatch):
    recordings = [f"{number:02d}" for number in range(1, 25)]
    for part in recordings:
        add(root, part, 3)
    with pytest.raises(DataError, match=r"hpdb: 26 frames where the official one has 15678; complete it"):
        BIWI(root).faces(recordings)
    assert len(BIWI(root).faces(["03"])) == 3
    faces = partial(root).faces(recordings)
    assert len({face.identity for face in faces}) == 20


def test_unknown_part(root):
    with pytest.raises(DataError, match=r"BIWI has no part '25', nearest '\d\d'; .*01, 02"):
        partial(root).faces(["25"])
