import dataclasses
import json
import logging
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from canthus.data.batch import InputSpec
from canthus.data.face import Face, Reader
from canthus.data.store import Store, StoreSpec, crop
from canthus.utils.errors import DataError

SPEC = StoreSpec(pixels=96, box_pixels=32.0, channels=3)


def prepare(reader, cache, *, parts=("a",), spec=SPEC, **options):
    return Store.prepare(reader, reader.faces(parts), spec, cache, workers=2, **options)


def moved(face, **changes):
    return dataclasses.replace(face, **changes)


# -- shape -----------------------------------------------------------------------------------------------------------


def test_the_crops_of_an_input():
    spec = StoreSpec.for_input(InputSpec(112, 1, (28, 28, 84, 88)), extent=3.0, oversample=1.5)
    # the reference box is 58 on average: 87 stored pixels, and three times that in all
    assert (spec.pixels, spec.box_pixels, spec.channels) == (261, 87.0, 1)
    assert spec.box == (86.5, 86.5, 173.5, 173.5)


def test_the_map_takes_the_middle_of_the_crop_to_the_middle_of_the_box():
    matrix = SPEC.to_original(np.array([10.0, 20.0, 74.0, 148.0]))
    assert matrix[:, :2].tolist() == [[3.0, 0.0], [0.0, 3.0]]  # the mean of 64 / 32 and 128 / 32
    np.testing.assert_allclose(matrix[:, :2] @ [47.5, 47.5] + matrix[:, 2], [42.0, 84.0], atol=1e-12)


# -- built once ------------------------------------------------------------------------------------------------------


def test_built_once_then_opened(dot_reader, tmp_path):
    reader = dot_reader({"a": 6})
    first = prepare(reader, tmp_path)
    assert sorted(reader.decoded) == [f"a/{i:03d}.png" for i in range(6)]
    again = prepare(reader, tmp_path)
    assert len(reader.decoded) == 6
    assert np.array_equal(first.crops, again.crops)
    assert np.array_equal(first.to_original, again.to_original)
    assert len(first) == len(first.crops) == 6
    assert (first.crops.shape, first.crops.dtype) == ((6, 96, 96, 3), np.uint8)
    assert first.crops[0].max() > 200
    assert not first.broken


