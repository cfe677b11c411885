import pickle
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import scipy.io

from canthus.data.batch import InputSpec
from canthus.data.readers import COFW
from canthus.data.store import Store, StoreSpec
from canthus.geometry.boxes import centred_box
from canthus.utils.errors import DataError


def phis(count, seed=0):
    """(N, 87) in MATLAB's count: 29 x, 29 y, 29 flags."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(5, 60, (count, 29)), random.uniform(5, 40, (count, 29))
    return np.concatenate([x, y, random.integers(0, 2, (count, 29))], axis=1)


def picture(number, shape=(48, 70, 3)):
    """Rows, columns and channels of different lengths and values, so that no exchange of axes goes unseen."""
    return np.random.default_rng(number).integers(0, 256, shape).astype(np.uint8)


def write(path, labels, *, boxes=None, pictures=None, part="train", **changes):
    """A file as MATLAB 7.3 writes it: HDF5 behind a header of 512 bytes, axes reversed, cells as references.

    Args:
        changes: variables that are written otherwise, as HDF5 sees them; ``None`` leaves one out.
    """
    count, suffix = len(labels), {"train": "Tr", "test": "T"}[part]
    boxes = np.tile([6.0, 6.0, 55.0, 35.0], (count, 1)) if boxes is None else np.asarray(boxes, float)
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("#refs#")
        cells = []
        for number, array in enumerate([picture(i) for i in range(count)] if pictures is None else pictures):
            data = group.create_dataset(f"cell{number}", data=array.T)
            data.attrs["MATLAB_class"] = np.bytes_("uint8")
            cells.append(data.ref)
        references = np.array(cells, dtype=h5py.ref_dtype).reshape(1, -1)
        content = {f"phis{suffix}": labels.T, f"bboxes{suffix}": boxes.T, f"Is{suffix}": references}
        for name, value in (content | changes).items():
            if value is not None:
                dtype = h5py.ref_dtype if value.dtype == object else value.dtype
                file.create_dataset(name, data=value, dtype=dtype)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))
    return path


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "cofw"
    folder.mkdir()
    write(folder / "COFW_train_color.mat", phis(4))
    write(folder / "COFW_test_color.mat", phis(2, seed=1), part="test")
    return folder


def partial(root, **options):
    return COFW(root, allow_partial=True, **options)


def test_a_face(root):
    face = partial(root).faces(["train"])[2]
    row = phis(4)[2]
    np.testing.assert_array_equal(face.landmarks, np.stack([row[:29], row[29:58]], axis=1) - 1)
    # all points count, covered ones included
    assert face.visibility.tolist() == (2 - row[58:]).astype(int).tolist()
    assert set(face.visibility) == {1, 2}
    np.testing.assert_array_equal(face.box, [*face.landmarks.min(0), *face.landmarks.max(0)])
    assert (face.scheme, face.part, face.photo) == ("29", "train", "train/0003")


def test_boxes_of_the_file_are_x_y_width_height_from_1(root):
    write(root / "COFW_train_color.mat", phis(1), boxes=[[11, 21, 30, 40.5]])
    assert partial(root, box="detector").faces(["train"])[0].box.tolist() == [10, 20, 40, 60.5]


def test_parts_have_keys_of_their_own(root):
    faces = partial(root).faces(["test", "train"])
    assert [face.photo for face in faces][:3] == ["test/0001", "test/0002", "train/0001"]
    assert len({face.image for face in faces}) == 6


def test_pixels_are_rows_columns_rgb(root):
    reader = partial(root)
    for i, face in enumerate(reader.faces(["train"])):
        np.testing.assert_array_equal(reader.pixels(face.image), picture(i))


@pytest.mark.parametrize("shape", [(48, 70), (48, 70, 1)])
def test_grey_images_are_repeated(root, shape):
    grey = picture(0, shape)
    write(root / "COFW_train_color.mat", phis(2), pictures=[grey, picture(1)])
    reader = partial(root)
    pixels = [reader.pixels(face.image) for face in reader.faces(["train"])]
    assert [each.shape for each in pixels] == [(48, 70, 3)] * 2
    for channel in range(3):
        np.testing.assert_array_equal(pixels[0][..., channel], grey.reshape(48, 70))
    assert pixels[0].flags.writeable
    assert pixels[0].flags.c_contiguous


def test_grey_files_stand_in_for_colour(root):
    write(root / "COFW_train.mat", phis(3))
    assert len(partial(root).faces(["train"])) == 4
    (root / "COFW_train_color.mat").unlink()
    assert len(partial(root).faces(["train"])) == 3


def test_cells_of_either_orientation(root):
    path = root / "COFW_train_color.mat"
    with h5py.File(path, "r+") as file:
        references = file["IsTr"][()]
        del file["IsTr"]
        file.create_dataset("IsTr", data=references.reshape(-1, 1), dtype=h5py.ref_dtype)
    reader = partial(root)
    np.testing.assert_array_equal(reader.pixels(reader.faces(["train"])[1].image), picture(1))


def test_threads_read_at_once(root):
    reader = partial(root)
    images = [face.image for face in reader.faces(["train", "test"])] * 20
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(reader.pixels, images))
    for image, pixels in zip(images, together, strict=True):
        np.testing.assert_array_equal(pixels, picture(int(image.name) - 1))


def test_reader_travels_to_other_processes(root):
    reader = partial(root)
    face = reader.faces(["train"])[1]
    reader.pixels(face.image)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader)).pixels(face.image), picture(1))


def test_fingerprints_tell_images_and_versions_apart(root):
    reader = partial(root)
    faces = reader.faces(["train", "test"])
    before = [reader.fingerprint(face) for face in faces]
    assert len(set(before)) == 6
    assert [reader.fingerprint(face) for face in faces] == before
    write(root / "COFW_train_color.mat", phis(5))
    assert all(reader.fingerprint(face) != old for face, old in zip(faces[:4], before, strict=False))
    (root / "COFW_test_color.mat").unlink()
    assert reader.fingerprint(faces[5]).endswith(":missing")


def test_images_go_into_the_store(root, tmp_path):
    reader = partial(root, box="detector")
    spec = StoreSpec.for_input(InputSpec(32, 3, centred_box(32, 0.5)), extent=2, oversample=1)
    store = Store.prepare(reader, reader.faces(["train"]), spec, tmp_path / "cache")
    assert (len(store), store.broken) == (4, {})
    assert store.crops.std() > 10


def test_a_broken_image_is_named_by_the_store(root, tmp_path):
    broken = np.zeros((4, 4), dtype=np.float64)
    write(root / "COFW_train_color.mat", phis(2), pictures=[broken, picture(1)])
    reader = partial(root)
    spec = StoreSpec.for_input(InputSpec(32, 3, centred_box(32, 0.5)), extent=2, oversample=1)
    store = Store.prepare(reader, reader.faces(["train"]), spec, tmp_path / "cache", max_broken=0.5)
    assert len(store) == 1
    assert "IsTr{1} is a 4 x 4 float64, not a picture in bytes" in next(iter(store.broken.values()))


def test_official_counts(tmp_path):
    tiny = picture(0, (2, 2))
    write(tmp_path / "COFW_train_color.mat", phis(1345), pictures=[tiny] * 1345)
    write(tmp_path / "COFW_test_color.mat", phis(507), pictures=[tiny] * 507, part="test")
    assert len(COFW(tmp_path).faces(["train", "test"])) == 1852
    write(tmp_path / "COFW_test_color.mat", phis(508), pictures=[tiny] * 508, part="test")
    with pytest.raises(DataError, match=r"COFW_test_color\.mat: 508 faces where the official one has 507; remove"):
        partial(tmp_path).faces(["test"])


def test_too_few_faces(root):
    with pytest.raises(DataError, match=r"train_color\.mat: 4 faces .* has 1345; .*data\.allow_partial=true"):
        COFW(root).faces(["train"])
    write(root / "COFW_train_color.mat", np.empty((0, 87)))
    with pytest.raises(DataError, match=r"train_color\.mat: 0 faces where the official one has 1345; check"):
        partial(root).faces(["train"])


def test_missing_root_file_and_part(root, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder; .*holds cofw/; set data\.root"):
        COFW(tmp_path / "nowhere").faces(["train"])
    with pytest.raises(DataError, match=rf"COFW_train_color\.mat or COFW_train\.mat is missing.*data\.root={root}$"):
        partial(tmp_path).faces(["train"])
    with pytest.raises(DataError, match=r"COFW has no part 'Test', nearest 'test'; .*train, test"):
        partial(root).faces(["Test"])
    with pytest.raises(DataError, match=r"data\.box is 'tight'; choose 'gt'"):
        COFW(root, box="tight")


def with_value(row, column, value):
    labels = phis(4)
    labels[row, column] = value
    return labels


TWO = np.array([None, None], dtype=object).reshape(1, 2)


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        pytest.param(phis(4), {"phisTr": None}, r"no variable phisTr, it holds IsTr, bboxesTr; replace", id="absent"),
        pytest.param(phis(4), {"IsTr": None}, r"no variable IsTr, it holds bboxesTr, phisTr; replace", id="no-images"),
        # re-saved in Python with MATLAB's shapes
        pytest.param(
            phis(4), {"phisTr": phis(4)}, r"phisTr is 87 x 4 in MATLAB's order of axes, not N x 87", id="axes"
        ),
        pytest.param(phis(4), {"phisTr": phis(4).T[:58]}, r"phisTr is 4 x 58 .*, not N x 87; replace", id="no-flags"),
        pytest.param(phis(4), {"phisTr": np.zeros(87)}, r"phisTr is 87 in", id="one-axis"),
        pytest.param(phis(4), {"bboxesTr": np.zeros((5, 4))}, r"bboxesTr is 4 x 5 .*, not N x 4", id="box-columns"),
        pytest.param(phis(4), {"bboxesTr": np.ones((4, 3))}, r"3 boxes for 4 faces; replace", id="fewer-boxes"),
        pytest.param(phis(4), {"IsTr": TWO}, r"2 images for 4 faces; replace", id="fewer-images"),
        pytest.param(phis(4), {"IsTr": np.zeros((1, 4))}, r"IsTr is not a cell array; replace", id="not-cells"),
        pytest.param(phis(4), {"phisTr": np.full((87, 4), b"x")}, r"phisTr is not a matrix of numbers", id="text"),
        pytest.param(with_value(1, 30, np.nan), {}, r"phisTr\(2, 31\) is nan, not a number; replace", id="nan"),
        pytest.param(with_value(1, 30, np.inf), {}, r"phisTr\(2, 31\) is inf", id="inf"),
        pytest.param(with_value(3, 60, 0.5), {}, r"face 4: the occlusion of point 2 is 0\.5, not 0 or 1", id="flag"),
        # flags in front, as a list of another markup might have them
        pytest.param(
            np.roll(phis(4), 29, axis=1), {}, r"face 1: the occlusion of point 0 is .*, not 0 or 1", id="roll"
        ),
        pytest.param(
            np.concatenate([np.ones((4, 58)), np.zeros((4, 29))], axis=1),
            {},
            r"face 1: the box \(0, 0, 0, 0\) is not x1 < x2",
            id="one-spot",
        ),
    ],
)
def test_damaged_labels_name_place_and_remedy(root, labels, changes, message):
    write(root / "COFW_train_color.mat", labels, **changes)
    with pytest.raises(DataError, match=r"COFW_train_color\.mat: (has )?" + message) as caught:
        partial(root).faces(["train"])
    assert any(remedy in str(caught.value) for remedy in ("replace", "restore"))


def test_boxes_without_extent(root):
    write(root / "COFW_train_color.mat", phis(1), boxes=[[5, 5, 0, 10]])
    assert len(partial(root).faces(["train"])) == 1
    with pytest.raises(DataError, match=r"face 1: the box \(4, 4, 4, 14\) is not x1 < x2"):
        partial(root, box="detector").faces(["train"])


@pytest.mark.parametrize("content", [b"", b"text", b"MATLAB 5.0 MAT-file" + bytes(500), "old", 3000, "folder"])
def test_unreadable_files(root, content):
    path = root / "COFW_train_color.mat"
    if content == "old":  # saved again without -v7.3
        scipy.io.savemat(path, {"phisTr": phis(4)})
    elif isinstance(content, int):  # a download that stopped
        path.write_bytes(path.read_bytes()[:content])
    elif content == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(content)
    message = r"not a readable MATLAB 7\.3 \(HDF5\) file .*; replace" if content != "folder" else r"is missing.*unpack"
    with pytest.raises(DataError, match=r"COFW_train_color\.mat.*" + message):
        partial(root).faces(["train"])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 3)), r"IsTr\{1\} is a 4 x 4 x 3 float64, not a picture in bytes; replace"),
        (np.zeros((4, 4, 2), np.uint8), r"IsTr\{1\} is a 4 x 4 x 2 uint8"),
        (np.zeros(4, np.uint8), r"IsTr\{1\} is a 4 uint8"),
        (np.zeros((1, 1, 3, 1), np.uint8), r"IsTr\{1\} is a 1 x 1 x 3 x 1 uint8"),
    ],
)
def test_cells_that_are_no_pictures(root, array, message):
    write(root / "COFW_train_color.mat", phis(1), pictures=[array])
    reader = partial(root)
    with pytest.raises(DataError, match=r"COFW_train_color\.mat: " + message):
        reader.pixels(reader.faces(["train"])[0].image)


def test_cells_that_lead_nowhere(root):
    path = write(root / "COFW_train_color.mat", phis(2), IsTr=TWO)
    reader = partial(root)
    image = reader.faces(["train"])[0].image
    with pytest.raises(DataError, match=r"COFW_train_color\.mat: is not a readable MATLAB 7\.3"):
        reader.pixels(image)
    with pytest.raises(DataError, match=r"IsTr has 2 cells and none with number 9"):
        reader.pixels(image.with_name("0009"))
    path.unlink()
    with pytest.raises(DataError, match=r"COFW_train_color\.mat: does not exist; restore"):
        reader.pixels(image)
