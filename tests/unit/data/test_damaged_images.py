"""Files that are not what they should be: the right pixels, or an error of one line that names the file."""

import io
import os
import re
import socket
import zlib

import numpy as np
import pytest
from PIL import Image

from canthus.data import images, jpeg
from canthus.utils.errors import DataError

GRID = np.mgrid[0:96, 0:128]
PICTURE = np.stack([GRID[0] * 2 + 20, GRID[1] + 60, (GRID[0] * GRID[1]) % 200], axis=-1).astype(np.uint8)


def encoded(kind="jpeg", **options):
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, kind, **options)
    return file.getvalue()


def read(path, content):
    path.write_bytes(content)
    return images.read_image(path, exif="apply")


WHOLE = encoded(quality=90)
SCAN = WHOLE.index(b"\xff\xda")
DATA = SCAN + 2 + int.from_bytes(WHOLE[SCAN + 2 : SCAN + 4], "big")
PROGRESSIVE = encoded(quality=90, progressive=True)


def changed(at, new, content=WHOLE):
    return content[:at] + new + content[at + len(new) :]


HARMLESS = {
    "a film behind it, as phones write": WHOLE + b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20,
    "a second JPEG behind it": WHOLE + WHOLE[: len(WHOLE) // 2],
    "the marker of a scan behind it": WHOLE + b"\xff\xda",
    "zeros before its end": WHOLE[:-2] + bytes(500) + WHOLE[-2:],
    "fill bytes before its end": WHOLE[:-2] + b"\xff" * 9 + WHOLE[-2:],
    "no end, though complete": WHOLE[:-2],
    "bytes between its segments": WHOLE[:20] + b"\0\x11\0" + WHOLE[20:],
    "parameters of another process": changed(DATA - 3, b"\0\0\0"),
    "an unknown version": changed(WHOLE.index(b"JFIF\0") + 5, b"\x02"),
    "several of these": changed(WHOLE.index(b"JFIF\0") + 5, b"\x02", changed(DATA - 3, b"\0\0\0"))[:-2],
}


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_jpeg_with_a_fault_that_touches_no_pixel_is_read(tmp_path, fault, capfd):
    np.testing.assert_array_equal(read(tmp_path / "odd.jpg", HARMLESS[fault]), read(tmp_path / "whole.jpg", WHOLE))
    assert capfd.readouterr().err == ""  # libjpeg's lines name no file


MIDDLE = (DATA + len(WHOLE)) // 2
DAMAGED = {
    "zeros in its middle": changed(MIDDLE, bytes(120)),
    "a missing piece": WHOLE[:MIDDLE] + WHOLE[MIDDLE + 200 :],
    "a piece twice": WHOLE[: MIDDLE + 200] + WHOLE[MIDDLE:],
    "a restart that nobody announced": changed(MIDDLE, b"\xff\xd0"),
    "data left over": WHOLE[:-2] + bytes(range(1, 60)) + WHOLE[-2:],
    "an end in its middle": changed(MIDDLE, b"\xff\xd9"),
    "damage and an unknown version": changed(WHOLE.index(b"JFIF\0") + 5, b"\x02", changed(MIDDLE, bytes(120))),
    "damage in a progressive one": changed(len(PROGRESSIVE) // 2, bytes(120), PROGRESSIVE),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_jpeg_is_refused_with_what_libjpeg_says(tmp_path, damage, capfd):
    with pytest.raises(DataError, match=r"^\S*odd\.jpg: the JPEG is damaged \(libjpeg: [^\n]*\); fetch [^\n]*$"):
        read(tmp_path / "odd.jpg", DAMAGED[damage])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("missing", [3, 4, 12, 300])
def test_a_jpeg_that_lacks_data_is_refused(tmp_path, missing):
    with pytest.raises(DataError, match=r"odd\.jpg: the JPEG ends before its picture does \(\d+ bytes\)"):
        read(tmp_path / "odd.jpg", WHOLE[:-missing])


def test_a_progressive_jpeg_without_its_last_scans_is_refused(tmp_path):
    scans = [found.start() for found in re.finditer(b"\xff\xda", PROGRESSIVE)]
    assert len(scans) > 4
    for place in (scans[3], len(PROGRESSIVE) - 2):
        with pytest.raises(DataError, match=r"odd\.jpg: the JPEG ends before its picture does"):
            read(tmp_path / "odd.jpg", PROGRESSIVE[:place])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}])
def test_jpegs_of_every_kind_are_decoded_as_opencv_does(tmp_path, mode, options):
    import cv2

    path = tmp_path / "kind.jpg"
    Image.fromarray(PICTURE).convert(mode).save(path, quality=90, **options)
    expected = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(images.read_image(path, exif="apply"), expected)


KINDS = {
    "jpg": WHOLE,
    "jfif": PROGRESSIVE,
    "png": encoded("png"),
    "bmp": encoded("bmp"),
    "ppm": encoded("ppm"),
    "webp": encoded("webp", lossless=True),
    "tif": encoded("tiff"),
    "tiff": encoded("tiff", compression="tiff_lzw"),
    "avif": encoded("avif"),
    "jp2": encoded("jpeg2000"),
}