def test_crops_are_a_read_only_memory_map(dot_reader, tmp_path):
    crops = prepare(dot_reader({"a": 2}), tmp_path).crops
    assert isinstance(crops, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        crops[0, 0, 0, 0] = 1


def test_a_changed_image_is_another_store(dot_reader, tmp_path):
    reader = dot_reader({"a": 3})
    prepare(reader, tmp_path)
    reader.versions[reader.faces(["a"])[1].image] = 1
    prepare(reader, tmp_path)
    assert len(reader.decoded) == 6
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("change", [{"pixels": 95}, {"box_pixels": 31.0}, {"channels": 1}])
def test_changed_parameters_are_another_store(change, dot_reader, tmp_path):
    reader = dot_reader({"a": 3})
    prepare(reader, tmp_path)
    other = prepare(reader, tmp_path, spec=dataclasses.replace(SPEC, **change))
    assert len(reader.decoded) == 6
    assert other.crops.shape[1:] == (change.get("pixels", 96),) * 2 + (change.get("channels", 3),)


def test_changed_boxes_are_another_store(dot_reader, tmp_path):
    reader = dot_reader({"a": 3})
    before = prepare(reader, tmp_path).to_original
    face = reader.faces(["a"])[2]
    reader.replace("a", 2, moved(face, box=face.box + 0.25))
    after = prepare(reader, tmp_path).to_original
    assert len(reader.decoded) == 6
    np.testing.assert_allclose(after[2] - before[2], [[0, 0, 0.25], [0, 0, 0.25]], atol=1e-9)


def test_changed_labels_need_no_new_store(dot_reader, tmp_path):
    reader = dot_reader({"a": 3})
    prepare(reader, tmp_path)
    face = reader.faces(["a"])[0]
    reader.replace("a", 0, moved(face, landmarks=face.landmarks + 1))
    store = prepare(reader, tmp_path)
    assert len(reader.decoded) == 3
    assert np.array_equal(store.faces[0].landmarks, face.landmarks + 1)


def test_files_are_told_apart_by_size_and_time(tmp_path):
    class Files(Reader):
        scheme = "5"

        def faces(self, parts):
            return [
                Face(
                    image=tmp_path / "photo.png",
                    landmarks=np.zeros((5, 2)),
                    visibility=np.full(5, 2, np.uint8),
                    box=np.array([10.0, 10.0, 30.0, 30.0]),
                    scheme="5",
                    photo="photo",
                )
            ]

    def crops(value):
        cv2.imwrite(str(tmp_path / "photo.png"), np.full((40, 40 + value, 3), value, np.uint8))
        return prepare(Files(), tmp_path / "cache").crops

    assert crops(1)[0, 48, 48].tolist() == [1, 1, 1]
    assert crops(2)[0, 48, 48].tolist() == [2, 2, 2]
    (tmp_path / "photo.png").unlink()
    with pytest.raises(DataError, match=r"photo\.png: cannot be read"):
        prepare(Files(), tmp_path / "cache")


def test_no_faces(dot_reader, tmp_path):
    with pytest.raises(DataError, match="no faces to store; check the parts"):
        prepare(dot_reader({"a": 0}), tmp_path)


# -- broken images ----------------------------------------------------------------------------------------------


def test_broken_images_are_named_counted_and_left_out(dot_reader, tmp_path, caplog):
    reader = dot_reader({"a": 20})
    whole = prepare(reader, tmp_path / "whole")
    reader.missing = {"a/004.png", "a/011.png"}
    with caplog.at_level(logging.WARNING, logger="canthus"):
        store = prepare(reader, tmp_path / "broken", max_broken=0.1)
    assert "2 of 20 images (10.00%)" in caplog.text
    assert "a/004.png: cannot be decoded" in caplog.text
    assert "a/011.png: cannot be decoded" in caplog.text
    assert sorted(store.broken) == ["a/004.png", "a/011.png"]
    kept = [i for i in range(20) if i not in (4, 11)]
    assert [face.image.stem for face in store.faces] == [f"{i:03d}" for i in kept]
    assert np.array_equal(store.crops, whole.crops[kept])
    assert np.array_equal(store.to_original, whole.to_original[kept])


def test_broken_images_are_named_again_when_the_store_is_opened(dot_reader, tmp_path, caplog):
    reader = dot_reader({"a": 20})
    reader.missing = {"a/004.png"}
    prepare(reader, tmp_path, max_broken=0.1)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="canthus"):
        prepare(reader, tmp_path, max_broken=0.1)
    assert len(reader.decoded) == 20
    assert "a/004.png: cannot be decoded" in caplog.text


def test_more_broken_images_than_allowed_stop_the_run(dot_reader, tmp_path):
    reader = dot_reader({"a": 20})
    reader.missing = {"a/004.png", "a/011.png", "a/012.png"}
    for _ in range(2):  # when it is built, and when it is opened
        with pytest.raises(DataError, match="3 of 20 images") as error:
            prepare(reader, tmp_path, max_broken=0.1)
        assert all(name in str(error.value) for name in reader.missing)
        assert "more than the allowed share of 10.00%" in str(error.value)


def test_all_images_broken(dot_reader, tmp_path):
    reader = dot_reader({"a": 2})
    reader.missing = {"a/000.png", "a/001.png"}
    with pytest.raises(DataError, match="2 of 2 images"):
        prepare(reader, tmp_path, max_broken=0.5)


def test_a_broken_image_takes_all_its_faces_with_it(dot_reader, tmp_path):
    reader = dot_reader({"a": 9}, faces_per_photo=3)
    reader.missing = {"a/001.png"}
    store = prepare(reader, tmp_path, max_broken=0.5)
    assert [face.photo for face in store.faces] == ["a/000"] * 3 + ["a/002"] * 3
    assert list(store.broken) == ["a/001.png"]


