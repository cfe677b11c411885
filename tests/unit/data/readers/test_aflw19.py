import numpy as np
import pytest
import scipy.io

from canthus.data.readers import AFLW19
from canthus.utils.errors import DataError

READER = "canthus.data.readers.aflw19"
FACES, TRAIN, FRONTAL = 12, 8, 2


def official():
    """``AFLWinfo_release.mat`` in little: 12 faces on 11 images, of which ``ra`` sends 8 to train."""
    random = np.random.default_rng(0)
    names = [f"{i % 4}/image{i:05d}.jpg" for i in range(FACES)]
    names[5] = names[1]
    x, y = random.uniform(60, 140, (2, FACES, 19))
    corner = random.uniform(20, 40, (FACES, 2))
    mask = np.ones((FACES, 19), dtype=np.uint8)
    ra = np.array([[3, 1, 2, 12, 5, 6, 7, 4, 9, 8, 11, 10]], dtype=np.uint16)
    mask[[8, 10], [0, 18]] = 0  # two of the four test faces are not frontal
    cells = np.empty((FACES, 1), dtype=object)
    cells[:, 0] = names
    left, top = corner.T
    return {
        "nameList": cells,
        "data": np.hstack([x, y]),
        "bbox": np.stack([left, left + 150, top, top + 150], axis=1),
        "mask_new": mask,
        "ra": ra,
    }


def write(root, content):
    root.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(root / "AFLWinfo_release.mat", content)
    for cell in np.asarray(content.get("nameList", np.empty((0, 1)))).ravel():
        file = root / "flickr" / str(cell)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{READER}._FACES", FACES)
    monkeypatch.setattr(f"{READER}._TRAIN", TRAIN)
    monkeypatch.setattr(f"{READER}._FRONTAL_BY_MASK", FRONTAL)
    write(tmp_path, official())
    return tmp_path


def test_a_face(root):
    content = official()
    face = AFLW19(root).faces(["train"])[0]
    row = 2  # ra counts from 1
    assert face.image == root / "flickr" / content["nameList"][row, 0]
    np.testing.assert_array_equal(face.landmarks[:, 0], content["data"][row, :19])
    np.testing.assert_array_equal(face.landmarks[:, 1], content["data"][row, 19:])
    assert face.visibility.tolist() == [2] * 19
    assert (face.scheme, face.part, face.photo) == ("19", "train", "flickr/2/image00002")


def test_columns_of_the_box_are_left_right_top_bottom(root):
    left, right, top, bottom = official()["bbox"][2]
    assert AFLW19(root).faces(["train"])[0].box.tolist() == [left, top, right, bottom]


def test_split_is_the_permutation(root):
    names = official()["nameList"][:, 0]
    order = official()["ra"][0].astype(int) - 1
    reader = AFLW19(root)
    for part, rows in (("train", order[:TRAIN]), ("test", order[TRAIN:])):
        assert [str(face.image.relative_to(root / "flickr")) for face in reader.faces([part])] == list(names[rows])


def test_invisible_points_are_labelled(root):
    face = next(face for face in AFLW19(root).faces(["test"]) if face.image.name == "image00008.jpg")
    assert face.visibility.tolist() == [1] + [2] * 18
    assert np.isfinite(face.landmarks).all()


def test_frontal_faces(root):
    reader = AFLW19(root)
    test, frontal = reader.faces(["test"]), reader.faces(["test_frontal"])
    assert [face.image for face in test if "frontal" in face.attributes] == [face.image for face in frontal]
    assert len(frontal) == FRONTAL
    assert {face.part for face in frontal} == {"test_frontal"}


def test_frontal_by_box_asks_for_points_inside(root):
    content = official()
    content["data"][7, 3] = content["bbox"][7, 0]  # on the border is not inside
    write(root, content)
    assert len(AFLW19(root).faces(["test_frontal"])) == 2
    inside = AFLW19(root, frontal="inside").faces(["test_frontal"])
    assert [face.image.name for face in inside] == ["image00009.jpg"]


def test_faces_of_one_image_share_its_key(root):
    photos = [face.photo for face in AFLW19(root).faces(["train"])]
    assert photos.count("flickr/1/image00001") == 2


def test_tight_boxes(root):
    face = AFLW19(root, box="gt").faces(["train"])[0]
    assert face.box.tolist() == [*face.landmarks.min(0), *face.landmarks.max(0)]


def test_images_as_aflw_lays_them_out(root):
    (root / "data").mkdir()
    (root / "flickr").rename(root / "data/flickr")
    (root / "data/flickr/2/image00002.jpg").rename(root / "data/flickr/2/image00002.PNG")
    assert AFLW19(root).faces(["train"])[0].image == root / "data/flickr/2/image00002.PNG"


def test_backslashes_in_names(root):
    content = official()
    content["nameList"][2, 0] = "2\\image00002.jpg"
    scipy.io.savemat(root / "AFLWinfo_release.mat", content)
    assert AFLW19(root).faces(["train"])[0].image == root / "flickr/2/image00002.jpg"


