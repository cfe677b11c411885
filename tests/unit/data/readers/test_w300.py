import numpy as np
import pytest
import scipy.io

from canthus.data.readers import W300, write_pts
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError

SHAPE = np.random.default_rng(0).uniform(10, 90, (68, 2)).round(6)


def add(folder, stem, suffix=".jpg", points=SHAPE):
    """One face as distributed. Readers do not open images, so an empty file stands for one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}{suffix}").touch()
    write_pts(folder / f"{stem}.pts", points)


def write_boxes(path, boxes):
    """``bounding_boxes_<set>.mat`` as the challenge made it: a 1 x N cell of structs, boxes 1 x 4 and from 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.empty((1, len(boxes)), dtype=object)
    for i, (name, box) in enumerate(boxes):
        truth = np.array([[1.0, 1.0, 2.0, 2.0]])
        cells[0, i] = {"imgName": name, "bb_detector": np.array([box], dtype=float), "bb_ground_truth": truth}
    scipy.io.savemat(path, {"bounding_boxes": cells})


@pytest.fixture
def root(tmp_path):
    """A little of four parts, with what the archives hold besides."""
    tmp_path /= "300w"  # alone in its parent, for the test of a root that is one folder too high
    for stem in ("111076519_1", "111076519_2", "1051618982_1"):
        add(tmp_path / "afw", stem)
    add(tmp_path / "lfpw/trainset", "image_0001", ".png")
    add(tmp_path / "lfpw/testset", "image_0001", ".png")
    add(tmp_path / "ibug", "image_092 _01")
    add(tmp_path / "ibug", "image_003_1", ".JPG")
    for name in ("Thumbs.db", "._image_003_1.pts", ".image.jpg", "readme.txt"):
        (tmp_path / "ibug" / name).write_text("not a face")
    return tmp_path


def partial(root, **options):
    return W300(root, allow_partial=True, **options)


def test_a_face(root):
    face = partial(root).faces(["lfpw/trainset"])[0]
    assert face.image == root / "lfpw/trainset/image_0001.png"
    np.testing.assert_allclose(face.landmarks, SHAPE, atol=1e-6)
    np.testing.assert_allclose(face.box, [*SHAPE.min(0), *SHAPE.max(0)], atol=1e-6)
    assert face.visibility.tolist() == [2] * 68
    assert (face.scheme, face.part) == ("68", "lfpw/trainset")
    assert (face.identity, face.pose, face.attributes) == (None, None, frozenset())


def test_photo_key_holds_the_folder(root):
    faces = partial(root).faces(["lfpw/testset", "lfpw/trainset"])
    assert [face.photo for face in faces] == ["lfpw/testset/image_0001", "lfpw/trainset/image_0001"]


def test_faces_of_one_image_share_its_key(root):
    photos = {face.image.stem: face.photo for face in partial(root).faces(["afw"])}
    assert photos == {"1051618982_1": "afw/1051618982", "111076519_1": "afw/111076519", "111076519_2": "afw/111076519"}


def test_ibug_numbers_are_part_of_the_name(root):
    assert [face.photo for face in partial(root).faces(["ibug"])] == ["ibug/image_003_1", "ibug/image_092_01"]


@pytest.mark.parametrize("renamed", [".jpg", ".pts", None])
def test_blank_in_a_name_may_be_gone(root, renamed):
    for file in list((root / "ibug").glob("image_092*")):
        if renamed in (None, file.suffix):
            file.rename(file.with_name(file.name.replace(" ", "")))
    assert partial(root).faces(["ibug"])[1].photo == "ibug/image_092_01"


@pytest.mark.parametrize("parent", ["300W", "Test"])
@pytest.mark.parametrize("asked", ["300W/01_Indoor", "Test/01_Indoor"])
def test_private_set_under_either_parent(tmp_path, parent, asked):
    add(tmp_path / parent / "01_Indoor", "indoor_001", ".png")
    face = partial(tmp_path).faces([asked])[0]
    assert face.image == tmp_path / parent / "01_Indoor/indoor_001.png"
    assert face.part == asked


def test_missing_root_lists_what_is_above(root):
    with pytest.raises(DataError, match=r"nowhere.300w: no such folder.*holds afw/, ibug/, lfpw/; set data\.root"):
        W300(root / "nowhere" / "300w").faces(["afw"])