def mutations(content, seed, number):
    """Bytes flipped, cut out, appended, repeated and overwritten, at the start more often than elsewhere."""
    random = np.random.default_rng(seed)
    for _ in range(number):
        mutant = bytearray(content)
        for _ in range(int(random.integers(1, 4))):
            reach = len(mutant) if random.random() < 0.6 else min(len(mutant), 200)
            place, length = int(random.integers(0, max(reach, 1))), int(random.integers(1, 64))
            match random.integers(0, 5):
                case 0:
                    mutant[place : place + 1] = bytes([random.integers(0, 256)])
                case 1:
                    del mutant[place : place + length]
                case 2:
                    del mutant[place:]
                case 3:
                    mutant[place : place + length] = bytes([random.integers(0, 2) * 255]) * length
                case 4:
                    mutant += random.bytes(length)
        yield bytes(mutant)


def outcome_of(path, content):
    """What was wrong with a file; nothing if it gave pixels."""
    try:
        pixels = read(path, content)
    except DataError as error:
        return str(error)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.size
    return ""


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", KINDS)
def test_mutated_files_give_pixels_or_an_error_of_one_line(tmp_path, suffix, monkeypatch):
    monkeypatch.setenv(images.MAX_PIXELS, "1000000")
    path = tmp_path / f"mutant.{suffix}"
    refused = 0
    for mutant in mutations(KINDS[suffix], seed=0, number=60):
        outcome = outcome_of(path, mutant)
        refused += bool(outcome)
        assert outcome == "" or (str(path) in outcome and "\n" not in outcome)
    assert 5 < refused <= 60


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", KINDS)
def test_many_mutated_files(tmp_path, suffix, monkeypatch):
    monkeypatch.setenv(images.MAX_PIXELS, "1000000")
    for mutant in mutations(KINDS[suffix], seed=1, number=2000):
        outcome = outcome_of(tmp_path / f"mutant.{suffix}", mutant)
        assert outcome.count("\n") == 0


@pytest.mark.parametrize("kind", ["tiff_lzw", "tiff_adobe_deflate"])
def test_a_packed_tiff_with_damage_is_refused(tmp_path, kind):
    content = encoded("tiff", compression=kind)
    with pytest.raises(DataError, match=r"odd\.tif: not a readable image"):
        read(tmp_path / "odd.tif", changed(len(content) // 2, b"\xff" * 50, content))


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket.jpg"))
        for path in (tmp_path / "pipe.jpg", tmp_path / "socket.jpg", tmp_path.joinpath("/dev/zero")):
            with pytest.raises(DataError, match=r"cannot be read \(it is a pipe, a socket or a device, not a file\)"):
                images.read_image(path, exif="apply")


def test_images_above_the_limit_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    header = b"IHDR" + (50000).to_bytes(4, "big") + (5000).to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    (tmp_path / "large.png").write_bytes(changed(12, header + zlib.crc32(header).to_bytes(4, "big"), KINDS["png"]))
    with pytest.raises(DataError, match=r"large\.png: 50000 x 5000 pixels .* 200,000,000; .* CANTHUS_MAX_PIXELS"):
        images.read_image(tmp_path / "large.png", exif="apply")
    Image.new("L", (40, 30)).save(tmp_path / "small.png")
    monkeypatch.setenv("CANTHUS_MAX_PIXELS", "1199")
    with pytest.raises(DataError, match="limit of 1,199"):
        images.read_image(tmp_path / "small.png", exif="apply")
    monkeypatch.setenv("CANTHUS_MAX_PIXELS", "1200")
    assert images.read_image(tmp_path / "small.png", exif="apply").shape == (30, 40, 3)
    monkeypatch.setenv("CANTHUS_MAX_PIXELS", "many")
    with pytest.raises(DataError, match="CANTHUS_MAX_PIXELS=many: give a number"):
        images.read_image(tmp_path / "small.png", exif="apply")


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b""])
def test_a_sparse_file_of_a_terabyte_is_not_read(tmp_path, start):
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as file:
        file.write(start)
        file.truncate(1 << 40)
    with pytest.raises(DataError, match=r"sparse\.jpg: (1,099,511,627,776 bytes are more|not a readable image)"):
        images.read_image(path, exif="apply")


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("1 GiB\nfor an array")])
def test_too_little_memory_is_an_error_of_one_line(tmp_path, monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(images, "decode_jpeg", fail)
    with pytest.raises(DataError, match=r"^\S*odd\.jpg: 128 x 96 pixels cannot be decoded here \([^\n]+$"):
        read(tmp_path / "odd.jpg", WHOLE)


def test_names_of_any_bytes_are_read_and_can_be_shown(tmp_path):
    path = tmp_path / os.fsdecode(b"latin\xe9.jpg")
    assert read(path, WHOLE).shape == PICTURE.shape
    with pytest.raises(DataError, match=r"latin\\xe9\.jpg: the JPEG ends") as caught:
        read(path, WHOLE[:-100])
    str(caught.value).encode()
    with pytest.raises(DataError, match=r"a\\x00b\.jpg: cannot be read"):
        images.read_image(tmp_path / "a\0b.jpg", exif="apply")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("face.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)),
        ("face.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)),
        ("face.nef", KINDS["tif"]),  # would be a thumbnail
        ("face.psd", b"8BPS" + bytes(100)),
    ],
)
def test_kinds_that_are_not_read_are_named(tmp_path, name, content):
    with pytest.raises(DataError, match=rf"{name}: images of kind (HEIC|\.nef|\.psd) are not read; convert it"):
        read(tmp_path / name, content)


def test_the_content_tells_the_kind_and_not_the_name(tmp_path):
    assert read(tmp_path / "face.heic", WHOLE).shape == PICTURE.shape
    assert read(tmp_path / "face.png", KINDS["avif"]).shape == PICTURE.shape


def test_the_decoder_says_where_it_does_not_know_a_kind():
    assert jpeg.decode_jpeg(b"\xff\xd8\xff\xe0") is None
