"""Contact sheets: faces drawn at random, the odd ones with the reason below each, and copies beside their originals."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from canthus.data.face import Reader
from canthus.inspection.collection import Collection
from canthus.inspection.findings import KINDS, Finding
from canthus.visualization.drawing import contact_sheet, face_tile
from canthus.visualization.images import save_picture

__all__ = ["write_sheets"]

COLUMNS = 8
SIDE = 200
"""Side of a tile on a sheet, pixels."""
TEXT = 34
"""Letters of a caption that fit at a readable size."""
PAIRED = ("copy", "alike", "copy_across_splits", "alike_across_splits", "same_labels", "labelled_twice")
UNSEEN = ("broken_image", "identity_across_splits")
"""Kinds that no sheet shows."""


@dataclass(frozen=True)
class _Tile:
    face: int
    caption: tuple[str, str]


def write_sheets(
    folder: Path, reader: Reader, data: Collection, findings: Sequence[Finding], *, faces: int = 48, seed: int = 0
) -> list[Path]:
    """Draw ``faces.png``, ``suspicious.png`` and ``copies.png``; one without faces is not written.

    Args:
        folder: of the sheets.
        reader: decodes the images.
        data: the faces.
        findings: the worst first within each kind; the kinds share the sheet.
        faces: most tiles on a sheet.
        seed: of the random sample.

    Returns:
        The files written.
    """
    readable = [i for i, face in enumerate(data.faces) if face.image in data.images]
    chosen = np.random.default_rng(seed).permutation(len(readable))[:faces]
    sample = [_Tile(readable[i], _name(data, readable[i])) for i in sorted(chosen)]
    odd = [_Tile(finding.face, _reason(data, finding)) for finding in _shared(findings, faces, paired=False)]
    copies = list(
        chain.from_iterable(
            (_Tile(finding.face, _reason(data, finding)), _Tile(finding.other, _name(data, finding.other)))
            for finding in _shared(findings, faces // 2, paired=True)
            if finding.other is not None
        )
    )
    written = []
    for name, tiles in (("faces.png", sample), ("suspicious.png", odd), ("copies.png", copies)):
        tiles = [tile for tile in tiles if data.faces[tile.face].image in data.images]
        if tiles:
            save_picture(folder / name, contact_sheet(_draw(reader, data, tiles), COLUMNS))
            written.append(folder / name)
    return written


def _shared(findings: Sequence[Finding], count: int, *, paired: bool) -> list[Finding]:
    """The worst of each kind in turn, each face once, then by kind again."""
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.kind not in UNSEEN and (finding.kind in PAIRED) == paired:
            by_kind[finding.kind].append(finding)
    chosen: dict[int, Finding] = {}
    for finding in chain.from_iterable(zip_longest(*by_kind.values())):
        if finding is not None and len(chosen) < count:
            chosen.setdefault(finding.face, finding)
    order = list(KINDS)
    return sorted(chosen.values(), key=lambda finding: order.index(finding.kind))


def _draw(reader: Reader, data: Collection, tiles: Sequence[_Tile]) -> list[NDArray[np.uint8]]:
    def draw(tile: _Tile) -> NDArray[np.uint8]:
        face = data.faces[tile.face]
        return face_tile(
            reader.pixels(face.image),
            face.landmarks,
            face.box,
            data.scheme,
            frame=_frame(data, tile.face),
            side=SIDE,
            caption=[_shortened(line) for line in tile.caption],
            visibility=face.visibility,
        )

    with ThreadPoolExecutor() as pool, Progress(transient=True) as progress:
        return list(progress.track(pool.map(draw, tiles), len(tiles), description="drawing"))


def _frame(data: Collection, face: int) -> NDArray[np.float64]:
    """The box and all points, so that a point far off is seen to be there."""
    points = data.points[face][data.labelled[face]].reshape(-1, 2)
    corners = np.concatenate([data.box[face].reshape(2, 2), points])
    return np.concatenate([corners.min(0), corners.max(0)])


def _name(data: Collection, face: int) -> tuple[str, str]:
    record = data.faces[face]
    return record.image.name, f"{face}: {data.splits[face]}, {record.part}"


def _reason(data: Collection, finding: Finding) -> tuple[str, str]:
    value = "" if finding.value is None else f" {finding.value:.3g}"
    reason = finding.kind.replace("_", " ")
    return data.faces[finding.face].image.name, f"{reason}{value}" if value else f"{reason} {finding.detail}"


def _shortened(line: str) -> str:
    """A long name keeps both ends, which tell it apart."""
    return line if len(line) <= TEXT else f"{line[: TEXT // 2 - 1]}..{line[-TEXT // 2 + 1 :]}"