@pytest.mark.parametrize("side", ["left", "right", "above", "below"])
def test_a_box_outside_the_image_is_named(side, dot_reader, tmp_path):
    reader = dot_reader({"a": 10})
    face = reader.faces(["a"])[3]
    height, width = reader.pixels(face.image).shape[:2]
    box = {
        "left": [-30.0, 10.0, -1.0, 40.0],
        "right": [width, 10.0, width + 30.0, 40.0],
        "above": [10.0, -30.0, 40.0, -1.0],
        "below": [10.0, height, 40.0, height + 30.0],
    }[side]
    reader.replace("a", 3, moved(face, box=np.array(box, dtype=float)))
    with pytest.raises(DataError, match=rf"a/003\.png: box .* lies outside the {width}x{height} image"):
        prepare(reader, tmp_path, max_broken=0)


def test_a_box_partly_outside_is_no_error(dot_reader, tmp_path):
    reader = dot_reader({"a": 1})
    face = reader.faces(["a"])[0]
    reader.replace("a", 0, moved(face, box=np.array([-30.0, -30.0, 10.0, 10.0])))
    assert not prepare(reader, tmp_path, max_broken=0).broken


# -- atomic ----------------------------------------------------------------------------------------------------------


def test_an_exception_in_the_middle_leaves_nothing(dot_reader, tmp_path, monkeypatch):
    reader = dot_reader({"a": 6})
    decode = reader.pixels

    def fail(image):
        if image.stem == "004":
            raise MemoryError("full")
        return decode(image)

    monkeypatch.setattr(reader, "pixels", fail)
    with pytest.raises(MemoryError, match="full"):
        prepare(reader, tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert len(prepare(reader, tmp_path)) == 6


def test_two_threads_may_build_the_same_store(dot_reader, tmp_path):
    readers = [dot_reader({"a": 12}) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        stores = list(pool.map(lambda reader: prepare(reader, tmp_path), readers))
    assert sum(len(reader.decoded) for reader in readers) == 12  # one builds, the others wait
    assert all(np.array_equal(store.crops, stores[0].crops) for store in stores)
    assert [entry.name for entry in tmp_path.iterdir()] == [stores[0].folder.name]


def build_in_process(reader_class, cache, barrier, results):
    reader = reader_class({"a": 12})
    barrier.wait(60)
    results.put((prepare(reader, cache).crops.sum(), len(reader.decoded)))


def test_two_processes_may_build_the_same_store(dot_reader, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=build_in_process, args=(dot_reader, tmp_path, barrier, results)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    sums, decoded = zip(*(results.get(timeout=60) for _ in processes), strict=True)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sums[0] == sums[1] > 0
    assert sorted(decoded) == [0, 12]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_store_says_what_it_holds(dot_reader, tmp_path):
    store = prepare(dot_reader({"a": 3}), tmp_path)
    described = json.loads((store.folder / "store.json").read_text())
    assert set(described.pop("files")) == {"crops.npy", "to_original.npy", "rows.npy", "broken.json", "sources.npy"}
    assert described == {"format": 1, "pixels": 96, "box_pixels": 32.0, "channels": 3, "faces": 3}


def test_several_faces_of_one_image_decode_it_once(dot_reader, tmp_path):
    reader = dot_reader({"a": 9}, faces_per_photo=3)
    store = prepare(reader, tmp_path)
    assert sorted(reader.decoded) == ["a/000.png", "a/001.png", "a/002.png"]
    assert len({crop.tobytes() for crop in store.crops}) == 9


# -- crops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [20, 31, 50, 66.5, 97, 110, 150, 260])
def test_dots_are_where_the_map_says(side, dot_reader, dots, tmp_path):
    """Faces from 20 to 260 px in 32 px: enlarged, shrunk, and averaged in blocks of 2, 3, 4 and 8."""
    find_dot, colours = dots
    reader = dot_reader({"a": 3}, face=(side, side))
    store = prepare(reader, tmp_path)
    for face, stored, matrix in zip(store.faces, store.crops, store.to_original, strict=True):
        scale = matrix[0, 0]
        for point, colour in zip(face.landmarks, colours, strict=True):
            expected = (point - matrix[:, 2]) / scale
            place, seen = find_dot(stored.transpose(2, 0, 1), expected, 6)
            assert np.abs(place.numpy() - expected).max() < 0.1
            original = matrix[:, :2] @ place.numpy() + matrix[:, 2]
            assert np.abs(original - point).max() < 0.1 * max(scale, 1)
            assert (seen - colour).abs().max() < 0.1


def scaled(factor):
    """Map of a crop that shows an image's middle at one ``factor``-th; the image has 400 px."""
    middle = 199.5 - factor * (SPEC.pixels - 1) / 2
    return np.array([[factor, 0, middle], [0, factor, middle]], dtype=float)


@pytest.mark.parametrize("factor", [2.0, 2.5, 3.0, 3.9])
def test_shrinking_averages(factor):
    y, x = np.mgrid[:400, :400]
    checkerboard = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    small = crop(checkerboard, scaled(factor), SPEC).astype(int)
    tolerance = 1 if factor % 2 == 0 else 256 / 9  # a block of 3 x 3 has five squares of one colour
    assert np.abs(small - 127.5).max() <= tolerance


def test_shrinking_by_less_than_two_keeps_details():
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::4] = 255
    assert crop(stripes, scaled(1.0), SPEC).std() > 100


def test_a_crop_at_scale_one_copies_pixels():
    whole = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    matrix = np.array([[1.0, 0, 100], [0, 1.0, 200]])
    assert np.array_equal(crop(whole, matrix, SPEC), whole[200:296, 100:196])


@pytest.mark.parametrize("factor", [2, 3])
def test_a_crop_at_a_whole_scale_is_the_mean_of_blocks(factor):
    whole = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    low, half = 0, (factor - 1) / 2  # blocks are counted from the image's edge here
    matrix = np.array([[factor, 0, low + half], [0, factor, low + half]], dtype=float)
    end = low + 96 * factor
    blocks = whole[low:end, low:end].reshape(96, factor, 96, factor, 3).mean((1, 3))
    assert np.abs(crop(whole, matrix, SPEC) - blocks).max() <= 0.75


def test_grey_is_the_plain_mean():
    whole = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    grey = crop(whole, scaled(1.0), dataclasses.replace(SPEC, channels=1))
    assert grey.shape == (96, 96, 1)
    colour = crop(whole, scaled(1.0), SPEC)
    assert np.array_equal(grey[..., 0], colour.mean(2).round().astype(np.uint8))
    luma = colour @ [0.299, 0.587, 0.114]
    assert np.abs(grey[..., 0] - luma).max() > 20


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 3.4])
@pytest.mark.parametrize("size", [(400, 400), (301, 299), (47, 53)])
def test_outside_the_image_is_black_and_inside_is_not(factor, size):
    """The whole image is seen, up to the last block, whatever remains of its side when blocks are averaged."""
    height, width = size
    whole = np.full((height, width, 3), 200, np.uint8)
    for x, y in ((width - 1.0, height - 1.0), (0.0, 0.0)):  # each corner in the middle of the crop
        matrix = np.array([[factor, 0, x - factor * 47.5], [0, factor, y - factor * 47.5]])
        stored = crop(whole, matrix, SPEC)
        v, u = (matrix[i, 2] + matrix[i, i] * np.arange(96) for i in (1, 0))
        within = 0 if factor < 2 else factor  # a last block that is not whole may be left out
        inside = np.ix_((v >= 0) & (v <= height - 1 - within), (u >= 0) & (u <= width - 1 - within))
        reach = max(factor, 1)
        outside = ((v < -reach) | (v > height - 1 + reach))[:, None] | ((u < -reach) | (u > width - 1 + reach))
        assert outside.mean() > 0.3
        assert (stored[outside] == 0).all()
        assert (stored[inside] >= 100).all()


def test_paths_are_kept_as_the_reader_gave_them(dot_reader, tmp_path):
    assert prepare(dot_reader({"a": 1}), tmp_path).faces[0].image == Path("a/000.png")
