"""From the text of a scheme's YAML file to a ``Scheme``."""

from typing import Any

import yaml

from canthus.schemes.scheme import Indices, Scheme

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
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{place}: not YAML: {error}") from error
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
            reductions={key: _groups(rows) for key, rows in content["reductions"].items()},
        )
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{place}: an entry does not have the form of the entries of 68.yaml ({error})") from error
    except ValueError as error:
        raise error if str(error).startswith(place) else ValueError(f"{place}: {error}") from error


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


def _groups(rows: list[Any]) -> tuple[Indices, ...]:
    """Expand a reduction: a list is one group to average, an index or a range gives groups of one point each."""
    groups: list[Indices] = []
    for row in rows:
        points = _points(row)
        groups += [points] if isinstance(row, list) else [(point,) for point in points]
    return tuple(groups)


def _flat(names: list[Any]) -> tuple[str, ...]:
    return tuple(name for entry in names for name in (entry if isinstance(entry, list) else [entry]))
