"""From figures to a verdict, by one rule for all claims: `canthus.reporting.claims.RULE`."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from canthus.metrics.crossed import crossed_interval
from canthus.reporting.claims import Compared
from canthus.studies.claims.config import Contrast
from canthus.studies.claims.figures import Draws, Figure, Mean
from canthus.utils.errors import DataError

__all__ = ["compared", "verdict_of_claim", "verdict_of_contrast"]

DIGITS = 4
"""Decimals of figures in claims.json."""


def compared(
    contrast: Contrast, figures: Mapping[int, tuple[Figure, Figure]], draws: Draws, *, lower: bool
) -> Compared:
    """Compare two figures of the same trainings and faces.

    Args:
        contrast: what is compared.
        figures: seed -> both.
        draws: of the faces.
        lower: whether lower figures are better.

    Raises:
        DataError: figures over different faces, or no face with a figure in all trainings.
    """
    pairs, effect = _same_faces(figures), 0.0 if contrast.allowed else contrast.effect or 0.0
    sign = 1.0 if lower else -1.0
    values = np.array([[one.value for one in pair] for pair in pairs])
    if not np.isfinite(values).all():
        raise DataError(f"{contrast.better.label} and {contrast.worse.label}: no figure of seeds {list(figures)}")
    differences = sign * (values[:, 1] - values[:, 0])
    drawn = [[one.resampled(draws) for one in pair] for pair in pairs]
    resampled = None
    if any(one is not None for pair in drawn for one in pair):
        sides = [
            [np.full(draws.resamples, one.value) if d is None else d for one, d in zip(pair, ds, strict=True)]
            for pair, ds in zip(pairs, drawn, strict=True)
        ]
        resampled = np.stack([sign * (worse - better) for better, worse in sides])
    interval = crossed_interval(differences, resampled)
    difference = float(differences.mean())
    seeds = {str(seed): _rounded(row) for seed, row in zip(figures, values, strict=True)}
    return Compared(
        better=contrast.better.label,
        worse=contrast.worse.label,
        unit=contrast.unit,
        effect=effect,
        allowed=contrast.allowed,
        seeds=seeds,
        means=_rounded(values.mean(0)),
        difference=_rounded([difference])[0],
        interval=None if interval is None else _rounded(interval),
        units=_units(pairs[0]),
        verdict=verdict_of_contrast(difference, interval, effect, contrast.allowed),
    )


def verdict_of_contrast(
    difference: float, interval: tuple[float, float] | None, effect: float, allowed: float = 0.0
) -> str:
    """``holds``, ``does not hold`` or ``not shown``.

    Args:
        difference: positive: as claimed.
        interval: 95 % of it; None where the spread between trainings is unknown.
        effect: smallest difference worth naming.
        allowed: how much worse the first may be.
    """
    if interval is None:
        return "not shown"
    low, high = (end + allowed for end in interval)
    if low > 0 and difference + allowed >= effect:
        return "holds"
    return "does not hold" if high < effect or high <= 0 else "not shown"


def verdict_of_claim(verdicts: Sequence[str]) -> str:
    """Of all contrasts of a claim, one or more."""
    if "holds" in verdicts:
        return "holds" if set(verdicts) == {"holds"} else "holds in part"
    return "not shown" if "not shown" in verdicts else "does not hold"


def _same_faces(figures: Mapping[int, tuple[Figure, Figure]]) -> list[tuple[Figure, Figure]]:
    """Means over the faces that have a value in every training; other figures as they are."""
    pairs = list(figures.values())
    means = [one for pair in pairs for one in pair if isinstance(one, Mean)]
    if not means:
        return pairs
    if len({one.units for one in means}) > 1:
        raise DataError("the arms of a claim were not measured on the same faces; remove their evaluations and repeat")
    common = np.logical_and.reduce([one.known for one in means])
    if not common.any():
        raise DataError("no face has an error in every training of the claim")
    first, second = ([pair[place] for pair in pairs] for place in (0, 1))
    masked = [[one.only(common) if isinstance(one, Mean) else one for one in side] for side in (first, second)]
    return list(zip(*masked, strict=True))


def _units(pair: tuple[Figure, Figure]) -> int:
    for one in pair:
        if isinstance(one, Mean):
            return int(one.known.sum())
        if units := getattr(one, "units", ()):
            return len(units)
    return 0


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), DIGITS) + 0.0 for value in values]
