import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canthus.data.readers import CocoKeypoints
from canthus.utils.errors import DataError

KEYPOINTS = [10, 12, 2, 30.5, 11, 2, 20, 22, 1, 13, 33, 2, 27, 34, 2]


def image(id=1, name="a.jpg", **more):
    return {"id": id, "file_name": name, "width": 64, "height": 48} | more


def annotation(id=7, image_id=1, **changes):
    """One entry as annotation tools export it; a value of ``...`` leaves a key out."""
    content = {
        "id": id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "area": 600.5,
        "num_keypoints": 5,
        "keypoints": KEYPOINTS,
        "bbox": [5, 6, 30, 40.5],
    } | changes
    return {key: value for key, value in content.items() if value is not ...}


def write(root, annotations, images=None, part="train", files=("a.jpg", "more/b c.png")):
    root.mkdir(parents=True, exist_ok=True)
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    images = [image(), image(2, "more/b c.png")] if images is None else images
    path = root / f"{part}.json"
    content = {"info": {}, "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "mine", [annotation(), annotation(8, 2), annotation(9, 1)])
    return tmp_path / "mine"


def reader(root, **options):
    return CocoKeypoints(root, **{"label_scheme": 5} | options)


def test_a_face(root):
    face = reader(root).faces(["train"])[0]
    assert face.image == root / "a.jpg"
    np.testing.assert_array_equal(face.landmarks, np.array(KEYPOINTS).reshape(5, 3)[:, :2])
    assert face.visibility.tolist() == [2, 2, 1, 2, 2]
    assert face.box.tolist() == [10, 11, 30.5, 34]
    assert (face.scheme, face.part, face.photo, face.extra) == ("5", "train", "a.jpg", {"annotation": 7})
    assert (face.identity, face.attributes) == (None, frozenset())


def test_boxes_are_x_y_width_height(root):
    assert reader(root, box="detector").faces(["train"])[0].box.tolist() == [5, 6, 35, 46.5]


def test_faces_of_one_image_share_its_key(root):
    assert [face.photo for face in reader(root).faces(["train"])] == ["a.jpg", "more/b c.png", "a.jpg"]


@pytest.mark.parametrize("position", [(0, 0), (-1, -1), (13, 5)])
def test_code_0_is_unlabelled_whatever_the_position(root, position):
    write(root, [annotation(keypoints=[*position, 0, *KEYPOINTS[3:]])])
    face = reader(root).faces(["train"])[0]
    assert face.visibility.tolist() == [0, 2, 1, 2, 2]
    assert np.isnan(face.landmarks[0]).all()
    assert face.box.tolist() == [13, 11, 30.5, 34]


def test_annotations_without_points_are_counted(root, caplog):
    write(root, [annotation(keypoints=[0] * 15, num_keypoints=0), annotation(8)])
    assert [face.extra["annotation"] for face in reader(root).faces(["train"])] == [8]
    assert "left out of 2 annotations: 1 without a labelled point" in caplog.text


def test_files_that_count_from_1(root):
    face = reader(root, first_pixel=1, box="detector").faces(["train"])[0]
    assert face.landmarks[0].tolist() == [9, 11]
    assert face.box.tolist() == [4, 5, 34, 45.5]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["blur", "occlusion"], {"blur", "occlusion"}),
        ({"blur": True, "dark": False, "roll": 1.5}, {"blur"}),
        ([], set()),
    ],
)
def test_attributes_and_identity(root, value, expected):
    write(root, [annotation(attributes=value, identity=12)])
    face = reader(root).faces(["train"])[0]
    assert (face.attributes, face.identity) == (expected, "12")


def test_folders_of_labels_and_images(root):
    (root / "annotations").mkdir()
    (root / "train.json").rename(root / "annotations/train.json")
    assert len(reader(root).faces(["train"])) == 3
    assert len(reader(root).faces(["train.json"])) == 3
    (root / "images").mkdir()
    for name in ("a.jpg", "more"):
        (root / name).rename(root / "images" / name)
    assert reader(root, images="images").faces(["train"])[1].image == root / "images/more/b c.png"
    with pytest.raises(DataError, match=r"photos is missing; the folder holds annotations/, images/; set data\.images"):
        reader(root, images="photos").faces(["train"])


