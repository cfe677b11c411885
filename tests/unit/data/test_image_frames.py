"""Which way up an image is: one decision for every kind of file and every command."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from canthus.data.images import ImageHeader, of_pillow, orientation_to_follow, read_header, read_image
from canthus.data.readers import W300, CocoKeypoints, CsvLabels
from canthus.data.store import Store, StoreSpec
from canthus.utils.errors import DataError

NOISE = cv2.resize(np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8), (90, 60))
KINDS = {
    "jpg": {"quality": 95},
    "png": {},
    "webp": {"lossless": True},
    "tif": {},
    "tiff": {"compression": "tiff_lzw"},
    "avif": {},
}
TURNS = {  # what EXIF says: where row 0 and column 0 of the stored pixels are in the upright image
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
BACK = {**{number: number for number in range(1, 9)}, 6: 8, 8: 6}


def tagged(path, pixels, orientation, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("suffix", KINDS)
def test_every_kind_is_turned_or_not_as_asked(tmp_path, suffix):
    plain = read_image(tagged(tmp_path / f"plain.{suffix}", NOISE, 1, **KINDS[suffix]), exif="apply")
    for orientation, turn in TURNS.items():
        path = tagged(tmp_path / f"turned.{suffix}", NOISE, orientation, **KINDS[suffix])
        header, upright = read_header(path), read_image(path, exif="apply")
        assert (header.stored, header.orientation) == ((90, 60), orientation)
        assert header.upright == upright.shape[1::-1]
        np.testing.assert_array_equal(read_image(path, exif="ignore"), plain)
        np.testing.assert_array_equal(upright, turn(plain))
        np.testing.assert_array_equal(of_pillow(Image.open(path)), upright)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_is_none_turns_nothing(tmp_path, orientation):
    path = tagged(tmp_path / "odd.png", NOISE, orientation)
    np.testing.assert_array_equal(read_image(path, exif="apply"), NOISE)


def test_exif_behind_the_pixels_of_a_png_counts(tmp_path):
    path = tagged(tmp_path / "late.png", NOISE, 6)
    encoded = path.read_bytes()
    start = encoded.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(encoded[start : start + 4], "big")
    tail = encoded.index(b"IEND") - 4
    path.write_bytes(encoded[:start] + encoded[end:tail] + encoded[start:end] + encoded[tail:])
    np.testing.assert_array_equal(read_image(path, exif="apply"), TURNS[6](NOISE))


def test_a_pillow_image_of_16_bit_is_read_as_its_file(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30), dtype=np.uint16)
    for name in ("deep.png", "deep.tif", "deep.pgm"):
        Image.fromarray(deep).save(tmp_path / name)
        pixels = read_image(tmp_path / name, exif="apply")
        assert (pixels == (deep >> 8)[..., None]).all()
        np.testing.assert_array_equal(of_pillow(Image.open(tmp_path / name)), pixels)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
def test_pillow_images_of_every_mode_are_read_as_their_files(tmp_path, mode):
    path = tmp_path / "mode.png"
    picture = Image.fromarray(np.dstack([NOISE, NOISE[..., 0]]))
    (picture.quantize(20) if mode == "P" else picture.convert(mode)).save(path)
    assert Image.open(path).mode == mode
    np.testing.assert_array_equal(of_pillow(Image.open(path)), read_image(path, exif="apply"))


@pytest.mark.parametrize("picture", [Image.new("F", (4, 4)), Image.new("I", (4, 4), 70000), Image.new("RGB", (0, 4))])
def test_pillow_images_without_colours_of_8_or_16_bit_are_refused(picture):
    with pytest.raises(DataError, match="a Pillow image of mode"):
        of_pillow(picture)


@pytest.mark.parametrize(
    ("exif", "stated", "followed"),
    [
        ("apply", None, 6),
        ("ignore", None, 1),
        (None, None, 6),
        (None, (90, 60), 1),
        (None, (60, 90), 6),
        ("apply", (60, 90), 6),
        ("ignore", (90, 60), 1),
    ],
)
def test_the_stated_size_decides_where_nobody_else_does(tmp_path, exif, stated, followed):
    assert orientation_to_follow(tmp_path, ImageHeader("JPEG", 90, 60, 6), exif, stated) == followed


@pytest.mark.parametrize(
    ("exif", "stated", "message"),
    [
        ("apply", (90, 60), r"90 x 60 pixels, the image has 60 x 90; .* as stored: set data\.exif=ignore, or null"),
        ("ignore", (60, 90), r"60 x 90 pixels, the image has 90 x 60; .* asks: set data\.exif=apply, or null"),
        (None, (180, 120), "180 x 120 pixels, the image has 60 x 90; put the image there that was labelled"),
    ],
)
def test_a_size_that_contradicts_is_an_error(tmp_path, exif, stated, message):
    with pytest.raises(DataError, match=message):
        orientation_to_follow(tmp_path, ImageHeader("JPEG", 90, 60, 6), exif, stated)


POINTS = np.array([[30.0, 20], [52, 22], [41, 33], [33, 44], [50, 45]])


def labelled(root, kind, orientation, *, stated=None):
    """A set whose labels were made on the upright NOISE; its file is stored turned."""
    root.mkdir()
    pixels = TURNS[BACK[orientation]](NOISE)
    tagged(root / "a.png", pixels, orientation)
    if kind == "csv":
        header = ",".join(f"x{i},y{i}" for i in range(5))
        (root / "train.csv").write_text(f"image,{header}\na.png,{','.join(map(str, POINTS.ravel()))}\n")
        return CsvLabels(root, label_scheme="5")
    image = {"id": 1, "file_name": "a.png"} | ({} if stated is None else {"width": stated[0], "height": stated[1]})
    points = [number for x, y in POINTS.tolist() for number in (x, y, 2)]
    annotations = [{"id": 1, "image_id": 1, "keypoints": points}]
    (root / "train.json").write_text(json.dumps({"images": [image], "annotations": annotations}))
    return CocoKeypoints(root, label_scheme="5")


def crop(reader, cache):
    store = Store.prepare(
        reader, reader.faces(["train"]), StoreSpec(pixels=48, box_pixels=24.0, channels=3), cache, max_broken=0
    )
    return store.crops[0]


@pytest.mark.parametrize("kind", ["csv", "coco"])
def test_labels_made_on_upright_images_give_the_crops_of_images_without_exif(tmp_path, kind):
    expected = crop(labelled(tmp_path / "plain", kind, 1), tmp_path / "cache")
    assert expected.std() > 10
    for orientation in range(2, 9):
        reader = labelled(tmp_path / str(orientation), kind, orientation)
        np.testing.assert_array_equal(crop(reader, tmp_path / "cache"), expected)
        assert reader.doubtful_orientation(reader.faces(["train"])[0].image) == orientation
        reader.exif = "ignore"  # another frame, another store
        assert (crop(reader, tmp_path / "cache") != expected).any()
        assert reader.doubtful_orientation(reader.faces(["train"])[0].image) == 1


def test_the_sizes_of_a_coco_file_tell_the_frame(tmp_path):
    upright = labelled(tmp_path / "upright", "coco", 6, stated=(90, 60))
    image = upright.faces(["train"])[0].image
    np.testing.assert_array_equal(upright.pixels(image), NOISE)
    stored = labelled(tmp_path / "stored", "coco", 6, stated=(60, 90))
    image = stored.faces(["train"])[0].image
    np.testing.assert_array_equal(stored.pixels(image), TURNS[8](NOISE))
    assert stored.doubtful_orientation(image) == 1
    wrong = labelled(tmp_path / "wrong", "coco", 1, stated=(640, 480))
    with pytest.raises(DataError, match=r"a\.png: the labels state 640 x 480 pixels, the image has 90 x 60"):
        wrong.pixels(wrong.faces(["train"])[0].image)


@pytest.mark.parametrize("size", [(0, 0), (None, 60), ("90", "60"), (1e400, 60), (True, 60)])
def test_sizes_that_are_none_say_nothing(tmp_path, size):
    reader = labelled(tmp_path / "set", "coco", 6, stated=size)
    image = reader.faces(["train"])[0].image
    assert reader.stated_size(image) is None
    np.testing.assert_array_equal(reader.pixels(image), NOISE)


def test_published_sets_were_labelled_on_the_pixels_as_stored(tmp_path):
    reader = W300(tmp_path)
    path = tagged(tmp_path / "a.jpg", NOISE, 6, quality=95)
    np.testing.assert_array_equal(reader.pixels(path), read_image(path, exif="ignore"))
    assert reader.doubtful_orientation(path) == 1


def test_an_unknown_choice_is_refused(tmp_path):
    with pytest.raises(DataError, match="exif"):
        CsvLabels(tmp_path, exif="maybe")


def test_turning_agrees_with_pillow():
    for orientation, turn in TURNS.items():
        picture = Image.fromarray(NOISE)
        picture.getexif()[0x0112] = orientation
        np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(picture)), turn(NOISE))