def test_root_that_is_a_file(root):
    with pytest.raises(DataError, match=r"readme\.txt: is a file.*set data\.root"):
        W300(root / "ibug/readme.txt").faces(["afw"])


def test_missing_part_lists_what_is_there(root):
    with pytest.raises(
        DataError, match=r"helen/testset is missing.*holds afw/, ibug/, lfpw/; name other.*data\.train_parts"
    ):
        partial(root).faces(["helen/testset"])


def test_root_one_folder_too_high(root):
    with pytest.raises(DataError, match=rf"afw is missing.*set data\.root={root}$"):
        partial(root.parent).faces(["afw"])


def test_unknown_part_names_nearest_and_all(root):
    with pytest.raises(DataError, match=r"no part 'helen_trainset', nearest 'helen/trainset'.*300W/02_Outdoor"):
        partial(root).faces(["helen_trainset"])


@pytest.mark.parametrize("lone", [".jpg", ".pts"])
@pytest.mark.parametrize("allow_partial", [False, True])
def test_lone_files(root, lone, allow_partial):
    gone = {".jpg": ".pts", ".pts": ".jpg"}[lone]
    (root / f"afw/111076519_2{gone}").unlink()
    (root / f"afw/111076519_1{gone}").unlink()
    lacks = {".jpg": r"label \(\.pts\)", ".pts": "image"}[lone]
    with pytest.raises(DataError, match=rf"afw.111076519_1\{lone}: has no {lacks}.*\(and 1 more like it\); restore"):
        W300(root, allow_partial=allow_partial).faces(["afw"])


def test_two_images_for_one_label(root):
    (root / "afw/111076519_1.png").touch()
    with pytest.raises(DataError, match=r"111076519_1\.png: has the name of 111076519_1\.jpg; remove"):
        partial(root).faces(["afw"])


def test_official_counts(root):
    with pytest.raises(DataError, match=r"afw: 3 faces where the official part has 337; .*data\.allow_partial=true"):
        W300(root).faces(["afw"])
    for i in range(134):
        add(root / "ibug", f"extra_{i}")
    with pytest.raises(DataError, match=r"ibug: 136 faces where the official part has 135; remove"):
        partial(root).faces(["ibug"])
    (root / "ibug/extra_0.jpg").unlink()
    (root / "ibug/extra_0.pts").unlink()
    assert len(W300(root).faces(["ibug"])) == 135


def test_images_are_counted_in_full_parts(tmp_path):
    for i in range(337):
        add(tmp_path / "afw", f"{i}_1")
    with pytest.raises(DataError, match=r"afw: 337 images where the official part has 185"):
        W300(tmp_path).faces(["afw"])


@pytest.mark.parametrize("allow_partial", [False, True])
def test_empty_part(tmp_path, allow_partial):
    (tmp_path / "afw/inner").mkdir(parents=True)
    with pytest.raises(DataError, match=r"afw: 0 faces where .* 337; it holds inner/; check that the archive"):
        W300(tmp_path, allow_partial=allow_partial).faces(["afw"])


def test_damaged_labels_are_named(root):
    write_pts(root / "afw/111076519_2.pts", SHAPE[:67])
    with pytest.raises(DataError, match=r"111076519_2\.pts:3: .*67 points where 68"):
        partial(root).faces(["afw"])


def test_points_on_one_spot(root):
    write_pts(root / "afw/111076519_2.pts", np.ones((68, 2)))
    with pytest.raises(DataError, match=r"111076519_2.*box .* is not x1 < x2"):
        partial(root).faces(["afw"])


@pytest.mark.parametrize("folder", ["", "bounding_boxes"])
def test_detector_boxes_by_name_from_0(root, folder):
    # as in the official file: another order, a blank in the name, and 202 entries of AFW at the end
    entries = [
        ("image_092 _01.jpg", [11, 21, 31.5, 41]),
        ("image_003_1.jpg", [1, 2, 3, 4]),
        ("1051618982_1.jpg", [9, 9, 99, 99]),
    ]
    write_boxes(root / folder / "bounding_boxes_ibug.mat", entries)
    faces = partial(root, box="detector").faces(["ibug"])
    assert [face.box.tolist() for face in faces] == [[0, 1, 2, 3], [10, 20, 30.5, 40]]


