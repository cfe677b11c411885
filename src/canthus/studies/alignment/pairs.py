"""Verification: are two images of one person? As for LFW, ten folds, each with the threshold of the other nine."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from canthus.utils.errors import DataError

__all__ = ["Pairs", "draw_pairs", "resampled_accuracy", "verification"]

FOLDS = 10
RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of images, half of them of one person.

    Attributes:
        first: (P,) places in the list of faces.
        second: (P,) likewise.
        same: (P,) bool.
        fold: (P,) from 0 to 9; a person is in one fold only as far as pairs of one person go.
        persons: (2, P) numbers of the persons, from 0.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]
    persons: NDArray[np.int64]


def draw_pairs(persons: Sequence[str | None], clips: Sequence[str], count: int, seed: int) -> Pairs:
    """Draw pairs, of one person from different clips.

    Args:
        persons: of every face; nameless ones are in no pair.
        clips: video of every face, or anything whose images are nearly the same.
        count: of pairs of one person, and again of two persons. Fewer if there are not as many of both.
        seed: of the draw.

    Raises:
        DataError: fewer than two persons, or none has images of two clips.
    """
    random = np.random.default_rng(seed)
    of_person: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(persons):
        if name is not None:
            of_person[name].append(place)
    names = sorted(of_person)
    if len(names) < 2:
        raise DataError(f"{len(names)} persons are named, and verification needs several; take data=ytf68")
    number = {place: i for i, name in enumerate(names) for place in of_person[name]}
    candidates = [
        (a, b)
        for name in names
        for i, a in enumerate(of_person[name])
        for b in of_person[name][i + 1 :]
        if clips[a] != clips[b]
    ]
    if not candidates:
        raise DataError("no person has pictures of two clips, so there is nothing to verify; take more persons")
    sizes = np.array([len(of_person[name]) for name in names])
    possible = int(sizes.sum() ** 2 - (sizes**2).sum()) // 2
    count = min(count, len(candidates), possible)
    same = [candidates[i] for i in random.permutation(len(candidates))[:count]]
    named = np.array(sorted(number))
    other: set[tuple[int, int]] = set()
    while len(other) < count:
        a, b = sorted(named[random.integers(0, len(named), 2)].tolist())
        if number[a] != number[b]:
            other.add((a, b))
    different = sorted(other)
    random.shuffle(different)
    pairs = np.array([*same, *different])
    who = np.vectorize(number.__getitem__)(pairs.T)
    fold = np.concatenate([who[0, :count] % FOLDS, np.arange(count) % FOLDS])
    return Pairs(pairs[:, 0], pairs[:, 1], np.arange(2 * count) < count, fold, who)


def verification(vectors: NDArray[np.float32], pairs: Pairs) -> tuple[NDArray[np.float64], float]:
    """Judge every pair by its cosine.

    Args:
        vectors: (N, D) of length 1.
        pairs: of the N faces.

    Returns:
        (P,) 100 where the judgement is right and 0 elsewhere, so that its mean is the accuracy in percent; and the area
        under the ROC curve in percent.
    """
    from sklearn.metrics import roc_auc_score  # imports for a second

    cosine = np.einsum("nd,nd->n", vectors[pairs.first], vectors[pairs.second]).astype(np.float64)
    right = np.zeros(len(cosine))
    for fold in np.unique(pairs.fold):
        held = pairs.fold == fold
        threshold = _best_threshold(cosine[~held], pairs.same[~held])
        right[held] = 100.0 * ((cosine[held] > threshold) == pairs.same[held])
    return right, 100 * float(roc_auc_score(pairs.same, cosine))


def resampled_accuracy(right: NDArray[np.float64], pairs: Pairs, *, seed: int) -> NDArray[np.float64]:
    """Accuracies if other persons had been met: persons are drawn again, and their pairs with them.

    Pairs of one face or one person are right and wrong together, so that drawing pairs would make intervals too narrow.

    Args:
        right: (M, P) of M methods, see `verification`.
        pairs: the P pairs.
        seed: of the draws, the same for all methods.

    Returns:
        (M, R) mean of the accuracies on pairs of one person and on pairs of two, percent.
    """
    random = np.random.default_rng(seed)
    first, second = pairs.persons
    count = int(pairs.persons.max()) + 1
    times = random.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
    accuracy = np.zeros((len(right), RESAMPLES))
    for group, weight in (
        (pairs.same, times[:, first[pairs.same]]),
        (~pairs.same, times[:, first[~pairs.same]] * times[:, second[~pairs.same]]),
    ):
        total = weight.sum(1)
        accuracy += np.where(total > 0, right[:, group] @ weight.T / np.maximum(total, 1), np.nan) / 2
    return accuracy


def _best_threshold(cosine: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    order = np.argsort(cosine)
    ordered = cosine[order]
    # below the i-th cut everything is called different
    right = np.concatenate([[same.sum()], same.sum() + np.cumsum(np.where(same[order], -1, 1))])
    cut = int(right.argmax())
    if cut == 0:
        return float(ordered[0] - 1)
    return float((ordered[cut - 1] + ordered[min(cut, len(ordered) - 1)]) / 2)
