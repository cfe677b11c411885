"""One entry of a COCO file's ``annotations``."""

import json
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from canthus.data.readers.coco_categories import Categories
from canthus.utils.errors import DataError


class Annotation:
    """One entry of ``annotations``, checked as it is read.

    Attributes:
        place: file and entry, for messages.
        id: of the annotation, where it has one.
    """

    def __init__(self, place: str, content: Any) -> None:
        if not isinstance(content, dict):
            raise DataError(f"{place} is {short(content)}, not an object; export the labels again")
        self.id = content.get("id")
        self.place = f"{place} (id {short(self.id)})" if self.id is not None else place
        self._content = content

    def image(self, names: Mapping[int | str, str]) -> str:
        """Name of the image."""
        image = self._content.get("image_id")
        if not is_key(image) or image not in names:
            raise DataError(f"{self.place}: image_id {short(image)} is none of the images; export the labels again")
        return names[image]

    def is_no_face(self, categories: Categories) -> str | None:
        """Why there are no points of a face to read; None if there are."""
        crowd = self._content.get("iscrowd") or 0
        if crowd not in (0, 1):
            raise DataError(f"{self.place}: iscrowd is {short(crowd)}, not 0 or 1; correct it")
        if crowd:
            return "crowds"
        if categories.is_other(self._content.get("category_id")):
            return "of other categories"
        return None if self._content.get("keypoints") else "without points"

    def landmarks(self, categories: Categories) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Points (K, 2) in the order of the scheme, NaN where not labelled, and visibility (K,)."""
        num_landmarks = categories.scheme.num_landmarks
        triplets = self._numbers("keypoints", None)
        if triplets.size != 3 * num_landmarks:
            raise DataError(
                f"{self.place}: keypoints has {triplets.size} numbers, x, y and v of {num_landmarks} points are "
                f"{3 * num_landmarks}; set data.label_scheme to the scheme of the labels"
            )
        points, codes = triplets.reshape(-1, 3)[:, :2].copy(), triplets[2::3]
        bad = np.flatnonzero(~np.isin(codes, (0, 1, 2)))
        if bad.size:
            raise DataError(f"{self.place}: v of keypoint {bad[0]} is {codes[bad[0]]:g}, not 0, 1 or 2; correct it")
        points[codes == 0] = np.nan
        order = categories.order(self._content.get("category_id"))
        return points[order], codes.astype(np.uint8)[order]

    def box(self) -> NDArray[np.float64]:
        """Box (4,) as corners."""
        x, y, width, height = self._numbers("bbox", 4)
        if width <= 0 or height <= 0:
            raise DataError(f"{self.place}: bbox is {width:g} x {height:g} pixels; correct it, or set data.box=gt")
        return np.array([x, y, x + width, y + height])

    def attributes(self) -> frozenset[str]:
        """Names of the conditions that hold."""
        value = self._content.get("attributes") or []
        if isinstance(value, dict):
            return frozenset(name for name, holds in value.items() if holds is True)
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise DataError(f"{self.place}: attributes {short(value)} are no list of names; correct them")
        return frozenset(value)

    def identity(self) -> str | None:
        """Person, where the annotation names one."""
        value = self._content.get("identity")
        return None if value is None else str(value)

    def _numbers(self, key: str, count: int | None) -> NDArray[np.float64]:
        value = self._content.get(key)
        if not isinstance(value, list) or (count is not None and len(value) != count):
            wanted = f"a list of {count} numbers" if count else "a list of numbers"
            raise DataError(f"{self.place}: {key} is {short(value)}, not {wanted}; export the labels again")
        for i, number in enumerate(value):
            # true and false are numbers to Python; json knows NaN and whole numbers beyond any float
            if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < 1e9:
                raise DataError(f"{self.place}: {key}[{i}] is {short(number)}, not a number of pixels; correct it")
        return np.array(value, dtype=np.float64)


def is_key(value: Any) -> TypeGuard[int | str]:
    """Whether a value may be an id."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def short(value: Any) -> str:
    """Write a value for a message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