def test_detector_boxes_of_two_folders_do_not_mix(root):
    write_boxes(root / "bounding_boxes_lfpw_trainset.mat", [("image_0001.png", [1, 1, 5, 5])])
    write_boxes(root / "bounding_boxes_lfpw_testset.mat", [("image_0001.png", [1, 1, 9, 9])])
    faces = partial(root, box="detector").faces(["lfpw/trainset", "lfpw/testset"])
    assert [face.box[2] for face in faces] == [4, 8]


def test_missing_box_file_and_box(root):
    reader = partial(root, box="detector")
    with pytest.raises(
        DataError, match=r"bounding_boxes_ibug\.mat is neither there nor in bounding_boxes/; .*data\.box=gt"
    ):
        reader.faces(["ibug"])
    write_boxes(root / "bounding_boxes_ibug.mat", [("image_003_1.jpg", [1, 2, 3, 4])])
    with pytest.raises(DataError, match=r"bounding_boxes_ibug\.mat: no entry for image_092_01 of ibug; .*data\.box=gt"):
        reader.faces(["ibug"])


def test_private_set_has_no_detector_boxes(tmp_path):
    add(tmp_path / "300W/01_Indoor", "indoor_001", ".png")
    with pytest.raises(DataError, match=r"no detector boxes were published for 300W/01_Indoor; set data\.box=gt"):
        partial(tmp_path, box="detector").faces(["300W/01_Indoor"])


@pytest.mark.parametrize("box", [[3, 3, 1, 5], [1, 2, 3], [1, 2, np.nan, 4]])
def test_entries_that_are_no_boxes(root, box):
    write_boxes(root / "bounding_boxes_lfpw_testset.mat", [("image_0001.png", box)])
    with pytest.raises(DataError, match=r"lfpw_testset\.mat: bb_detector of image_0001 is .*, not x1 < x2"):
        partial(root, box="detector").faces(["lfpw/testset"])


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file" + bytes(200), b"text", "other variable"])
def test_damaged_box_files(root, content):
    path = root / "bounding_boxes_ibug.mat"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        scipy.io.savemat(path, {"boxes": np.zeros(4)})
    with pytest.raises(DataError, match=r"bounding_boxes_ibug\.mat: does not hold the official cell array .*; replace"):
        partial(root, box="detector").faces(["ibug"])


def test_unknown_box(root):
    with pytest.raises(DataError, match=r"data\.box is 'tight'; choose 'gt'"):
        W300(root, box="tight")


@pytest.fixture(scope="module")
def real_faces(real_data):
    root = real_data / "300w"
    return {part: partial(root).faces([part]) for part in ("afw", "helen/trainset")}


def test_real_counts_and_images(real_data, real_faces):
    # all of AFW is there: the full counts, of images too, must hold
    assert len(W300(real_data / "300w").faces(["afw"])) == 337
    counts = {part: (len(faces), len({face.photo for face in faces})) for part, faces in real_faces.items()}
    assert counts == {"afw": (337, 185), "helen/trainset": (870, 783)}


def test_real_landmarks_are_near_their_images(real_faces):
    reader = partial(".")
    for face in real_faces["afw"][::20] + real_faces["helen/trainset"][::50]:
        height, width = reader.pixels(face.image).shape[:2]
        assert (face.landmarks > -1).all()
        assert (face.landmarks < [width, height]).all()
    for faces in real_faces.values():
        extents = np.stack([face.box[2:] - face.box[:2] for face in faces])
        assert extents.min() > 60
        assert extents.max() < 193


def test_real_mean_face_is_its_own_mirror_image(real_faces):
    faces = real_faces["afw"] + real_faces["helen/trainset"]
    mean = np.mean([(face.landmarks - face.box[:2]) / (face.box[2:] - face.box[:2]) for face in faces], axis=0)
    mirrored = mean[list(load_scheme(68).flip)] * [-1, 1] + [1, 0]
    residual = np.linalg.norm(mirrored - mean, axis=1)
    # B.2 of the published mean faces: mean residual 0.8 to 1.3 % of the box, 3.3 % at most
    assert residual.mean() < 0.013
    assert residual.max() < 0.033
