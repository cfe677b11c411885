"""A COCO file's ``categories``: which annotations are faces with points, and in which order their points stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canthus.schemes import Scheme
from canthus.utils.errors import DataError

__all__ = ["Categories"]


@dataclass(frozen=True)
class Categories:
    """The categories of a file as a scheme reads them.

    Attributes:
        scheme: of the points that are wanted.
        orders: id of a category with points -> for each point of the scheme, its place in the file.
        counts: id of a category -> how many points it names; None where it names none.
    """

    scheme: Scheme
    orders: Mapping[Any, NDArray[np.int64]] = field(default_factory=dict)
    counts: Mapping[Any, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, place: str, content: Any, scheme: Scheme) -> "Categories":
        """Read ``categories``.

        Args:
            place: of the file, for messages.
            content: the list; anything else means that the file says nothing about categories.
            scheme: of the points that are wanted.

        Raises:
            DataError: names of points that are some of the scheme's, so that nobody can tell the order of the others.
        """
        orders, counts = {}, {}
        for i, category in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(category, dict) or not isinstance(category.get("id"), int | str):
                continue
            value = category.get("keypoints")
            names = [name for name in value if isinstance(name, str | int)] if isinstance(value, list) else []
            counts[category["id"]] = len(names) or None
            if len(names) == scheme.num_landmarks:
                orders[category["id"]] = _order(f"{place}: categories[{i}].keypoints", [*map(str, names)], scheme)
        return cls(scheme, orders, counts)

    def is_other(self, category: Any) -> bool:
        """Whether a category is known to be something else than faces with the scheme's points."""
        return bool(self.orders) and category in self.counts and category not in self.orders

    def order(self, category: Any) -> NDArray[np.int64]:
        """(K,) places of the scheme's points in the file; as they are where the file does not say."""
        return self.orders.get(category, np.arange(self.scheme.num_landmarks))


def _order(place: str, names: list[str], scheme: Scheme) -> NDArray[np.int64]:
    """Places of the scheme's points among the names of the file.

    Names that are none of the scheme's, such as ``p0`` or ``point``, say nothing, and the order is taken to be that of
    the scheme; numbers from 0 or 1 are numbers of the scheme's points.
    """
    given = [_plain(name) for name in names]
    k = scheme.num_landmarks
    for first in (0, 1):
        numbered = [str(number) for number in range(first, first + k)]
        if sorted(given) == sorted(numbered):
            return np.array([given.index(number) for number in numbered])
    wanted = [_plain(name) for name in scheme.names]
    if sorted(given) == sorted(wanted):
        return np.array([given.index(name) for name in wanted])
    if known := [name for name in names if _plain(name) in wanted]:
        strange = next((name for name in names if _plain(name) not in wanted), None)
        twice = next((name for name in names if given.count(_plain(name)) > 1), None)
        what = f"{strange!r} is none" if strange is not None else f"{twice!r} stands twice"
        raise DataError(
            f"{place}: {len(known)} of {k} names are points of scheme {scheme.name}, but {what}; "
            f"name all points as the scheme does ({', '.join(scheme.names[:3])}, ...), or remove the names"
        )
    return np.arange(k)


def _plain(name: str) -> str:
    """A name without capitals, blanks and the like: ``Eye Left`` is ``eye_left``."""
    return "".join(character for character in name.lower() if character.isalnum())
