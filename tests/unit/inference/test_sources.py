"""Which files of a folder canthus-predict takes for images."""

import os

import pytest

from canthus.data.images import read_image
from canthus.inference.sources import find_images
from canthus.utils.errors import ConfigError, DataError

NAMES = (
    *("a.jpg", "b.JPEG", "c.jfif", "d.jp2", "e.avif", "f.webp", "g.tif", "h.pnm"),
    *("i.heic", "j.HEIF", "k.jxl", "l.nef", "m.psd"),
)


def test_every_image_of_a_folder_is_named_whether_it_can_be_read_or_not(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in (*NAMES, "notes.txt", "labels.csv", "sub/a.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "x.jpg")
    (tmp_path / "y.jpg").symlink_to("nothing")
    found = find_images(str(tmp_path))
    assert {str(path.relative_to(tmp_path)) for path in found} == {*NAMES, "sub/a.jpg", "x.jpg", "y.jpg"}
    assert found == sorted(found)
    for path in found:
        with pytest.raises(DataError, match=r"^[^\n]+; [^\n]+$|cannot be read \([^\n]+\)$"):
            read_image(path, exif="apply")


def test_a_pipe_that_is_named_is_no_missing_file(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    assert find_images(str(tmp_path / "x.jpg")) == [tmp_path / "x.jpg"]
    assert find_images(str(tmp_path / "*.jpg")) == [tmp_path / "x.jpg"]


def test_a_folder_without_images_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"no image there \(\.jpg, "):
        find_images(str(tmp_path))
