"""Stores on a disk: damaged, stale, interrupted, without room, read-only, built by several processes at once.

The rule for each: right pixels, or a new store and a warning, or a DataError of one line. Never a traceback of another
kind, wrong pixels, or something left behind.
"""

import errno
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from canthus.data import cache as cache_module
from canthus.data.detection.store import ImageStore
from canthus.data.face import Face, Reader
from canthus.data.store import Store, StoreSpec
from canthus.utils import locks
from canthus.utils.errors import DataError

SPEC = StoreSpec(pixels=24, box_pixels=8.0, channels=3)
fork_only = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def crops(reader, cache, **options):
    store = Store.prepare(reader, reader.faces(["a"]), SPEC, cache, workers=2, max_broken=0.5, **options)
    return (
        store.folder,
        [store.crops.copy(), store.to_original, *(face.landmarks for face in store.faces)],
        store.broken,
    )


def images(reader, cache, **options):
    store = ImageStore.prepare(reader, reader.whole_images(["a"]), 64, cache, workers=2, max_broken=0.5, **options)
    pixels = [store.pyramids.image(row).copy() for row in range(len(store))]
    return store.folder, [store.shrink, store.pyramids.places.numpy(), *pixels], store.broken


KINDS = pytest.mark.parametrize("prepare", [crops, images])


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_crops_that_no_disk_has_room_for(dot_reader, tmp_path):
    reader = dot_reader({"a": 3})
    huge = StoreSpec(pixels=3_000_000_000, box_pixels=1e9, channels=3)
    with pytest.raises(DataError, match=r"the store needs 81000000000.0 GB, "):
        Store.prepare(reader, reader.faces(["a"]), huge, tmp_path)
    assert list(tmp_path.iterdir()) == []


def one_line(error):
    return "\n" not in str(error.value) and str(error.value)


# -- damaged ---------------------------------------------------------------------------------------------------------


