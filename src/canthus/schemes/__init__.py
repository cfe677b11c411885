"""Landmark schemes: one YAML file each, read and checked on first use.

A scheme says what the points of a markup are, which of them change places in a mirror, and how it reduces to smaller
schemes. Nothing else in the package knows how many points a data set has.
"""

import difflib
from dataclasses import replace
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from canthus.schemes.parsing import parse_scheme, same_points_as
from canthus.schemes.scheme import Scheme
from canthus.utils.errors import ConfigError

__all__ = ["Scheme", "load_scheme", "reduce_landmarks", "reduce_points"]


def load_scheme(name: str | int) -> Scheme:
    """Give a shipped scheme; every call with the same name gives the same object.

    Args:
        name: for example ``"68"`` or ``68``.

    Raises:
        ConfigError: there is no such scheme.
        ValueError: its file is inconsistent.
    """
    return _load(str(name))


def reduce_landmarks(
    landmarks: NDArray[np.float64], visibility: NDArray[np.uint8], source: Scheme, target: str
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Derive the points of a smaller scheme as weighted means of points of a larger one.

    Args:
        landmarks: (K, 2) points in the source scheme.
        visibility: (K,) their visibility codes.
        source: the scheme of the points.
        target: name of the scheme wanted.

    Returns:
        Landmarks (T, 2) and visibility (T,). A point that needs an unlabelled point is NaN with visibility 0; otherwise
        it is as visible as the least visible point it is made of.

    Raises:
        ValueError: the reduction is not defined, or the arrays do not belong to the source scheme.
    """
    k = source.num_landmarks
    if landmarks.shape != (k, 2) or visibility.shape != (k,):
        raise ValueError(
            f"landmarks {landmarks.shape} and visibility {visibility.shape} do not belong to scheme {source.name!r}, "
            f"which needs {(k, 2)} and {(k,)}"
        )
    if target == source.name:
        return landmarks, visibility
    means = reduce_points(landmarks, source, target)
    points, starts, _ = _table(source, target)
    seen = np.minimum.reduceat(visibility[points], starts)
    return np.where(seen[:, None] > 0, means, np.nan), seen


def reduce_points(points: NDArray[np.floating], source: Scheme, target: str) -> NDArray[np.float64]:
    """Derive the points of a smaller scheme where all are known, as those of a prediction are.

    Args:
        points: (..., K, 2) in the source scheme.
        source: the scheme of the points.
        target: name of the scheme wanted.

    Returns:
        (..., T, 2).

    Raises:
        ValueError: the reduction is not defined.
    """
    chosen, starts, shares = _table(source, target)
    return np.add.reduceat(points[..., chosen, :] * shares, starts, axis=-2)


@cache
def _table(source: Scheme, target: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """A reduction as arrays: source points in the order of the target's, where each target begins, (x, y) shares."""
    if target not in source.reductions:
        known = ", ".join(source.reductions) or "nothing"
        raise ValueError(
            f"no reduction from scheme {source.name!r} to {target!r} is defined; {source.name!r} reduces to: {known}"
        )
    blends = source.reductions[target]
    rows = [(point, blend.x.get(point, 0), blend.y.get(point, 0)) for blend in blends for point in blend.points]
    points, *shares = zip(*rows, strict=True)
    counts = np.array([len(blend.points) for blend in blends])
    return np.array(points), np.cumsum(counts) - counts, np.array(shares, dtype=np.float64).T


@cache
def _load(name: str) -> Scheme:
    available = _available()
    if name not in available:
        near = difflib.get_close_matches(name, available, n=1, cutoff=0.0)
        raise ConfigError(
            f"there is no landmark scheme {name!r}; nearest: {near[0]!r}; available: {', '.join(available)}"
        )
    scheme = _read(name)
    for target in scheme.reductions:
        if target in available:
            # not load_scheme: two schemes that reduce to each other would load each other for ever
            scheme.check_reduction(target, _read(target).flip)
    return scheme


def _read(name: str) -> Scheme:
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    twin = same_points_as(name, text)
    return replace(_read(twin), name=name) if twin else parse_scheme(name, text)


def _available() -> list[str]:
    """Names of the shipped schemes, by number of points where the name is one."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted((name.removesuffix(".yaml") for name in files if name.endswith(".yaml")), key=lambda n: (len(n), n))
