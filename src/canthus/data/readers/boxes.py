"""Face boxes of readers, and the check of options such as ``data.box``."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from canthus.utils.errors import DataError


def check_choice(option: str, value: str, choices: Mapping[str, str]) -> None:
    """Check an option that takes one of a few words.

    Args:
        option: its name in a data config.
        value: given.
        choices: word -> what it means, for the message.

    Raises:
        DataError: another word.
    """
    if value not in choices:
        known = " or ".join(f"{word!r} ({meaning})" for word, meaning in choices.items())
        raise DataError(f"data.{option} is {value!r}; choose {known}")


def tight_box(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the smallest box (4,) around labelled points (K, 2)."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def checked_box(place: str, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the box if it is one.

    Raises:
        DataError: it is empty or inside out; the message begins with the place.
    """
    if (box[2:] <= box[:2]).any():
        corners = ", ".join(f"{value:g}" for value in box)
        raise DataError(f"{place}: the box ({corners}) is not x1 < x2, y1 < y2; restore the official file")
    return box