def test_ids_may_be_words_and_order_is_that_of_the_annotations(root):
    write(root, [annotation(1, "y"), annotation(2, "x")], [image("x"), image("y", "more\\b c.png")])
    assert [face.photo for face in reader(root).faces(["train"])] == ["more/b c.png", "a.jpg"]


def test_missing_images(root, caplog):
    (root / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"annotations\[0\] \(id 7\): .*a\.jpg does not exist; 2 of 3 .*allow_partial"):
        reader(root).faces(["train"])
    assert [face.photo for face in reader(root, allow_partial=True).faces(["train"])] == ["more/b c.png"]
    assert "2 of 3 listed images are missing, first a.jpg" in caplog.text


def test_missing_root_file_and_bad_options(root, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        reader(tmp_path / "nowhere").faces(["train"])
    with pytest.raises(DataError, match=r"test\.json or annotations/test\.json is missing; the folder holds a\.jpg"):
        reader(root).faces(["test"])
    with pytest.raises(DataError, match=r"data\.box is 'tight'; choose 'gt'"):
        reader(root, box="tight")
    with pytest.raises(DataError, match=r"data\.first_pixel is '2'"):
        reader(root, first_pixel=2)


def bad(**changes):
    return [annotation(), annotation(8, **changes)]


SECOND = r": annotations\[1\] \(id 8\): "


@pytest.mark.parametrize(
    ("annotations", "images", "options", "message"),
    [
        pytest.param([], None, {}, r": none of 0 annotations is a face .*; export", id="empty"),
        pytest.param([annotation(keypoints=[0] * 15)], None, {}, r": none of 1 annotations is", id="all-unlabelled"),
        pytest.param([[7]], None, {}, r": annotations\[0\] is \[7\], not an object; export", id="list"),
        pytest.param(bad(image_id=3), None, {}, SECOND + r"image_id 3 is none of the images; export", id="image-id"),
        pytest.param(bad(image_id=...), None, {}, SECOND + r"image_id null is none of", id="no-image-id"),
        pytest.param(bad(image_id=[1]), None, {}, SECOND + r"image_id \[1\] is none of", id="list-image-id"),
        pytest.param(bad(iscrowd=2), None, {}, SECOND + r"iscrowd is 2, not 0 or 1; correct it", id="crowd"),
        pytest.param([annotation(keypoints=...)], None, {}, r": none of 1 .*\(1 without points\)", id="no-points"),
        pytest.param(bad(keypoints="x"), None, {}, SECOND + r'keypoints is "x", not a list', id="text-points"),
        pytest.param(bad(keypoints=KEYPOINTS[:14]), None, {}, SECOND + r"keypoints has 14 numbers.* 15; set", id="14"),
        pytest.param(bad(), None, {"label_scheme": 68}, r": annotations\[0\] .*204; set data\.label_scheme", id="68"),
        pytest.param(bad(keypoints=["a", *KEYPOINTS[1:]]), None, {}, SECOND + r'keypoints\[0\] is "a", not', id="word"),
        pytest.param(bad(keypoints=[None, *KEYPOINTS[1:]]), None, {}, SECOND + r"keypoints\[0\] is null", id="null"),
        pytest.param(bad(keypoints=[True, *KEYPOINTS[1:]]), None, {}, SECOND + r"keypoints\[0\] is true", id="true"),
        pytest.param(bad(keypoints=[np.nan, *KEYPOINTS[1:]]), None, {}, SECOND + r"keypoints\[0\] is NaN", id="nan"),
        pytest.param(bad(keypoints=[10**400, *KEYPOINTS[1:]]), None, {}, SECOND + r"keypoints\[0\] is 1000", id="big"),
        pytest.param(bad(keypoints=[[1, 2, 2]] * 5), None, {}, SECOND + r"keypoints\[0\] is \[1, 2, 2\]", id="nested"),
        pytest.param(
            bad(keypoints=[1, 2, 3, *KEYPOINTS[3:]]), None, {}, SECOND + r"v of keypoint 0 is 3, not 0", id="v3"
        ),
        # x of all points, then y, then v
        pytest.param(
            bad(keypoints=np.reshape(KEYPOINTS, (5, 3)).T.ravel().tolist()),
            None,
            {},
            SECOND + r"v of keypoint",
            id="order",
        ),
        pytest.param(bad(keypoints=[1, 2, 2] * 5), None, {}, SECOND + r"the 5 labelled points span no box", id="spot"),
        pytest.param(bad(bbox=...), None, {"box": "detector"}, SECOND + r"bbox is null, not a list of 4", id="no-bbox"),
        pytest.param(
            bad(bbox=[1, 2, 3]), None, {"box": "detector"}, SECOND + r"bbox is \[1, 2, 3\], not a", id="bbox-3"
        ),
        pytest.param(
            bad(bbox=[1, 2, 3, 0]), None, {"box": "detector"}, SECOND + r"bbox is 3 x 0 pixels", id="bbox-flat"
        ),
        pytest.param(
            bad(attributes="blur"), None, {}, SECOND + r'attributes "blur" are no list of names', id="attribute"
        ),
        pytest.param(bad(), [image(), 5], {}, r": images\[1\] is 5, without id or file_name", id="image-5"),
        pytest.param(bad(), [{"file_name": "a.jpg"}], {}, r": images\[0\] is .*, without id", id="image-no-id"),
        pytest.param(
            bad(), [image(name=None)], {}, r": images\[0\] is .*, without id or file_name", id="image-no-name"
        ),
        pytest.param(bad(), [image(), image()], {}, r": images\[1\]: id 1 occurs twice; give", id="image-twice"),
        pytest.param(bad(), [image(name="../a.jpg")], {}, r": images\[0\]: '\.\./a.jpg' is not below", id="upwards"),
    ],
)
def test_bad_files_name_entry_and_remedy(root, annotations, images, options, message):
    write(root, annotations, images)
    with pytest.raises(DataError, match=r"train\.json" + message):
        reader(root, **options).faces(["train"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r":1: is not json .*; export"),
        (b'{"images": [],\n "annotations": [', r":2: is not json"),
        (b"\xff\xfe\x00", r": is not json .*utf-8"),
        (b"[" * 100_000, r": is not json .*recursion"),
        (b"1" * 5000, r": is not json"),
        (b"[]", r": has no list 'images', so this is no COCO file; export"),
        (b'{"images": [], "annotations": {}}', r": has no list 'annotations'"),
    ],
)
def test_unreadable_files(root, content, message):
    (root / "train.json").write_bytes(content)
    with pytest.raises(DataError, match=r"train\.json" + message):
        reader(root).faces(["train"])


def test_byte_order_mark(root):
    path = root / "train.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(reader(root).faces(["train"])) == 3


def check(root, options):
    faces, message = [], "train.json"
    try:
        faces = reader(root, **options).faces(["train"])
    except DataError as error:
        message = str(error)
    assert "train.json" in message
    for face in faces:
        assert np.isfinite(face.landmarks[face.visibility > 0]).all()
        assert np.isnan(face.landmarks[face.visibility == 0]).all()
        assert face.image.is_file()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    key=st.sampled_from(["id", "image_id", "keypoints", "bbox", "attributes", "identity", "file_name", "image"]),
    value=JSON,
    box=st.sampled_from(["gt", "detector"]),
)
def test_any_value_parses_right_or_raises_dataerror(key, value, box, tmp_path_factory):
    root = tmp_path_factory.getbasetemp() / "mistyped_coco"
    of_image = {"file_name": image(name=value), "image": image(id=value)}
    write(root, [annotation(**({} if key in of_image else {key: value}))], [of_image.get(key, image())])
    check(root, {"box": box})