def damages(content, draw):
    """Name and result of what may happen to a file, drawn anew each time."""
    size = len(content)
    at, bit = draw.randrange(size), 1 << draw.randrange(8)
    yield "flip", content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
    yield "cut", content[: draw.randrange(size)]
    yield "cut by one", content[:-1]
    yield "append", content + draw.randbytes(draw.randint(1, 99))
    yield "zeros", bytes(size)
    yield "noise", draw.randbytes(size)
    yield "swap", content[size // 2 :] + content[: size // 2]
    yield "empty", b""
    yield "delete", None


@KINDS
def test_any_damage_to_any_file(prepare, dot_reader, tmp_path, caplog):
    reader = dot_reader({"a": 6})
    reader.missing = {"a/002.png"}
    folder, right, broken = prepare(reader, tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) >= 4
    draw = random.Random(5)
    harmless = 0
    for name in names:
        for kind, content in damages((folder / name).read_bytes(), draw):
            before = len(reader.decoded)
            (folder / name).unlink()
            if content is not None:
                (folder / name).write_bytes(content)
            caplog.clear()
            _, found, named = prepare(reader, tmp_path)
            assert same(found, right), (name, kind)
            assert named == broken
            if len(reader.decoded) == before:  # nothing read was touched
                assert name == "store.json"
                harmless += 1
            else:
                assert f"{folder}: the store of " in caplog.text
                assert "is built again, because" in caplog.text
                assert name in caplog.text
            assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert harmless <= 2


@pytest.mark.parametrize("fault", ["no files", "a file as folder", "folder is a file", "list", "deep", "other count"])
def test_folders_that_are_no_store(fault, dot_reader, tmp_path, caplog):
    reader = dot_reader({"a": 3})
    folder, right, _ = crops(reader, tmp_path)
    record = folder / "store.json"
    if fault == "no files":  # as a killed process of an earlier version left it, or somebody who deletes rows.npy
        for path in folder.iterdir():
            path.unlink()
    elif fault == "a file as folder":
        (folder / "rows.npy").unlink()
        (folder / "rows.npy").mkdir()
    elif fault == "folder is a file":
        shutil.rmtree(folder)
        folder.write_bytes(b"x")
    else:
        described = json.loads(record.read_text())
        del described["files"]["sources.npy"]
        text = {"list": "[]", "deep": "[" * 100_000, "other count": json.dumps(described)}[fault]
        record.write_text(text)
    assert same(crops(reader, tmp_path)[1], right)
    assert "is built again, because" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_store_of_an_earlier_version_is_built_again(dot_reader, tmp_path, caplog):
    reader = dot_reader({"a": 3})
    folder, right, _ = crops(reader, tmp_path)
    described = json.loads((folder / "store.json").read_text())
    del described["files"]
    (folder / "store.json").write_text(json.dumps(described))
    assert same(crops(reader, tmp_path)[1], right)
    assert "store.json is damaged, or of an earlier version" in caplog.text


@pytest.mark.parametrize(("key", "value"), [("format", 0), ("pixels", 25), ("box_pixels", 9.0), ("channels", 1)])
def test_a_record_of_other_facts_is_not_believed(key, value, dot_reader, tmp_path, caplog):
    """Whole files, but not of what was asked for."""
    reader = dot_reader({"a": 3})
    folder, content, _ = crops(reader, tmp_path)
    path = folder / cache_module.RECORD
    record = json.loads(path.read_text())
    before = record[key]
    path.write_text(json.dumps(record | {key: value}))
    _, again, _ = crops(reader, tmp_path)
    assert same(again, content)
    assert f"says {key} {value}, not {before}" in caplog.text
    assert json.loads(path.read_text())[key] == before


@KINDS
def test_samples_of_a_large_file_are_checked_and_all_of_it_on_request(prepare, dot_reader, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "BLOCK", 256)
    monkeypatch.setattr(cache_module, "SAMPLED", 4)
    reader = dot_reader({"a": 6})
    folder, right, _ = prepare(reader, tmp_path)
    large = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    size = large.stat().st_size
    assert size > 40 * 256

    def flip(at):
        with large.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    decoded = len(reader.decoded)
    for at in (0, 255, size - 1):  # the first and the last block always
        flip(at)
        assert same(prepare(reader, tmp_path)[1], right)
        decoded += 6
        assert len(reader.decoded) == decoded
    for at in (256, size // 2, size - 300):
        flip(at)
        assert same(prepare(reader, tmp_path, verify=True)[1], right)
        decoded += 6
        assert len(reader.decoded) == decoded
    flip(size // 2)
    for _ in range(10_000):  # samples differ each time, so what one opening misses another finds
        found = prepare(reader, tmp_path)[1]
        if len(reader.decoded) > decoded:
            break
    assert same(found, right)


def test_a_file_that_is_cut_while_it_is_in_use(dot_reader, tmp_path):
    """Without the check the process would end by SIGBUS."""
    reader = dot_reader({"a": 6})
    store = Store.prepare(reader, reader.faces(["a"]), SPEC, tmp_path, max_broken=0)
    pyramids = ImageStore.prepare(reader, reader.whole_images(["a"]), 64, tmp_path)
    assert store.crops.sum()
    for folder, name in ((store.folder, "crops.npy"), (pyramids.folder, "pixels.bin")):
        with (folder / name).open("r+b") as file:
            file.truncate(9000)
    with pytest.raises(DataError, match=r"crops\.npy was cut to 9000 bytes while it was in use; .* resume"):
        _ = store.crops
    with pytest.raises(DataError, match=r"pixels\.bin was cut to 9000 bytes while it was in use; .* resume"):
        _ = pyramids.pyramids
    shutil.rmtree(store.folder)  # by another process, which builds it again: what is mapped stays
    whole = Store.prepare(reader, reader.faces(["a"]), SPEC, tmp_path, max_broken=0)
    shutil.rmtree(whole.folder)
    assert whole.crops.sum()


# -- stale -----------------------------------------------------------------------------------------------------------


class Files(Reader):
    """Grey images in a folder, one face each."""

    scheme = "5"

    def __init__(self, folder, count=3):
        self.folder, self.count, self.reads = folder, count, 0
        for i in range(count):
            self.save(i, 10 * (i + 1))

    def path(self, i):
        return self.folder / f"{i}.bmp"

    def save(self, i, value):
        self.folder.mkdir(exist_ok=True)
        cv2.imwrite(str(self.path(i)), np.full((40, 40, 3), value, np.uint8))
        os.utime(self.path(i), (1e9, 1e9))

    def faces(self, parts):
        box = np.array([10.0, 10.0, 30.0, 30.0])
        return [
            Face(self.path(i), np.zeros((5, 2)), np.full(5, 2, np.uint8), box, "5", str(i)) for i in range(self.count)
        ]

    def pixels(self, image):
        self.reads += 1
        return super().pixels(image)


@KINDS
def test_an_image_that_is_replaced_by_one_of_the_same_size_and_time(prepare, tmp_path, caplog):
    reader = Files(tmp_path / "images")
    prepare(reader, tmp_path / "cache")
    size = reader.path(1).stat().st_size
    reader.save(1, 200)
    assert reader.path(1).stat().st_size == size
    assert reader.path(1).stat().st_mtime == 1e9
    found = prepare(reader, tmp_path / "cache")[1]
    middle = found[0][1, 12, 12] if prepare is crops else found[3][20, 20]
    assert middle.tolist() == [200, 200, 200]
    assert f"{reader.path(1)} is another file than the one that was stored" in caplog.text
    assert reader.reads == 6
    prepare(reader, tmp_path / "cache")
    assert reader.reads == 6


@KINDS
def test_an_image_that_was_touched_or_copied_is_the_same(prepare, tmp_path, caplog):
    reader = Files(tmp_path / "images")
    prepare(reader, tmp_path / "cache")
    reader.path(0).chmod(0o600)
    os.link(reader.path(1), tmp_path / "backup")
    content = reader.path(2).read_bytes()
    reader.path(2).unlink()
    reader.path(2).write_bytes(content)
    os.utime(reader.path(2), (1e9, 1e9))
    caplog.set_level(logging.INFO)
    caplog.clear()
    prepare(reader, tmp_path / "cache")
    assert reader.reads == 3
    assert not caplog.text


def test_the_file_that_holds_many_images(tmp_path):
    class Cells(Files):
        def file(self, image):
            return self.folder / "all.mat"

        def fingerprint(self, face):
            return str(face.image)

    reader = Cells(tmp_path / "images")
    (reader.folder / "all.mat").write_bytes(b"a" * 1000)
    crops(reader, tmp_path / "cache")
    (reader.folder / "all.mat").write_bytes(b"b" * 1000)
    crops(reader, tmp_path / "cache")
    assert reader.reads == 6


# -- no room ---------------------------------------------------------------------------------------------------------


def test_too_little_space_is_told_before_anything_is_decoded(dot_reader, tmp_path, monkeypatch):
    reader = dot_reader({"a": 600})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: usage._replace(free=200_000))
    with pytest.raises(DataError) as error:
        crops(reader, tmp_path / "cache")
    assert str(error.value) == (
        f"faces: the disk of {tmp_path}/cache is full: the store needs 1.0 MB, 0.2 MB are free; "
        "free some space, or name a folder on another disk by paths.cache=FOLDER"
    )
    assert not reader.decoded
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_size_that_is_estimated_stops_when_half_of_it_has_no_room(dot_reader, tmp_path, monkeypatch):
    reader, usage = dot_reader({"a": 200}), shutil.disk_usage(tmp_path)
    monkeypatch.setattr("canthus.data.detection.store.ESTIMATED", 4)
    whole = 200 * 16416  # bytes of all, with their halves
    for share, fits in ((0.4, False), (0.6, True)):
        monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _, s=share: usage._replace(free=int(s * whole)))
        if fits:
            assert len(images(reader, tmp_path)[1]) == 202
        else:
            with pytest.raises(DataError, match=r"the store needs about 3\.\d MB, 1\.\d MB are free"):
                images(reader, tmp_path)
            assert len(reader.decoded) < 50


def test_the_size_is_said_first(dot_reader, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    crops(dot_reader({"a": 6}), tmp_path)
    assert f"storing faces: 6 crops, {6 * 24 * 24 * 3 / 1e6 + 0.0001:.1f} MB in {tmp_path}, where " in caplog.text
    images(dot_reader({"a": 6}), tmp_path)
    assert "storing images: 6 images with their halves, about 0.1 MB in" in caplog.text


class Failing:
    """A file of crops that the disk has no room for any more."""

    def __init__(self, code):
        self.code = code

    def __call__(self, *_, **__):
        raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_space_that_vanishes_meanwhile(code, processes, dot_reader, tmp_path, monkeypatch):
    reader = dot_reader({"a": 6})
    monkeypatch.setattr(type(reader), "processes", processes)
    monkeypatch.setattr("canthus.data.store._Storing._write", Failing(code))
    with pytest.raises(DataError, match=r"the disk of .* is full: the store needs") as error:
        crops(reader, tmp_path)
    assert one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_a_system_that_cannot_reserve_space(dot_reader, tmp_path, monkeypatch):
    right = crops(dot_reader({"a": 3}), tmp_path / "usual")[1]
    monkeypatch.setattr(os, "posix_fallocate", Failing(errno.EOPNOTSUPP))
    assert same(crops(dot_reader({"a": 3}), tmp_path / "without")[1], right)
    monkeypatch.delattr(os, "posix_fallocate")
    assert same(crops(dot_reader({"a": 3}), tmp_path / "nor")[1], right)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@KINDS
def test_a_disk_that_is_full(prepare, dot_reader, small_disk):
    few, many = dot_reader({"a": 3}), dot_reader({"a": 200})
    for used in (0, 200_000, 1 << 20):  # less room than needed; hardly any; none
        with (small_disk / "other").open("wb") as file:
            try:
                file.write(bytes(used))
                file.flush()
            except OSError:
                pass
        with pytest.raises(DataError, match="is full: ") as error:
            prepare(many, small_disk / "cache")
        assert one_line(error)
        assert not (small_disk / "cache").is_dir() or list((small_disk / "cache").iterdir()) == []
        (small_disk / "other").unlink(missing_ok=True)
    assert len(prepare(few, small_disk / "cache")[1]) == 5


def test_a_store_on_a_disk_that_cannot_be_written(dot_reader, small_disk):
    reader = dot_reader({"a": 3})
    right = crops(reader, small_disk / "cache")[1]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert same(crops(reader, small_disk / "cache")[1], right)
    assert same(crops(reader, small_disk / "cache", verify=True)[1], right)
    assert len(reader.decoded) == 3
    for folder in ("cache", "new"):
        with pytest.raises(DataError, match=r"no store can be written to .*\(Read-only file system\).*paths.cache"):
            crops(dot_reader({"a": 4}, seed=1), small_disk / folder)


def test_a_cache_that_is_a_file(dot_reader, tmp_path):
    (tmp_path / "file").write_text("x")
    for cache in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match=r"no store can be written to .*\((Not a directory|File exists)\)") as error:
            crops(dot_reader({"a": 3}), cache)
        assert one_line(error)


# -- interrupted, and several at once --------------------------------------------------------------------------------


def leave(cache, *, key="0" * 20, host=None, age=0.0):
    """What a killed builder leaves."""
    folder = cache / f"{key}.{'1' * 12}.tmp"
    folder.mkdir(parents=True)
    (folder / "crops.npy").write_bytes(bytes(10))
    (folder / "host").write_text(host or socket.gethostname())
    for path in (*folder.iterdir(), folder):
        os.utime(path, (time.time() - age, time.time() - age))
    return folder


def test_what_dead_builders_left_is_removed_and_what_others_build_is_not(dot_reader, tmp_path):
    dead = leave(tmp_path, key="1" * 20)
    (tmp_path / f"{'1' * 20}.lock").write_text("{}")  # of a process that was killed
    away = leave(tmp_path, key="2" * 20, host="another", age=cache_module.IDLE + 1)
    alive = leave(tmp_path, key="3" * 20, age=cache_module.IDLE + 1)
    elsewhere = leave(tmp_path, key="4" * 20, host="another", age=cache_module.IDLE - 60)
    others = [tmp_path / name for name in ("notes.tmp", "a.b.tmp", "x.lock", f"{'5' * 20}")]
    for path in others:
        path.write_text("mine")
    lock = tmp_path / f"{'3' * 20}.lock"
    descriptor = locks.take(lock)
    crops(dot_reader({"a": 2}), tmp_path)
    assert not dead.exists()
    assert not away.exists()
    assert alive.exists()
    assert elsewhere.exists()
    assert all(path.read_text() == "mine" for path in others)
    locks.release(lock, descriptor)
    crops(dot_reader({"a": 3}), tmp_path)
    assert not alive.exists()
    assert not list(tmp_path.glob("*.lock"))[1:]  # x.lock is not ours


def test_a_file_system_without_locks(dot_reader, tmp_path, monkeypatch):
    """Two build the same then, and one of them wins; only age says that a builder is dead."""
    monkeypatch.setattr("fcntl.flock", Failing(errno.EOPNOTSUPP))
    fresh, old = leave(tmp_path, key="1" * 20), leave(tmp_path, key="2" * 20, age=cache_module.IDLE + 1)
    readers = [dot_reader({"a": 8}) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda reader: crops(reader, tmp_path), readers))
    assert all(same(one[1], found[0][1]) for one in found)
    assert fresh.exists()
    assert not old.exists()
    assert {path.name for path in tmp_path.iterdir()} == {found[0][0].name, fresh.name}


