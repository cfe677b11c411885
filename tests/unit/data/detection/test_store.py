import logging
from pathlib import Path

import numpy as np
import pytest

from canthus.data.detection.store import ImageStore
from canthus.data.face import WholeImage
from canthus.utils.errors import DataError


def prepare(reader, cache, *, side=4000, **options):
    return ImageStore.prepare(reader, reader.whole_images(["a"]), side, cache, workers=2, **options)


def test_images_are_stored_whole_and_once(dot_reader, tmp_path):
    reader = dot_reader({"a": 6}, faces_per_photo=2)
    store = prepare(reader, tmp_path)
    assert [len(photo.faces) for photo in store.images] == [2, 2, 2]
    for row, photo in enumerate(store.images):
        assert np.array_equal(store.pyramids.image(row), reader.pixels(photo.image))
    decoded = len(reader.decoded)
    again = prepare(reader, tmp_path)
    assert len(reader.decoded) == decoded
    assert np.array_equal(again.pyramids.places, store.pyramids.places)
    reader.versions[Path("a/000.png")] = 1
    prepare(reader, tmp_path)
    assert len(reader.decoded) == decoded + 3


def test_large_images_are_shrunk(dot_reader, tmp_path):
    reader = dot_reader({"a": 2})
    store = prepare(reader, tmp_path, side=100)
    height = max(reader.pixels(store.images[0].image).shape)
    assert store.pyramids.sizes.max() == 100
    assert store.shrink[0] == pytest.approx(height / 100)


def test_broken_images_are_named_and_counted(dot_reader, tmp_path, caplog):
    reader = dot_reader({"a": 4})
    reader.missing.add("a/001.png")
    with pytest.raises(DataError, match=r"images: 1 of 4 images \(25\.00%\) cannot be used:\n  a/001.png"):
        prepare(reader, tmp_path)
    with caplog.at_level(logging.WARNING):
        store = prepare(reader, tmp_path, max_broken=0.5)
    assert "a/001.png: cannot be decoded" in caplog.text
    assert [photo.image.name for photo in store.images] == ["000.png", "002.png", "003.png"]
    assert np.array_equal(store.pyramids.image(1), reader.pixels(Path("a/002.png")))


def test_all_broken_and_none_at_all(dot_reader, tmp_path):
    reader = dot_reader({"a": 2})
    reader.missing |= {"a/000.png", "a/001.png"}
    with pytest.raises(DataError, match="2 of 2 images"):
        prepare(reader, tmp_path)
    with pytest.raises(DataError, match="no images to store"):
        ImageStore.prepare(reader, [], 100, tmp_path)


def test_a_image_without_faces_is_kept(dot_reader, tmp_path):
    reader = dot_reader({"a": 1})
    alone = WholeImage(reader.whole_images(["a"])[0].image, "a/nobody", "a")
    store = ImageStore.prepare(reader, [alone], 4000, tmp_path)
    assert len(store) == 1
    assert store.images[0].boxes.shape == (0, 4)


def test_nothing_is_left_of_a_build_that_fails(dot_reader, tmp_path, monkeypatch):
    monkeypatch.setattr(np, "savez", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(DataError, match=r"no store can be written to .* \(full\)"):
        prepare(dot_reader({"a": 2}), tmp_path)
    assert list(tmp_path.iterdir()) == []