def test_missing_images(root, caplog):
    (root / "flickr/2/image00002.jpg").unlink()
    with pytest.raises(DataError, match=r"release\.mat: row 3 of nameList: .*image00002\.jpg does not exist; 1 of 8"):
        AFLW19(root).faces(["train"])
    assert len(AFLW19(root, allow_partial=True).faces(["train"])) == TRAIN - 1
    assert "1 of 8 listed images are missing" in caplog.text


def test_missing_list_and_images(root):
    (root / "flickr").rename(root / "images")
    with pytest.raises(DataError, match=r"flickr or data/flickr is missing; .*unpack AFLW's images"):
        AFLW19(root).faces(["test"])
    (root / "AFLWinfo_release.mat").unlink()
    with pytest.raises(DataError, match=r"AFLWinfo_release\.mat is missing; .*fetch the list"):
        AFLW19(root).faces(["test"])


def test_unknown_names(root):
    with pytest.raises(DataError, match=r"no part 'frontal', nearest 'test_frontal'"):
        AFLW19(root).faces(["frontal"])
    with pytest.raises(DataError, match=r"data\.frontal is 'paper'; choose 'mask' \(.*\) or 'inside'"):
        AFLW19(root, frontal="paper")
    with pytest.raises(DataError, match=r"data\.box is 'square'"):
        AFLW19(root, box="square")


def changed(**replace):
    return {**official(), **replace}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            {key: value for key, value in official().items() if key != "ra"},
            r"has no variable ra, it holds",
            id="no-ra",
        ),
        pytest.param(changed(ra=official()["ra"] - 1), r"ra is not a permutation of 1 to 12", id="ra-from-0"),
        pytest.param(changed(ra=np.ones((1, 12))), r"ra is not a permutation of 1 to 12", id="ra-repeats"),
        pytest.param(changed(ra=official()["ra"].T), r"ra is 12 x 1, not 1 x 12", id="ra-column"),
        pytest.param(changed(data=official()["data"][:, :37]), r"data is 12 x 37, not 12 x 38", id="columns"),
        pytest.param(changed(data=official()["data"].T), r"data is 38 x 12, not 12 x 38", id="transposed"),
        pytest.param(changed(bbox=official()["bbox"][:5]), r"bbox is 5 x 4, not 12 x 4", id="rows"),
        pytest.param(changed(bbox=np.full((12, 4), np.nan)), r"bbox\(1, 1\) is nan, not a number", id="nan"),
        pytest.param(changed(mask_new=np.full((12, 19), 2)), r"row 1 of mask_new holds other values than 0", id="mask"),
        pytest.param(changed(mask_new="visible"), r"mask_new is not an array of numbers", id="text"),
        pytest.param(changed(nameList=np.ones((12, 1))), r"nameList is not a column of names", id="names"),
        pytest.param(
            changed(bbox=official()["bbox"][:, [0, 2, 1, 3]]),
            r"row \d+ of bbox: the box \(.*\) is not x1 < x2",
            id="xyxy",
        ),
    ],
)
def test_damaged_lists(root, content, message):
    scipy.io.savemat(root / "AFLWinfo_release.mat", content)
    with pytest.raises(DataError, match=rf"AFLWinfo_release\.mat: {message}"):
        AFLW19(root).faces(["train"])


def test_shortened_list(root, monkeypatch):
    monkeypatch.setattr(f"{READER}._FACES", 24_386)
    for allow_partial in (False, True):
        with pytest.raises(DataError, match=r"12 faces where the official one has 24386"):
            AFLW19(root, allow_partial=allow_partial).faces(["train"])


def test_another_number_of_frontal_faces(root, monkeypatch):
    monkeypatch.setattr(f"{READER}._FRONTAL_BY_MASK", 1314)
    with pytest.raises(DataError, match=r"2 frontal test faces where the official one has 1314"):
        AFLW19(root).faces(["test_frontal"])


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file" + bytes(300), b"text", "cut"])
def test_files_that_are_no_matlab(root, content):
    path = root / "AFLWinfo_release.mat"
    path.write_bytes(path.read_bytes()[:900] if content == "cut" else content)
    with pytest.raises(DataError, match=r"AFLWinfo_release\.mat: .*; replace the file by the official one"):
        AFLW19(root).faces(["train"])


@pytest.mark.slow
def test_official_size_is_read_in_seconds(tmp_path):
    """The whole list: 24,386 rows, 1314 frontal test faces; one image stands for all."""
    random = np.random.default_rng(1)
    n = 24_386
    ra = random.permutation(n) + 1
    mask = np.ones((n, 19), dtype=np.uint8)
    mask[ra[20_000 + 1314 :] - 1, 4] = 0
    cells = np.empty((n, 1), dtype=object)
    cells[:, 0] = "0/image00002.jpg"
    corner = random.uniform(0, 50, (n, 2))
    boxes = np.stack([corner[:, 0], corner[:, 0] + 90, corner[:, 1], corner[:, 1] + 90], axis=1)
    data = random.uniform(0, 100, (n, 38))
    write(tmp_path, {"nameList": cells, "data": data, "bbox": boxes, "mask_new": mask, "ra": ra[None]})
    reader = AFLW19(tmp_path)
    assert {part: len(reader.faces([part])) for part in ("train", "test", "test_frontal")} == {
        "train": 20_000,
        "test": 4386,
        "test_frontal": 1314,
    }