@fork_only
def test_who_waits_for_a_builder_that_is_killed_builds_himself(dot_reader, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    reader = dot_reader({"a": 4})
    child = os.fork()
    if child == 0:
        reader.pixels = lambda image: time.sleep(60)
        crops(reader, tmp_path)
        os._exit(0)
    while not list(tmp_path.glob("*.tmp")):
        time.sleep(0.01)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(crops, reader, tmp_path)
        time.sleep(0.5)
        assert not waiting.done()
        assert not reader.decoded
        os.kill(child, signal.SIGKILL)
        folder = waiting.result(30)[0]
    os.waitpid(child, 0)
    assert len(reader.decoded) == 4
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert "waiting for " in caplog.text
    assert f"process {child} on this machine" in caplog.text


def repair(reader_class, cache, barrier, results):
    reader = reader_class({"a": 12})
    barrier.wait(60)
    results.put((int(crops(reader, cache)[1][0].sum()), len(reader.decoded)))


@fork_only
def test_several_that_find_a_store_damaged_build_it_once(dot_reader, tmp_path):
    folder, right, _ = crops(dot_reader({"a": 12}), tmp_path)
    (folder / "crops.npy").write_bytes(b"")
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [context.Process(target=repair, args=(dot_reader, tmp_path, barrier, results)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert {total for total, _ in found} == {int(right[0].sum())}
    assert sorted(decoded for _, decoded in found) == [0, 0, 12]


KILLED = """
import sys
from pathlib import Path
from canthus.data.store import Store, StoreSpec
from canthus.data.synthetic import Synthetic
reader = Synthetic(size=24, resolution=64)
reader.processes = len(sys.argv) > 2
store = Store.prepare(reader, reader.faces(["train"]), StoreSpec(96, 32.0, 3), Path(sys.argv[1]), workers=2)
print(int(store.crops.astype(int).sum()))
"""


@pytest.mark.slow
def test_killed_ten_times_while_it_builds(tmp_path):
    """After each kill, of a builder with threads or with processes, the next start works; at last nothing is left."""
    command = [sys.executable, "-c", KILLED]
    right = subprocess.run([*command, tmp_path / "right"], capture_output=True, text=True, check=True).stdout
    cache = tmp_path / "cache"
    draw = random.Random(1)
    for number in range(10):
        before = set(cache.glob("*.tmp"))
        process = subprocess.Popen([*command, cache, *["processes"] * (number % 2)], stdout=subprocess.DEVNULL)
        while not set(cache.glob("*.tmp")) - before and process.poll() is None:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.4))
        process.kill()
        process.wait()
        # what is left of it stays until the next begins
        left = set(cache.glob("*.tmp"))
        assert len(left) <= 1
        assert not left & before
        assert len(list(cache.iterdir())) <= 2
        for whole in cache.glob("?" * 20):
            shutil.rmtree(whole)  # it was faster than we
    done = subprocess.run([*command, cache], capture_output=True, text=True, check=True)
    assert done.stdout == right
    assert "Traceback" not in done.stderr
    assert [len(path.name) for path in cache.iterdir()] == [20]
