"""The store: every image decoded once, every face an upright, generous uint8 crop in one memory map.

Why: decoding is half the cost of the loaders that the field uses, and rotating whole images most of the rest
(benchmarks/data_path.py). A training epoch then touches only the rows it needs, and all geometry is one warp.
"""

import hashlib
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from logging import getLogger
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from canthus.data.batch import InputSpec
from canthus.data.cache import Sources, Work, prepared, still_whole
from canthus.data.face import Face, Reader
from canthus.data.parallel import side_by_side
from canthus.geometry import boxes
from canthus.utils.errors import DataError

__all__ = ["Store", "StoreSpec", "box_fault", "check_box", "report_broken"]

log = getLogger(__name__)
FORMAT = 1
"""Enters every key: raise it when the same parameters begin to give other crops."""
SPARE = 1 << 16
"""Bytes kept free for all but the crops, beside 128 for each face."""


@dataclass(frozen=True)
class StoreSpec:
    """Shape of the stored crops.

    Attributes:
        pixels: side of a crop.
        box_pixels: side of the face box inside it (mean of width and height).
        channels: 1 grey or 3 RGB.
    """

    pixels: int
    box_pixels: float
    channels: int

    @classmethod
    def for_input(cls, spec: InputSpec, *, extent: float, oversample: float) -> "StoreSpec":
        """The crops that a network input is cut from.

        Args:
            spec: the network input.
            extent: side of a crop in face boxes: room for rotation, shift and scale.
            oversample: stored pixels per input pixel: sharpness left for a crop that zooms in.
        """
        box_pixels = oversample * float(boxes.side(spec.reference))
        return cls(pixels=round(extent * box_pixels), box_pixels=box_pixels, channels=spec.channels)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Where a square face box lies in the crop."""
        return boxes.centred_box(self.pixels, self.box_pixels / self.pixels)

    def to_original(self, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """(2, 3) map from crop pixels to original pixels for a face box."""
        frame = torch.tensor(self.box, dtype=torch.float64)
        return boxes.box_map(frame[None], torch.from_numpy(box)[None])[0].numpy()


class Store:
    """Crops and geometry of a list of faces.

    Attributes:
        faces: the faces held, in row order (what cannot be used is left out, and named in ``broken``).
        broken: image -> why it, or a face of it, could not be used.
        crops: (N, P, P, C) uint8 memory map.
        to_original: (N, 2, 3) float64 maps from crop to original pixels.
    """

    def __init__(self, folder: Path, faces: Sequence[Face]) -> None:
        self.folder = folder
        self.broken: dict[str, str] = json.loads((folder / "broken.json").read_text(encoding="utf-8"))
        kept = np.load(folder / "rows.npy")
        self.faces = [faces[i] for i in kept]
        self._crops: NDArray[np.uint8] = np.load(folder / "crops.npy", mmap_mode="r")
        self.to_original: NDArray[np.float64] = np.load(folder / "to_original.npy")

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def crops(self) -> NDArray[np.uint8]:
        """See above.

        Raises:
            DataError: the file was cut while it was in use.
        """
        return still_whole(self._crops, self.folder / "crops.npy")

    @classmethod
    def prepare(
        cls,
        reader: Reader,
        faces: Sequence[Face],
        spec: StoreSpec,
        cache: Path,
        *,
        max_broken: float = 0.01,
        workers: int | None = None,
        verify: bool = False,
        label: str = "faces",
    ) -> "Store":
        """Open the store of these faces, building it first if no run has built it before, or if it is damaged.

        Args:
            reader: decodes the images.
            faces: what to store.
            spec: shape of the crops.
            cache: folder of all stores. A store's name is a hash of its sources and parameters.
            max_broken: share of images that may be unreadable before this stops.
            workers: threads or, where the reader wants them, processes; as many as processors by default.
            verify: read all of a store that is there, not samples, to see whether it is whole.
            label: what the progress bar calls the faces.

        Raises:
            DataError: no faces, or more unreadable images than allowed, each named; or the cache has no room, or
                cannot be written.
        """
        if not faces:
            raise DataError(f"{label}: no faces to store; check the parts named in the data config")
        folder = cache / _key(reader, faces, spec)
        images: dict[Path, list[int]] = {}
        for row, face in enumerate(faces):
            images.setdefault(face.image, []).append(row)
        sources = Sources(reader, list(images))

        def build(work: Work) -> dict[str, int]:
            maps = np.stack([spec.to_original(face.box) for face in faces])
            storing = _Storing(reader, sources, list(images.items()), faces, maps, spec, work.folder / "crops.npy")
            return _build(work, storing, workers or os.cpu_count() or 1)

        facts = {"format": FORMAT, **asdict(spec)}
        store = cls(prepared(folder, facts, sources, build, verify=verify, label=label), faces)
        report_broken(store.broken, images=len({face.image for face in faces}), allowed=max_broken, label=label)
        return store


def _key(reader: Reader, faces: Sequence[Face], spec: StoreSpec) -> str:
    digest = hashlib.sha256(json.dumps([FORMAT, asdict(spec)]).encode())
    for face in faces:
        digest.update(reader.fingerprint(face).encode())
        digest.update(face.box.tobytes())
    return digest.hexdigest()[:20]


def report_broken(broken: Mapping[str, str], images: int, allowed: float, label: str) -> None:
    """Name and count the images that a store had to leave out.

    Args:
        broken: image -> why it cannot be used.
        images: how many there were.
        allowed: share that may be broken.
        label: what they are called.

    Raises:
        DataError: more than allowed.
    """
    if not broken:
        return
    share = len(broken) / images
    listing = "\n  ".join(broken.values())
    message = f"{label}: {len(broken)} of {images} images ({share:.2%}) cannot be used:\n  {listing}"
    if share > allowed:
        raise DataError(
            f"{message}\nThat is more than the allowed share of {allowed:.2%}: mend the files, or raise data.max_broken"
        )
    log.warning("%s\nThey are left out; the allowed share is %.2f %%.", message, 100 * allowed)


@dataclass(frozen=True, eq=False)
class _Storing:
    """Stores the faces of images by number.

    Attributes:
        reader: decodes the images.
        sources: their files.
        images: each with the rows of its faces.
        faces: see `Store`.
        maps: (N, 2, 3) from crop to original pixels.
        spec: of the crops.
        file: (N, P, P, C) that crops are written to, as bytes: a memory map of a full disk ends the process.
    """

    reader: Reader
    sources: Sources
    images: Sequence[tuple[Path, list[int]]]
    faces: Sequence[Face]
    maps: NDArray[np.float64]
    spec: StoreSpec
    file: Path

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the file."""
        return (len(self.faces), self.spec.pixels, self.spec.pixels, self.spec.channels)

    def __call__(self, number: int) -> "_Stored":
        """Store the faces of an image."""
        image, rows = self.images[number]
        witness = self.sources.witness(number)
        bad: dict[int, str] = {}
        try:
            pixels = self.reader.pixels(image)
        except DataError as error:
            return _Stored(witness, dict.fromkeys(rows, str(error)))
        crops: dict[int, bytes] = {}
        for row in rows:
            try:
                check_box(self.faces[row], pixels)
            except DataError as error:
                bad[row] = str(error)
            else:
                crops[row] = crop(pixels, self.maps[row], self.spec).tobytes()
        try:
            self._write(crops)
        except OSError as error:  # not raised here: what another process raises loses its number on the way
            return _Stored(witness, bad, error)
        return _Stored(witness, bad)

    def _write(self, crops: Mapping[int, bytes]) -> None:
        with self.file.open("r+b") as file:
            begin = len(_head(self.shape))
            for row, content in crops.items():
                file.seek(begin + row * len(content))
                file.write(content)


