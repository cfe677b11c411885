"""Folders of the cache: built by one process at a time, whole or not there, and checked whenever they are opened.

A folder holds files and ``store.json``, which says what they are made with, how long they are and a checksum of every
block of them. What is being built lies in ``NAME.<random>.tmp`` beside it, under the lock ``NAME.lock``.
"""

import errno
import json
import os
import re
import shutil
import socket
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from logging import getLogger
from mmap import mmap
from pathlib import Path
from random import SystemRandom
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import Reader
from canthus.utils import locks
from canthus.utils.errors import DataError

__all__ = ["Sources", "Work", "prepared", "still_whole"]

log = getLogger(__name__)

RECORD, SOURCES, HOST = "store.json", "sources.npy", "host"
BLOCK = 1 << 20
"""Bytes that have one checksum."""
SAMPLED = 64
"""Blocks of a file that are checked by default: the first, the last, and others that differ each time."""
IDLE = 900.0
"""Seconds without a sign of life after which a build of a machine whose locks are not seen here counts as dead."""
BEAT, POLL = 30.0, 0.2
TEMPORARY = re.compile(r"[0-9a-f]{20}\.[0-9a-f]{12}\.tmp")
FULL = (errno.ENOSPC, errno.EDQUOT)


# -- what a store is made of -----------------------------------------------------------------------------------------


class Sources:
    """The files that a store is made of, to notice one that was replaced by another of the same size and time.

    Args:
        reader: knows which file holds an image.
        images: of the store, in any order.
    """

    def __init__(self, reader: Reader, images: Sequence[Path]) -> None:
        self.files = [reader.file(image) for image in images]

    def witness(self, number: int) -> tuple[int, int]:
        """When the file of an image was last changed in any way, and its checksum; zeros for images of no file."""
        path = self.files[number]
        changed = _changed(path)
        return changed, _checksum(path, changed) if changed else 0

    def replaced(self, record: NDArray[np.int64]) -> Path | None:
        """The first file that holds something else than when its witness was recorded; only changed ones are read."""
        for path, (changed, checksum) in zip(self.files, record.tolist(), strict=True):
            now = _changed(path)
            if now and now != changed and _checksum(path, now) != checksum:
                return path
        return None


def _changed(path: Path) -> int:
    try:
        return path.stat().st_ctime_ns
    except (OSError, ValueError):
        return 0


@lru_cache(maxsize=64)  # some files hold many images
def _checksum(path: Path, changed: int) -> int:
    try:
        with path.open("rb") as file:
            return _crc32(iter(lambda: file.read(BLOCK), b""))
    except OSError:
        return -1


def _crc32(blocks: Iterator[bytes]) -> int:
    total = 0
    for block in blocks:
        total = zlib.crc32(block, total)
    return total


# -- opening ---------------------------------------------------------------------------------------------------------


def prepared(
    folder: Path,
    facts: Mapping[str, Any],
    sources: Sources,
    build: Callable[["Work"], Mapping[str, Any]],
    *,
    verify: bool,
    label: str,
) -> Path:
    """A whole folder: the one that is there, or a new one if there is none or it is damaged.

    Args:
        folder: in the cache.
        facts: what the folder is made with, as JSON knows it.
        sources: the images' files.
        build: fills a new folder, and returns further facts.
        verify: read all of the folder, not only samples of large files.
        label: what messages call the content.

    Raises:
        DataError: the disk is full, or the cache cannot be written, where something must be built.
    """
    seen = _state(folder)
    fault = _fault(folder, facts, sources, verify)
    if fault is None:
        return folder
    work = Work(folder, label)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder, label) as proven:
            _clear_leftovers(folder, proven=proven)
            if _state(folder) != seen:  # else other samples of the same damaged file might be whole
                fault = _fault(folder, facts, sources, verify)
            if fault is None:  # another process has built it meanwhile
                return folder
            if os.path.lexists(folder):
                log.warning("%s: the store of %s is built again, because %s", folder, label, fault)
                _discard(folder)
            _build(work, facts, sources, build)
    except OSError as error:
        raise DataError(work.explained(error)) from error
    return folder


def _state(folder: Path) -> tuple[int, int] | None:
    """What differs when a folder is built again."""
    try:
        status = folder.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns


