"""The store of whole photographs, for detection: each decoded once, limited in size, with its halves, in one file."""

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

from canthus.data.face import DataError, Photograph, Reader
from canthus.data.parallel import side_by_side
from canthus.data.pyramids import LEVELS, Pyramids, halves
from canthus.data.store import building, check_box, report_broken

__all__ = ["PhotoStore"]

FORMAT = 1
"""Enters every key: raise it when the same parameters begin to give other pixels."""


class PhotoStore:
    """Pixels of a list of photographs.

    Attributes:
        photographs: those held, in row order (what cannot be used is left out, and named in ``broken``).
        broken: photograph -> why it could not be used.
        pyramids: their pixels, a memory map.
        shrink: (N,) float64, pixels of the original per stored pixel, 1 for photographs within the limit.
    """

    def __init__(self, folder: Path, photographs: Sequence[Photograph]) -> None:
        self.folder = folder
        self.broken: dict[str, str] = json.loads((folder / "broken.json").read_text())
        table = np.load(folder / "photographs.npz")
        self.photographs = [photographs[i] for i in table["rows"]]
        self.shrink: NDArray[np.float64] = table["shrink"]
        pixels = np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="r").reshape(-1, 3)
        self.pyramids = Pyramids(pixels, torch.from_numpy(table["places"]))

    def __len__(self) -> int:
        return len(self.photographs)

    @classmethod
    def prepare(
        cls,
        reader: Reader,
        photographs: Sequence[Photograph],
        side: int,
        cache: Path,
        *,
        max_broken: float = 0.01,
        workers: int | None = None,
        label: str = "photographs",
    ) -> "PhotoStore":
        """Open the store of these photographs, building it first if no run has built it before.

        Args:
            reader: decodes them.
            photographs: what to store.
            side: limit of the longer side, pixels; what is larger is shrunk.
            cache: folder of all stores. A store's name is a hash of its sources and parameters.
            max_broken: share that may be unreadable before this stops.
            workers: threads or, where the reader wants them, processes; as many as processors by default.
            label: what the progress bar calls them.

        Raises:
            DataError: no photographs, or more unreadable ones than allowed, each named.
        """
        if not photographs:
            raise DataError(f"{label}: no photographs to store; check the parts named in the data config")
        digest = hashlib.sha256(json.dumps(["photographs", FORMAT, side]).encode())
        for photograph in photographs:
            digest.update(reader.fingerprint(photograph).encode())
            digest.update(photograph.boxes.tobytes())
        folder = cache / digest.hexdigest()[:20]
        if not (folder / "photographs.npz").exists():
            _build(folder, reader, photographs, side, workers or os.cpu_count() or 1, label)
        store = cls(folder, photographs)
        report_broken(store.broken, len(photographs), max_broken, label)
        return store


@dataclass(frozen=True, eq=False)
class _Decoding:
    """Decodes photographs by number, in any process.

    Attributes:
        reader: of their pixels.
        photographs: all of them.
        side: limit of the longer side, pixels.
    """

    reader: Reader
    photographs: Sequence[Photograph]
    side: int

    def __call__(self, number: int) -> tuple[list[NDArray[np.uint8]], float] | str:
        """Pixels of all levels and the factor they were shrunk by, or why there are none."""
        photograph = self.photographs[number]
        try:
            pixels = self.reader.pixels(photograph.image)
            for face in photograph.faces:
                check_box(face, pixels)
        except DataError as error:
            return str(error)
        small, shrink = _limited(pixels, self.side)
        return list(halves(small)), shrink


def _build(
    folder: Path, reader: Reader, photographs: Sequence[Photograph], side: int, workers: int, label: str
) -> None:
    decoding = _Decoding(reader, photographs, side)
    results = side_by_side(decoding, len(photographs), workers, processes=reader.processes)
    broken, rows, shrinks, places = {}, [], [], []
    place = 0
    with building(folder, "photographs.npz") as temporary, Progress(transient=True) as progress:
        with (temporary / "pixels.bin").open("wb") as file, closing(results):
            for row, result in enumerate(progress.track(results, len(photographs), description=f"storing {label}")):
                if isinstance(result, str):
                    broken[str(photographs[row].image)] = result
                    continue
                levels, shrink = result
                table = np.zeros((LEVELS, 3), dtype=np.int64)
                for number, level in enumerate(levels):
                    file.write(np.ascontiguousarray(level).data)
                    table[number] = (place, *level.shape[:2])
                    place += level.shape[0] * level.shape[1]
                rows.append(row)
                shrinks.append(shrink)
                places.append(table)
            if not rows:  # an empty file has no memory map; the report names what is broken
                file.write(bytes(3))
        (temporary / "broken.json").write_text(json.dumps(broken, indent=1))
        np.savez(
            temporary / "photographs.npz",
            rows=np.array(rows, dtype=np.int64),
            shrink=np.array(shrinks, dtype=np.float64),
            places=np.array(places, dtype=np.int64).reshape(-1, LEVELS, 3),
        )


def _limited(pixels: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], float]:
    """A photograph whose longer side is within the limit, by means over areas, and the factor it was shrunk by."""
    height, width = pixels.shape[:2]
    shrink = min(max(height, width) / side, min(height, width))  # a line of pixels keeps its one row
    if shrink <= 1:
        return pixels, 1.0
    # both sides by the same factor, so that boxes need one number
    small = cv2.resize(pixels, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8), shrink
