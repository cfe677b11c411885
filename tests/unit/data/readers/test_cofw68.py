import h5py
import numpy as np
import pytest
import scipy.io

from canthus.data.readers import COFW68
from canthus.utils.errors import DataError

SHAPE = np.random.default_rng(0).uniform(-3, 40, (68, 2)).round(3)
OCC = (np.arange(68) % 4 == 0).astype(np.uint8)


def label(folder, number, points=SHAPE, occ=OCC, **changes):
    """``<k>_points.mat`` as the benchmark has it: float64 68 x 2 and uint8 1 x 68."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"Points": np.asarray(points, float), "Occ": np.asarray(occ, np.uint8)[None]} | changes
    path = folder / f"{number}_points.mat"
    scipy.io.savemat(path, {name: value for name, value in content.items() if value is not None})
    return path


def boxes(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"bboxes": np.array(rows, dtype=np.int16)})


def images(path, count):
    """COFW's test file, its images only; number k is a picture of grey value k."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("#refs#")
        cells = [
            group.create_dataset(f"c{k}", data=np.full((3, 5, 4), k % 256, np.uint8)).ref for k in range(1, count + 1)
        ]
        file.create_dataset("IsT", data=np.array(cells, dtype=h5py.ref_dtype).reshape(1, -1), dtype=h5py.ref_dtype)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "cofw68"
    for number in (1, 2, 10):
        label(folder / "test_annotations", number, points=SHAPE + number)
    (folder / "test_annotations/readme.txt").write_text("not a label")
    boxes(folder / "cofw68_test_bboxes.mat", [[k, 2 * k, 30, 40] for k in range(1, 12)])
    images(folder / "COFW_test_color.mat", 11)
    return folder


def partial(root, **options):
    return COFW68(root, allow_partial=True, **options)


def test_a_face(root):
    face = partial(root).faces(["test"])[0]
    # one pixel comes off, since MATLAB counts from 1; label 1 was moved by 1
    np.testing.assert_allclose(face.landmarks, SHAPE)
    np.testing.assert_allclose(face.box, [*SHAPE.min(0), *SHAPE.max(0)])
    assert face.visibility.tolist() == (2 - OCC.astype(int)).tolist()
    assert (face.scheme, face.part, face.photo) == ("68", "test", "test/0001")


def test_negative_coordinates_are_kept(root):
    label(root / "test_annotations", 1)
    face = partial(root).faces(["test"])[0]
    assert (face.landmarks < -1).any()
    assert (face.visibility > 0).all()


def test_files_may_be_said_to_count_from_0(root):
    faces = partial(root, first_pixel=0, box="detector").faces(["test"])
    np.testing.assert_allclose(faces[0].landmarks, SHAPE + 1)
    assert faces[0].box.tolist() == [1, 2, 31, 42]


def test_labels_come_by_number_and_find_their_image(root):
    reader = partial(root)
    faces = reader.faces(["test"])
    assert [face.photo for face in faces] == ["test/0001", "test/0002", "test/0010"]
    assert [int(reader.pixels(face.image).max()) for face in faces] == [1, 2, 10]
    assert reader.pixels(faces[0].image).shape == (4, 5, 3)
    assert len({reader.fingerprint(face) for face in faces}) == 3


def test_detector_boxes_go_by_number(root):
    faces = partial(root, box="detector").faces(["test"])
    assert [face.box.tolist() for face in faces] == [[0, 1, 30, 41], [1, 3, 31, 43], [9, 19, 39, 59]]


def test_images_may_lie_elsewhere(root, tmp_path):
    other = tmp_path / "cofw"
    other.mkdir()
    (root / "COFW_test_color.mat").rename(other / "COFW_test_color.mat")
    with pytest.raises(DataError, match=r"cofw68: COFW_test_color\.mat or COFW_test\.mat is missing; .*unpack COFW"):
        partial(root).faces(["test"])
    assert partial(root, cofw=other).faces(["test"])[0].image == other / "COFW_test_color.mat/IsT/0001"
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        partial(root, cofw=tmp_path / "nowhere").faces(["test"])


def test_folder_of_the_repository(root):
    (root / "COFW68_Data").mkdir()
    for name in ("test_annotations", "cofw68_test_bboxes.mat"):
        (root / name).rename(root / "COFW68_Data" / name)
    assert len(partial(root, box="detector").faces(["test"])) == 3


def test_official_count(root):
    with pytest.raises(DataError, match=r"test_annotations: 3 labels .* has 507; .*data\.allow_partial=true"):
        COFW68(root).faces(["test"])
    images(root / "COFW_test_color.mat", 507)
    source = label(root / "test_annotations", 1).read_bytes()
    for number in range(1, 508):
        (root / f"test_annotations/{number}_points.mat").write_bytes(source)
    assert [face.photo for face in COFW68(root).faces(["test"])][-1] == "test/0507"
    (root / "test_annotations/508_points.mat").write_bytes(source)
    with pytest.raises(DataError, match=r"508 labels .*has 507; remove"):
        partial(root).faces(["test"])