def _fault(folder: Path, facts: Mapping[str, Any], sources: Sources, verify: bool) -> str | None:
    """Why a folder cannot be used; None if it is whole."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
        files, _ = record["files"], record["files"][SOURCES]
        for key, value in facts.items():
            if record[key] != value:
                return f"{RECORD} says {key} {record[key]}, not {value}"
        for name, kept in files.items():
            if fault := _damage(folder / name, kept["bytes"], kept["crc32"], verify):
                return f"{name} {fault}"
        replaced = sources.replaced(np.load(folder / SOURCES))
    except (FileNotFoundError, NotADirectoryError) as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{RECORD} is damaged, or of an earlier version"
    return f"{replaced} is another file than the one that was stored" if replaced else None


def _damage(path: Path, size: int, checksums: str, verify: bool) -> str | None:
    """What is wrong with a file of a length and of checksums, 8 hexadecimal digits a block; None for nothing."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno()).st_size
        if found != size:
            return f"has {found} bytes, not {size}"
        count = -(-size // BLOCK)
        some = SystemRandom().sample(range(1, count - 1), min(SAMPLED, count) - 2) if count > 2 else []
        for number in range(count) if verify else sorted({0, *some, count - 1}):
            file.seek(number * BLOCK)
            if f"{zlib.crc32(file.read(BLOCK)):08x}" != checksums[8 * number : 8 * number + 8]:
                return f"is damaged within bytes {number * BLOCK} to {min((number + 1) * BLOCK, size)}"
    return None


def still_whole(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """A memory map whose file is as long as it was, for reading beyond its end would end the process at once.

    Raises:
        DataError: it is not.
    """
    mapped: mmap = array._mmap  # type: ignore[attr-defined]
    if mapped.size() < len(mapped):
        raise DataError(
            f"{path} was cut to {mapped.size()} bytes while it was in use; start again, or resume a training from its "
            "last checkpoint: the store is built again then"
        )
    return array


# -- building --------------------------------------------------------------------------------------------------------


class Work:
    """A folder that is being built.

    Attributes:
        folder: where the files are written.
        witnesses: of the images, see `Sources`; filled by whoever builds.
        needed: bytes that the folder will have, as far as is known; ``about`` where they are estimated.
    """

    def __init__(self, target: Path, label: str) -> None:
        self.target, self.label, self.needed, self.about = target, label, 0, ""
        # not the process number: containers and machines that share a cache repeat it
        self.folder = target.with_name(f"{target.name}.{uuid.uuid4().hex[:12]}.tmp")
        self.witnesses: list[tuple[int, int]] = []
        self._beaten = 0.0

    def expect(self, size: int, what: str, *, written: int | None = None) -> None:
        """Say how large the folder is going to be.

        Args:
            size: in bytes.
            what: it holds.
            written: bytes of it by which the size was estimated, so that it may also be half of that; none if exact.

        Raises:
            OSError: ENOSPC, if there is no room.
        """
        self.needed, self.about = size, "" if written is None else "about "
        total, _, free = shutil.disk_usage(self.folder)
        free += written or 0
        log.info(
            "storing %s: %s, %s%s in %s, where %s are free",
            self.label, what, self.about, _gb(size), self.target.parent, _gb(free),
        )  # fmt: skip
        if total and (size > free if written is None else size > 2 * free):  # some network disks say nothing
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def reserve(self, name: str, head: bytes, size: int) -> Path:
        """Make a file of a size that begins with ``head``, its room on the disk taken where the system can do so.

        Raises:
            OSError: ENOSPC, if there is no room.
        """
        path = self.folder / name
        with path.open("wb") as file:
            file.write(head)
            file.flush()
            if hasattr(os, "posix_fallocate"):
                with _unless(errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                    os.posix_fallocate(file.fileno(), 0, size)
            file.truncate(size)
        return path

    def alive(self) -> None:
        """Show other machines, now and then, that the build goes on."""
        if time.monotonic() - self._beaten > BEAT:
            self._beaten = time.monotonic()
            os.utime(self.folder)

    def explained(self, error: OSError) -> str:
        """What to tell about an error while building, in one line."""
        cache = self.target.parent
        if error.errno not in FULL:
            return (
                f"{self.label}: no store can be written to {cache} ({error.strerror or error}); "
                "name a folder that can be written by paths.cache=FOLDER"
            )
        needed = f"the store needs {self.about}{_gb(self.needed)}" if self.needed else "a store is to be built"
        room = shutil.disk_usage(cache).free if cache.is_dir() else 0
        with suppress(OSError):  # what there is of the store is going to be removed
            room += sum(path.stat().st_size for path in self.folder.iterdir())
        return (
            f"{self.label}: the disk of {cache} is full: {needed}, {_gb(room)} are free; "
            "free some space, or name a folder on another disk by paths.cache=FOLDER"
        )


def _build(work: Work, facts: Mapping[str, Any], sources: Sources, build: Callable[[Work], Mapping[str, Any]]) -> None:
    work.folder.mkdir()
    try:
        (work.folder / HOST).write_text(socket.gethostname(), encoding="utf-8")
        more = build(work)
        np.save(work.folder / SOURCES, np.array(work.witnesses, dtype=np.int64).reshape(-1, 2))
        (work.folder / HOST).unlink()
        record = {**facts, **more, "files": {path.name: _described(path, work) for path in work.folder.iterdir()}}
        with (work.folder / RECORD).open("w", encoding="utf-8") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        try:
            work.folder.rename(work.target)
        except OSError:  # a machine whose locks are not seen here has finished the same store first
            if _fault(work.target, facts, sources, verify=False) is not None:
                raise
    except OSError as error:
        raise DataError(work.explained(error)) from error
    finally:
        shutil.rmtree(work.folder, ignore_errors=True)


def _described(path: Path, work: Work) -> dict[str, Any]:
    """Length and checksums of a finished file, which is brought to the disk: some systems report errors only then."""
    checksums = []
    with path.open("rb") as file:
        os.fsync(file.fileno())
        while block := file.read(BLOCK):
            checksums.append(f"{zlib.crc32(block):08x}")
            work.alive()
    return {"bytes": path.stat().st_size, "crc32": "".join(checksums)}


@contextmanager
def _alone(folder: Path, label: str) -> Iterator[bool]:
    """Keep other builders of a folder out, or wait for the one that is at work; whether there are locks."""
    path, descriptor, told = _lock_of(folder), None, False
    while locks.AVAILABLE:
        try:
            descriptor = locks.take(path)
        except locks.NoLocks:  # two may build the same then; the first to finish is kept
            break
        if descriptor is not None:
            break
        if not told:
            log.info("storing %s: waiting for %s, which builds the same store", label, locks.described(path))
            told = True
        time.sleep(POLL)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            locks.release(path, descriptor)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _clear_leftovers(folder: Path, *, proven: bool) -> None:
    """Remove what dead builders left in the cache.

    Args:
        folder: that is going to be built.
        proven: its lock is held here.
    """
    for path in folder.parent.iterdir():
        if not TEMPORARY.fullmatch(path.name):  # the cache may hold other people's files
            continue
        owner = folder.with_name(path.name.split(".")[0])
        with suppress(OSError):  # another user's, perhaps, or just finished
            if owner == folder:
                _clear(path, proven=proven)
                continue
            descriptor = None
            try:
                descriptor = locks.take(_lock_of(owner)) if locks.AVAILABLE else None
                if descriptor is not None:  # else its builder is alive
                    _clear(path, proven=True)
            except locks.NoLocks:
                _clear(path, proven=False)
            finally:
                if descriptor is not None:
                    locks.release(_lock_of(owner), descriptor)


def _clear(path: Path, *, proven: bool) -> None:
    """Remove a folder that nobody builds any more; ``proven``: nobody has its lock, which says it of this machine."""
    host = path / HOST
    last = max(entry.stat().st_mtime for entry in (path, *path.iterdir()))
    here = proven and host.is_file() and host.read_text(encoding="utf-8") == socket.gethostname()
    if here or time.time() - last > IDLE:
        log.info("%s: removed, an interrupted build left it", path)
        shutil.rmtree(path, ignore_errors=True)


def _discard(folder: Path) -> None:
    """Remove a folder at once for others, whatever becomes of this process."""
    away = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:12]}.tmp")
    folder.rename(away)
    if away.is_dir() and not away.is_symlink():
        shutil.rmtree(away, ignore_errors=True)
    else:
        away.unlink()


@contextmanager
def _unless(*codes: int) -> Iterator[None]:
    """Pass over errors of these numbers."""
    try:
        yield
    except OSError as error:
        if error.errno not in codes:
            raise


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