@dataclass(frozen=True)
class _Stored:
    """What became of an image.

    Attributes:
        witness: see `Sources`.
        bad: row of a face that cannot be stored -> why.
        error: why the file could not be written.
    """

    witness: tuple[int, int]
    bad: dict[int, str]
    error: OSError | None = None


def _head(shape: tuple[int, ...]) -> bytes:
    """What a file of crops begins with; as long for every number of crops."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return head.getvalue()


def _build(work: Work, storing: _Storing, workers: int) -> dict[str, int]:
    head, faces = _head(storing.shape), storing.faces
    size = len(head) + math.prod(storing.shape)
    work.expect(size, f"{len(faces)} crops")
    work.reserve(storing.file.name, head, size)
    spare = work.reserve("spare", b"", SPARE + 128 * len(faces))
    results = side_by_side(storing, len(storing.images), workers, processes=storing.reader.processes)
    bad: dict[int, str] = {}
    with Progress(transient=True) as progress, closing(results):
        for stored in progress.track(results, len(storing.images), description=f"storing {work.label}"):
            if stored.error is not None:
                raise stored.error
            bad |= stored.bad
            work.witnesses.append(stored.witness)
            work.alive()
    rows = np.array([row for row in range(len(faces)) if row not in bad], dtype=np.int64)
    if bad:  # rows and crops must line up
        _close_gaps(storing.file, storing.shape, rows.tolist())
    spare.unlink()
    np.save(work.folder / "to_original.npy", storing.maps[rows])
    broken = {str(faces[row].image): why for row, why in bad.items()}
    (work.folder / "broken.json").write_text(json.dumps(broken, indent=1), encoding="utf-8")
    np.save(work.folder / "rows.npy", rows)
    return {"faces": len(rows)}


def _close_gaps(path: Path, shape: tuple[int, ...], rows: Sequence[int]) -> None:
    """Move the chosen crops of a file together, in place."""
    kept = _head((len(rows), *shape[1:]))
    begin, size = len(kept), math.prod(shape[1:])
    assert begin == len(_head(shape))
    with path.open("r+b") as file:
        for new, old in enumerate(rows):
            if new != old:
                file.seek(begin + old * size)
                content = file.read(size)
                file.seek(begin + new * size)
                file.write(content)
        file.truncate(begin + len(rows) * size)
        file.seek(0)
        file.write(kept)


LARGEST_BOX = 100
"""Sides of an image that a box may have: in the crop of a larger one the image would be a speck."""


def box_fault(box: NDArray[np.float64], shape: tuple[int, ...]) -> str | None:
    """Why no face can be cut out by a box; None if one can.

    Args:
        box: (4,) ``xyxy``, pixels.
        shape: (H, W, ...) of the image.
    """
    height, width = shape[:2]
    corners = ", ".join(f"{value:.1f}" if abs(value) < 1e7 else f"{value:.3g}" for value in map(float, box))
    x1, y1, x2, y2 = map(float, box)
    if not np.isfinite(box).all() or not (x2 - x1) + (y2 - y1) > 0:
        return f"box ({corners}) is not x1 < x2, y1 < y2"
    if x2 < 0 or y2 < 0 or x1 > width - 1 or y1 > height - 1:
        return f"box ({corners}) lies outside the {width}x{height} image"
    if max(x2 - x1, y2 - y1) > LARGEST_BOX * max(width, height):
        return f"box ({corners}) is more than {LARGEST_BOX} times as large as the {width}x{height} image"
    return None


def check_box(face: Face, pixels: NDArray[np.uint8]) -> None:
    """Refuse a box by which no face can be cut out of its image, see `box_fault`.

    Raises:
        DataError: naming both.
    """
    if fault := box_fault(face.box, pixels.shape):
        raise DataError(f"{face.image}: {fault}; check the box file")


def crop(pixels: NDArray[np.uint8], to_original: NDArray[np.float64], spec: StoreSpec) -> NDArray[np.uint8]:
    """Cut one crop from an image; what lies outside the image is black.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        to_original: (2, 3) map from crop to original pixels, upright.
        spec: shape of the crop.

    Returns:
        (P, P, C) uint8.
    """
    matrix = to_original.copy()
    # original pixels per crop pixel, rounded down; a block larger than the image would be no other
    shrink = int(min(matrix[0, 0], max(pixels.shape[:2])))
    if shrink >= 2:  # bilinear sampling would skip pixels: average blocks first
        pixels, matrix = _shrink(pixels, matrix, shrink, spec.pixels)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(pixels, matrix, (spec.pixels, spec.pixels), flags=flags)
    if spec.channels == 1:
        return np.asarray(warped.mean(axis=2, keepdims=True).round(), dtype=np.uint8)
    return np.asarray(warped, dtype=np.uint8)


def _shrink(
    pixels: NDArray[np.uint8], matrix: NDArray[np.float64], factor: int, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Average ``factor`` x ``factor`` blocks of the part of the image that is shown, and adapt the map."""
    corners = matrix[:, :2] @ np.array([[0, size - 1], [0, size - 1]]) + matrix[:, 2:]
    height, width = pixels.shape[:2]
    # clipped as floats, because far corners do not fit into integers
    low = np.clip(np.floor(corners[:, 0]) - factor, 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(corners[:, 1]) + factor + 1, low + 1, [width, height]).astype(int)
    blocks = np.maximum((high - low) // factor, 1)
    part = pixels[low[1] : low[1] + blocks[1] * factor, low[0] : low[0] + blocks[0] * factor]
    small = cv2.resize(part, (int(blocks[0]), int(blocks[1])), interpolation=cv2.INTER_AREA)
    moved = matrix.copy()
    moved[:, 2] = (moved[:, 2] - low + 0.5) / factor - 0.5
    moved[:, :2] /= factor
    return np.asarray(small, dtype=np.uint8), moved
