"""From the text of a scheme's YAML file to a ``Scheme``."""

from fractions import Fraction
from typing import Any

import yaml

from canthus.schemes.scheme import Blend, Indices, Scheme, Weights
from canthus.utils.files import parse_yaml

SAME = "same_points_as"
"""The one key of a file whose scheme has all of another's points, made in another way."""
_KEYS = {"num_landmarks", "names", "flip", "regions", "normalisers", "skeleton", "reductions"}


def parse_scheme(name: str, text: str) -> Scheme:
    """Read a scheme.

    In the file, points are an index, an inclusive range ``17-21`` or a list of both. Names may be grouped in lists.

    Args:
        name: of the scheme; the stem of its file.
        text: of the file.

    Raises:
        ValueError: not YAML, missing or unknown keys, entries of the wrong form, or an inconsistent scheme.
    """
    place = f"schemes/{name}.yaml"
    content = _load(place, text)
    keys = set(content) if isinstance(content, dict) else set()
    if keys != _KEYS:
        raise ValueError(f"{place}: missing keys {sorted(_KEYS - keys)}, unknown keys {sorted(keys - _KEYS)}")
    try:
        return Scheme(
            name=name,
            num_landmarks=content["num_landmarks"],
            names=_flat(content["names"]),
            flip=_points(content["flip"]),
            regions={key: _points(points) for key, points in content["regions"].items()},
            normalisers={key: (_points(a), _points(b)) for key, (a, b) in content["normalisers"].items()},
            skeleton=tuple((_points(line["points"]), line["closed"]) for line in content["skeleton"]),
            reductions={key: _blends(rows) for key, rows in content["reductions"].items()},
        )
    except (TypeError, AttributeError, KeyError, ZeroDivisionError) as error:
        raise ValueError(f"{place}: an entry does not have the form of the entries of 68.yaml ({error})") from error
    except ValueError as error:
        raise error if str(error).startswith(place) else ValueError(f"{place}: {error}") from error


def same_points_as(name: str, text: str) -> str | None:
    """Name of the scheme whose points a file shares; ``None`` for a file with points of its own.

    Args:
        name: of the scheme; the stem of its file.
        text: of the file.

    Raises:
        ValueError: not YAML.
    """
    content = _load(f"schemes/{name}.yaml", text)
    return str(content[SAME]) if isinstance(content, dict) and set(content) == {SAME} else None


def _load(place: str, text: str) -> Any:
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{place}: not YAML: {error}") from error


def _points(entry: Any) -> Indices:
    """Expand an index, a range or a list of them."""
    if isinstance(entry, list):
        return tuple(point for item in entry for point in _points(item))
    if isinstance(entry, str):
        first, _, last = entry.partition("-")
        return tuple(range(int(first), int(last) + 1))
    if isinstance(entry, int):
        return (entry,)
    raise TypeError(f"{entry!r} is neither an index, a range such as 17-21, nor a list of them")


def _blends(rows: list[Any]) -> tuple[Blend, ...]:
    """Expand a reduction.

    A list is averaged to one point, an index or a range gives points as they are. A mapping gives weights as fractions,
    ``{61: 2/3, 62: 1/3}``, or those of each coordinate, ``{x: {34: 1}, y: {34: 1/2, 41: 1/2}}``.
    """
    blends: list[Blend] = []
    for row in rows:
        if isinstance(row, dict):
            blends.append(_weighted(row))
        elif isinstance(row, list):
            blends.append(Blend.mean(_points(row)))
        else:
            blends += [Blend.mean((point,)) for point in _points(row)]
    return tuple(blends)


def _weighted(row: dict[Any, Any]) -> Blend:
    if set(row) == {"x", "y"}:
        return Blend(_shares(row["x"]), _shares(row["y"]))
    return Blend(_shares(row), _shares(row))


def _shares(entry: dict[Any, Any]) -> Weights:
    for point in entry:
        if not isinstance(point, int):
            raise TypeError(f"{point!r} in {entry} is no index of a point")
    return {point: Fraction(str(share)) for point, share in entry.items()}


def _flat(names: list[Any]) -> tuple[str, ...]:
    return tuple(name for entry in names for name in (entry if isinstance(entry, list) else [entry]))
