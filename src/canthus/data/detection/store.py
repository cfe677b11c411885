"""The store of whole images, for detection: each decoded once, limited in size, with its halves, in one file."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from canthus.data.cache import Sources, Work, prepared, still_whole
from canthus.data.detection.pyramids import LEVELS, Pyramids, halves
from canthus.data.face import Reader, WholeImage
from canthus.data.parallel import side_by_side
from canthus.data.store import check_box, report_broken
from canthus.utils.errors import DataError

__all__ = ["ImageStore"]

FORMAT = 1
"""Enters every key: raise it when the same parameters begin to give other pixels."""
ESTIMATED = 64
"""Images by which the size of all is estimated."""


class ImageStore:
    """Pixels of a list of images.

    Attributes:
        images: those held, in row order (what cannot be used is left out, and named in ``broken``).
        broken: image -> why it could not be used.
        pyramids: their pixels, a memory map.
        shrink: (N,) float64, pixels of the original per stored pixel, 1 for images within the limit.
    """

    def __init__(self, folder: Path, images: Sequence[WholeImage]) -> None:
        self.folder = folder
        self.broken: dict[str, str] = json.loads((folder / "broken.json").read_text(encoding="utf-8"))
        table = np.load(folder / "images.npz")
        self.images = [images[i] for i in table["rows"]]
        self.shrink: NDArray[np.float64] = table["shrink"]
        pixels = np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="r").reshape(-1, 3)
        self._pixels, self._pyramids = pixels, Pyramids(pixels, torch.from_numpy(table["places"]))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pyramids(self) -> Pyramids:
        """See above.

        Raises:
            DataError: the file was cut while it was in use.
        """
        still_whole(self._pixels, self.folder / "pixels.bin")
        return self._pyramids

    @classmethod
    def prepare(
        cls,
        reader: Reader,
        images: Sequence[WholeImage],
        side: int,
        cache: Path,
        *,
        max_broken: float = 0.01,
        workers: int | None = None,
        verify: bool = False,
        label: str = "images",
    ) -> "ImageStore":
        """Open the store of these images, building it first if no run has built it before, or if it is damaged.

        Args:
            reader: decodes them.
            images: what to store.
            side: limit of the longer side, pixels; what is larger is shrunk.
            cache: folder of all stores. A store's name is a hash of its sources and parameters.
            max_broken: share that may be unreadable before this stops.
            workers: threads or, where the reader wants them, processes; as many as processors by default.
            verify: read all of a store that is there, not samples, to see whether it is whole.
            label: what the progress bar calls them.

        Raises:
            DataError: no images, or more unreadable ones than allowed, each named; or the cache has no room, or
                cannot be written.
        """
        if not images:
            raise DataError(f"{label}: no images to store; check the parts named in the data config")
        digest = hashlib.sha256(json.dumps(["images", FORMAT, side]).encode())
        for whole in images:
            digest.update(reader.fingerprint(whole).encode())
            digest.update(whole.boxes.tobytes())
        folder = cache / digest.hexdigest()[:20]
        sources = Sources(reader, [whole.image for whole in images])
        decoding = _Decoding(reader, sources, images, side)

        def build(work: Work) -> dict[str, int]:
            return _build(work, decoding, workers or os.cpu_count() or 1)

        facts = {"format": FORMAT, "side": side}
        store = cls(prepared(folder, facts, sources, build, verify=verify, label=label), images)
        report_broken(store.broken, len(images), max_broken, label)
        return store


@dataclass(frozen=True, eq=False)
class _Decoding:
    """Decodes images by number, in any process.

    Attributes:
        reader: of their pixels.
        sources: their files.
        images: all of them.
        side: limit of the longer side, pixels.
    """

    reader: Reader
    sources: Sources
    images: Sequence[WholeImage]
    side: int

    def __call__(self, number: int) -> tuple[tuple[int, int], tuple[list[NDArray[np.uint8]], float] | str]:
        """The file's witness; pixels of all levels and the factor they were shrunk by, or why there are none."""
        return self.sources.witness(number), self._decoded(self.images[number])

    def _decoded(self, whole: WholeImage) -> tuple[list[NDArray[np.uint8]], float] | str:
        try:
            pixels = self.reader.pixels(whole.image)
            for face in whole.faces:
                check_box(face, pixels)
        except DataError as error:
            return str(error)
        small, shrink = _limited(pixels, self.side)
        return list(halves(small)), shrink


def _build(work: Work, decoding: _Decoding, workers: int) -> dict[str, int]:
    count = len(decoding.images)
    results = side_by_side(decoding, count, workers, processes=decoding.reader.processes)
    broken, rows, shrinks, places = {}, [], [], []
    place = 0
    with (work.folder / "pixels.bin").open("wb") as file, Progress(transient=True) as progress, closing(results):
        for row, (witness, result) in enumerate(progress.track(results, count, description=f"storing {work.label}")):
            work.witnesses.append(witness)
            work.alive()
            if isinstance(result, str):
                broken[str(decoding.images[row].image)] = result
            else:
                levels, shrink = result
                table = np.zeros((LEVELS, 3), dtype=np.int64)
                for number, level in enumerate(levels):
                    file.write(np.ascontiguousarray(level).data)
                    table[number] = (place, *level.shape[:2])
                    place += level.shape[0] * level.shape[1]
                rows.append(row)
                shrinks.append(shrink)
                places.append(table)
            if row + 1 == min(ESTIMATED, count):  # sizes are known when images are decoded, and not before
                work.expect(3 * place * count // (row + 1), f"{count} images with their halves", written=3 * place)
        if not rows:  # an empty file has no memory map; the report names what is broken
            file.write(bytes(3))
    (work.folder / "broken.json").write_text(json.dumps(broken, indent=1), encoding="utf-8")
    np.savez(
        work.folder / "images.npz",
        rows=np.array(rows, dtype=np.int64),
        shrink=np.array(shrinks, dtype=np.float64),
        places=np.array(places, dtype=np.int64).reshape(-1, LEVELS, 3),
    )
    return {"images": len(rows)}


def _limited(pixels: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], float]:
    """An image whose longer side is within the limit, by means over areas, and the factor it was shrunk by."""
    height, width = pixels.shape[:2]
    shrink = min(max(height, width) / side, min(height, width))  # a line of pixels keeps its one row
    if shrink <= 1:
        return pixels, 1.0
    # both sides by the same factor, so that boxes need one number
    small = cv2.resize(pixels, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8), shrink
