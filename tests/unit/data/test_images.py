import cv2
import numpy as np
import pytest

from canthus.data import images
from canthus.utils.errors import DataError

# smooth, so that JPEG keeps it, and different along every axis and channel
ROWS, COLUMNS = np.mgrid[0:48, 0:64]
PICTURE = np.stack([ROWS * 5, COLUMNS * 3, ROWS + COLUMNS], axis=-1).astype(np.uint8)


def write(path, rgb):
    assert cv2.imwrite(str(path), rgb[..., [2, 1, 0, *range(3, rgb.shape[2])]] if rgb.ndim == 3 else rgb)
    return path


def read_image(path, exif="ignore"):
    return images.read_image(path, exif=exif)


def with_orientation(jpeg, orientation):
    """Put an EXIF segment with the orientation (tag 0x0112, a SHORT) behind the start-of-image marker."""
    tiff = b"MM\x00*\x00\x00\x00\x08" + b"\x00\x01" + b"\x01\x12\x00\x03\x00\x00\x00\x01"
    segment = b"Exif\x00\x00" + tiff + bytes([0, orientation, 0, 0]) + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:]


@pytest.fixture
def jpeg(tmp_path):
    return write(tmp_path / "face.jpg", PICTURE)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tif"])
def test_lossless_formats_are_rgb(tmp_path, suffix):
    image = read_image(write(tmp_path / f"face{suffix}", PICTURE))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, PICTURE)


def test_jpeg(jpeg):
    image = read_image(jpeg)
    assert image.shape == PICTURE.shape
    assert np.abs(image.astype(int) - PICTURE).mean() < 3


def test_16_bit_is_reduced(tmp_path):
    path = write(tmp_path / "deep.png", PICTURE.astype(np.uint16) * 257)
    assert np.abs(read_image(path).astype(int) - PICTURE).max() <= 1


@pytest.mark.parametrize("name", ["grey.png", "grey.pgm"])
def test_grey_is_repeated(tmp_path, name):
    image = read_image(write(tmp_path / name, PICTURE[..., 1]))
    np.testing.assert_array_equal(image, np.repeat(PICTURE[..., 1:2], 3, axis=2))


def test_alpha_is_dropped_not_blended(tmp_path):
    alpha = np.where(ROWS > 20, 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(read_image(write(tmp_path / "alpha.png", np.dstack([PICTURE, alpha]))), PICTURE)


def test_exif_orientation_is_followed_where_it_is_asked(tmp_path, jpeg):
    turned = tmp_path / "turned.jpg"
    turned.write_bytes(with_orientation(jpeg.read_bytes(), 6))  # 6: turn clockwise to view
    np.testing.assert_array_equal(read_image(turned), read_image(jpeg))
    np.testing.assert_array_equal(read_image(turned, exif="apply"), np.rot90(read_image(jpeg), -1))
    np.testing.assert_array_equal(read_image(jpeg, exif="apply"), read_image(jpeg))


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("progressive", [0, 1])
def test_truncated_jpeg(tmp_path, kept, progressive):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    encoded = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    path = tmp_path / "half.jpg"
    path.write_bytes(encoded[: int(len(encoded) * kept)])
    with pytest.raises(DataError, match=r"half\.jpg: .*\(\d+ bytes\); (fetch|replace)"):
        read_image(path)


def test_truncated_jpeg_whose_thumbnail_is_whole(tmp_path, jpeg):
    whole = jpeg.read_bytes()
    thumbnail = b"\xff\xe2" + (len(whole) + 2).to_bytes(2, "big") + whole
    path = tmp_path / "half.jpg"
    path.write_bytes(whole[:2] + thumbnail + whole[2 : len(whole) * 3 // 4])
    with pytest.raises(DataError, match=r"half\.jpg: the JPEG ends before its picture does"):
        read_image(path)


def test_truncated_png(tmp_path):
    path = write(tmp_path / "half.png", PICTURE)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"half\.png: not a readable image"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "content"), [("empty.jpg", b""), ("text.jpg", b"404: not found"), ("start.jpg", b"\xff\xd8")]
)
def test_what_is_no_picture(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: .*\({len(content)} bytes\); (replace|fetch)"):
        read_image(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"absent\.jpg: cannot be read \(No such file or directory\)"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_image(tmp_path)


def differing(paths):
    """Files that are decoded to other pixels than OpenCV's, in which recorded figures were measured."""
    for path in paths:
        expected = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        if not np.array_equal(read_image(path), expected):
            yield path


def test_real_images_are_decoded_as_opencv_does(real_data):
    paths = sorted((real_data / "300w").rglob("*.jpg"))[::60]
    assert len(paths) > 10
    assert list(differing(paths)) == []


@pytest.mark.slow
def test_all_real_images_are_decoded_as_opencv_does(real_data):
    paths = sorted((real_data / "300w").rglob("*.jpg"))
    assert len(paths) > 1000
    assert list(differing(paths)) == []