@pytest.mark.parametrize("number", [0, 12])
def test_labels_without_image(root, number):
    label(root / "test_annotations", number)
    with pytest.raises(
        DataError, match=rf"{number}_points\.mat: .*color\.mat has entries 1 to 11 and none for {number}"
    ):
        partial(root).faces(["test"])


def test_labels_without_box(root):
    boxes(root / "cofw68_test_bboxes.mat", [[1, 2, 30, 40]] * 5)
    assert len(partial(root).faces(["test"])) == 3
    with pytest.raises(DataError, match=r"10_points\.mat: .*bboxes\.mat has entries 1 to 5 and none for 10; restore"):
        partial(root, box="detector").faces(["test"])
    (root / "cofw68_test_bboxes.mat").unlink()
    with pytest.raises(DataError, match=r"cofw68_test_bboxes\.mat is missing; .*unpack the COFW68 benchmark"):
        partial(root, box="detector").faces(["test"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": SHAPE[:67]}, r"Points is 67 x 2, not 68 x 2; replace"),
        ({"points": SHAPE.T}, r"Points is 2 x 68, not 68 x 2"),
        ({"points": np.where(np.arange(68)[:, None] == 5, np.nan, SHAPE)}, r"Points\(6, 1\) is nan, not a number"),
        ({"Points": "text"}, r"Points is not an array of numbers; replace"),
        ({"Points": None}, r"has no variable Points, it holds Occ; replace"),
        ({"Occ": None}, r"has no variable Occ, it holds Points; replace"),
        ({"Occ": OCC[:, None]}, r"Occ is 68 x 1, not 1 x 68"),
        ({"occ": OCC * 3}, r"the occlusion of point 0 is 3, not 0 or 1; replace"),
        ({"points": np.ones((68, 2))}, r"the box \(0, 0, 0, 0\) is not x1 < x2"),
    ],
)
def test_damaged_labels_name_file_and_remedy(root, changes, message):
    label(root / "test_annotations", 2, **changes)
    with pytest.raises(DataError, match=r"[/\\]2_points\.mat: " + message) as caught:
        partial(root).faces(["test"])
    assert any(remedy in str(caught.value) for remedy in ("replace", "restore"))


@pytest.mark.parametrize("size", [0, 60, 150, 250])
def test_truncated_and_empty_labels(root, size):
    path = root / "test_annotations/2_points.mat"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"2_points\.mat: (is not a MATLAB file|has no variable|.* is not an array)"):
        partial(root).faces(["test"])


def test_damaged_boxes(root):
    path = root / "cofw68_test_bboxes.mat"
    boxes(path, [[1, 2, 30, 0]] * 11)
    with pytest.raises(DataError, match=r"1_points\.mat: bboxes\(1, :\): the box \(0, 1, 30, 1\) is not x1 < x2"):
        partial(root, box="detector").faces(["test"])
    boxes(path, np.zeros((4, 11)))
    with pytest.raises(DataError, match=r"bboxes is 4 x 11, not N x 4; replace"):
        partial(root, box="detector").faces(["test"])


def test_damaged_images_are_noticed_at_once(root):
    path = root / "COFW_test_color.mat"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(
        DataError, match=r"COFW_test_color\.mat: is not a readable MATLAB 7\.3 \(HDF5\) file .*; replace"
    ):
        partial(root).faces(["test"])


def test_missing_root_folder_part_and_bad_options(root, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder; .*holds cofw68/; set data\.root"):
        COFW68(tmp_path / "nowhere").faces(["test"])
    with pytest.raises(DataError, match=rf"test_annotations is missing.*set data\.root={root}$"):
        partial(tmp_path).faces(["test"])
    with pytest.raises(DataError, match=r"COFW-68 has no part 'train', nearest 'test'"):
        partial(root).faces(["train"])
    with pytest.raises(DataError, match=r"data\.box is 'tight'; choose 'gt'"):
        COFW68(root, box="tight")
    with pytest.raises(DataError, match=r"data\.first_pixel is '2'; choose '1' .* or '0'"):
        COFW68(root, first_pixel=2)


def test_empty_folder(root):
    for file in (root / "test_annotations").glob("*.mat"):
        file.unlink()
    with pytest.raises(DataError, match=r"test_annotations: 0 labels .*; check that the archive was unpacked"):
        partial(root).faces(["test"])


def test_folder_and_file_exchanged(root):
    (root / "cofw68_test_bboxes.mat").unlink()
    (root / "cofw68_test_bboxes.mat").mkdir()
    with pytest.raises(DataError, match=r"cofw68_test_bboxes\.mat is missing"):
        partial(root, box="detector").faces(["test"])
    (root / "test_annotations").rename(root / "labels")
    (root / "test_annotations").touch()
    with pytest.raises(DataError, match=r"test_annotations is missing; the folder holds COFW_test_color\.mat"):
        partial(root).faces(["test"])
