"""Verification: are two pictures of one person? As for LFW, ten folds, each with the threshold of the other nine."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import DataError

__all__ = ["Pairs", "draw_pairs", "verification"]

FOLDS = 10


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of pictures, half of them of one person.

    Attributes:
        first: (P,) places in the list of faces.
        second: (P,) likewise.
        same: (P,) bool.
        fold: (P,) from 0 to 9; a person is in one fold only as far as pairs of one person go.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]


def draw_pairs(persons: Sequence[str], clips: Sequence[str], count: int, seed: int) -> Pairs:
    """Draw pairs, of one person from different clips where there are such.

    Args:
        persons: of every face.
        clips: video of every face, or anything whose pictures are nearly the same.
        count: of pairs of one person, and again of two persons. Fewer if there are not as many.
        seed: of the draw.

    Raises:
        DataError: no person has pictures of two clips.
    """
    random = np.random.default_rng(seed)
    of_person: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(persons):
        of_person[name].append(place)
    names = sorted(of_person)
    candidates = [
        (a, b, number)
        for number, name in enumerate(names)
        for i, a in enumerate(of_person[name])
        for b in of_person[name][i + 1 :]
        if clips[a] != clips[b]
    ]
    if not candidates:
        raise DataError("no person has pictures of two clips, so there is nothing to verify; take more persons")
    chosen = random.permutation(len(candidates))[:count]
    same = [candidates[i] for i in chosen]
    other: set[tuple[int, int]] = set()
    while len(other) < len(same):
        a, b = sorted(random.integers(0, len(persons), 2).tolist())
        if persons[a] != persons[b]:
            other.add((a, b))
    different = sorted(other)
    random.shuffle(different)
    first = [pair[0] for pair in same] + [pair[0] for pair in different]
    second = [pair[1] for pair in same] + [pair[1] for pair in different]
    fold = [pair[2] % FOLDS for pair in same] + [i % FOLDS for i in range(len(different))]
    return Pairs(np.array(first), np.array(second), np.arange(2 * len(same)) < len(same), np.array(fold))


def verification(vectors: NDArray[np.float32], pairs: Pairs) -> tuple[NDArray[np.float64], float]:
    """Judge every pair by its cosine.

    Args:
        vectors: (N, D) of length 1.
        pairs: of the N faces.

    Returns:
        (P,) 100 where the judgement is right and 0 elsewhere, so that its mean is the accuracy in percent; and the area
        under the ROC curve in percent.
    """
    cosine = np.einsum("nd,nd->n", vectors[pairs.first], vectors[pairs.second]).astype(np.float64)
    right = np.zeros(len(cosine))
    for fold in np.unique(pairs.fold):
        held = pairs.fold == fold
        threshold = _best_threshold(cosine[~held], pairs.same[~held])
        right[held] = 100.0 * ((cosine[held] > threshold) == pairs.same[held])
    return right, _roc_area(cosine, pairs.same)


def _best_threshold(cosine: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    order = np.argsort(cosine)
    ordered = cosine[order]
    # below the i-th cut everything is called different
    right = np.concatenate([[same.sum()], same.sum() + np.cumsum(np.where(same[order], -1, 1))])
    cut = int(right.argmax())
    if cut == 0:
        return float(ordered[0] - 1)
    return float((ordered[cut - 1] + ordered[min(cut, len(ordered) - 1)]) / 2)


def _roc_area(cosine: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    from scipy.stats import rankdata

    positives, negatives = int(same.sum()), int((~same).sum())
    ranks = rankdata(cosine)[same].sum()
    return float(100 * (ranks - positives * (positives + 1) / 2) / (positives * negatives))
