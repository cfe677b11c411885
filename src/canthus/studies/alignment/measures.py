"""What an alignment is worth: accuracy of its points, steadiness of its frame, and verification by an embedder."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canthus.geometry import affine
from canthus.metrics import bootstrap_interval, nme_per_face, point_errors
from canthus.studies.alignment.aligners import Aligner
from canthus.studies.alignment.embedding import Embedder
from canthus.studies.alignment.frames import aligned, alignment_maps, template
from canthus.studies.alignment.pairs import Pairs, verification

__all__ = ["Measures", "frame_shift", "measure", "verification_link"]


@dataclass(frozen=True, eq=False)
class Measures:
    """Of one aligner. Movements are measured in the aligned frame, in percent of the template's eye distance.

    Attributes:
        name: of the aligner.
        kind: of the aligner.
        nme: normaliser -> (N,) of the five points.
        jitter: (V,) root mean square movement of the labelled points across the frames of each clip.
        shifts: corruption -> (C,) movement of the frame when the image is corrupted.
        right: (P,) 100 for each pair judged rightly.
        roc_area: percent.
        mean_face: (size, size, 3) uint8, the mean of the aligned faces.
        examples: a few aligned faces.
        poseless: of the aligner.
    """

    name: str
    kind: str
    nme: Mapping[str, NDArray[np.float64]]
    jitter: NDArray[np.float64]
    shifts: Mapping[str, NDArray[np.float64]]
    right: NDArray[np.float64]
    roc_area: float
    mean_face: NDArray[np.uint8]
    examples: Sequence[NDArray[np.uint8]]
    poseless: int = 0

    def row(self) -> dict[str, object]:
        """Means and 95 % bootstrap intervals over faces and clips, as plain numbers; accuracy has none of these."""
        entry: dict[str, object] = {"name": self.name, "kind": self.kind, "poseless": self.poseless}
        entry |= {"accuracy": float(np.mean(self.right)), "roc_area": self.roc_area}
        columns = {f"nme_{name}": values for name, values in self.nme.items()} | {"jitter": self.jitter}
        columns |= {f"shift_{name}": values for name, values in self.shifts.items()}
        for name, values in columns.items():
            entry[name] = float(np.mean(values))
            if interval := bootstrap_interval(values):
                entry[f"{name}_interval"] = list(interval)
        return entry


def measure(
    aligner: Aligner,
    truth: Tensor,
    labels: Tensor,
    distances: Mapping[str, Tensor],
    clips: Sequence[str],
    pictures: Sequence[NDArray[np.uint8]],
    pairs: Pairs,
    embedder: Embedder,
    size: int,
    shown: Sequence[int],
) -> Measures:
    """Align all faces by one method and measure.

    Args:
        aligner: the method.
        truth: (N, 5, 2) original pixels.
        labels: (N, K, 2) all labelled points.
        distances: normaliser -> (N,) original pixels.
        clips: of every face.
        pictures: N images.
        pairs: to verify.
        embedder: the same for all.
        size: of the frame, pixels.
        shown: places of the examples.
    """
    maps = alignment_maps(aligner.points, size)
    faces = np.stack(list(aligned(pictures, maps, size)))
    right, area = verification(embedder(faces), pairs)
    errors, seen = point_errors(aligner.points[:, None], truth), torch.ones(truth.shape[:2])
    nme = {name: nme_per_face(errors, seen, distance)[:, 0].numpy() for name, distance in distances.items()}
    return Measures(
        name=aligner.name,
        kind=aligner.kind,
        nme=nme,
        jitter=_jitter(affine.apply(maps, labels), clips, size),
        shifts={
            name: frame_shift(maps[list(aligner.corrupted_faces)], alignment_maps(points, size), size)
            for name, points in aligner.corrupted.items()
        },
        right=right,
        roc_area=area,
        mean_face=faces.mean(0).round().astype(np.uint8),
        examples=[faces[place] for place in shown],
        poseless=aligner.poseless,
    )


def _unit(size: int) -> float:
    """Distance of the eyes in the frame, pixels."""
    eyes = template(size)
    return float((eyes[1] - eyes[0]).norm())


def _jitter(points: Tensor, clips: Sequence[str], size: int) -> NDArray[np.float64]:
    """Of every clip with two frames or more, around the mean of its frames."""
    frames: dict[str, list[int]] = defaultdict(list)
    for place, clip in enumerate(clips):
        frames[clip].append(place)
    values = []
    for places in frames.values():
        if len(places) > 1:
            away = points[places] - points[places].mean(0)
            values.append(float(away.square().sum(-1).sum(0).div(len(places) - 1).mean().sqrt()))
    return 100 * np.array(values) / _unit(size)


def frame_shift(maps: Tensor, other: Tensor, size: int) -> NDArray[np.float64]:
    """(N,) root mean square distance of the template's points between two alignments, percent of its eye distance."""
    points = template(size)
    moved = affine.apply(affine.compose(other, affine.invert(maps)), points.expand(len(maps), -1, 2))
    distance = (moved - points).square().sum(-1).mean(1).sqrt()
    return np.asarray(100 * distance.numpy() / _unit(size))


def verification_link(
    nme: NDArray[np.float64], accuracy: NDArray[np.float64], drawn: NDArray[np.float64]
) -> dict[str, object]:
    """Spearman's rank correlation over methods of NME with verification accuracy.

    Args:
        nme: (M,) of the methods.
        accuracy: (M,) likewise.
        drawn: (M, R) of `resampled_accuracy`.

    Returns:
        ``methods``, ``correlation`` and its 95 % ``interval``; the last two None for fewer than three methods.
    """
    from scipy.stats import rankdata

    result: dict[str, object] = {"methods": len(nme), "correlation": None, "interval": None}
    if len(nme) < 3:
        return result
    ranks = rankdata(nme)

    def correlation(values: NDArray[np.float64]) -> float:
        other = rankdata(values)
        return float(np.corrcoef(ranks, other)[0, 1]) if np.ptp(other) > 0 else 0.0

    known = drawn[:, ~np.isnan(drawn).any(0)]
    interval = np.quantile([correlation(values) for values in known.T], [0.025, 0.975]).tolist()
    return result | {"correlation": correlation(accuracy), "interval": interval}
