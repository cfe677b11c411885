"""The numbers that describe a data set."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canthus.data.face import OCCLUDED, UNLABELLED, VISIBLE
from canthus.inspection.collection import SPLITS, Collection
from canthus.inspection.shapes import estimate_yaw

__all__ = ["YAW_BINS", "head_yaw", "summarise"]

YAW_BINS = (0, 15, 30, 45, 60, 90)
"""Degrees; the last bin takes what lies beyond, too."""
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


def head_yaw(data: Collection) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Yaw of every face.

    Returns:
        (N,) degrees, NaN where neither labelled nor to be estimated from points, and (N,) whether it is labelled.
    """
    labelled = np.array([face.pose is not None for face in data.faces])
    yaw = [
        face.pose[0] if face.pose is not None else estimate_yaw(points, seen, data.scheme)
        for face, points, seen in zip(data.faces, data.points, data.visibility, strict=True)
    ]
    return np.degrees(np.array(yaw, dtype=np.float64)), labelled


def summarise(data: Collection) -> dict[str, Any]:
    """Summary as plain numbers and words, for json: ``full``, and one entry per split and part under ``parts``."""
    yaw, labelled = head_yaw(data)
    parts: dict[tuple[str, str], list[int]] = {}
    for split in SPLITS:
        for i, face in enumerate(data.faces):
            if data.splits[i] == split:
                parts.setdefault((split, face.part), []).append(i)
    return {
        "scheme": data.scheme.name,
        "full": _part(data, range(len(data.faces)), yaw, labelled),
        "parts": [
            {"split": split, "part": part, **_part(data, rows, yaw, labelled)} for (split, part), rows in parts.items()
        ],
    }


def _part(
    data: Collection, chosen: Sequence[int], yaw: NDArray[np.float64], labelled: NDArray[np.bool_]
) -> dict[str, Any]:
    rows = np.asarray(chosen)
    faces = [data.faces[i] for i in chosen]
    per_image = Counter(Counter(face.image for face in faces).values())
    codes = data.visibility[rows]
    share = {name: float((codes == code).mean()) for name, code in _CODES.items()}
    size = data.size[rows]
    return {
        "faces": len(faces),
        "images": len({face.image for face in faces}),
        "image_keys": len({face.photo for face in faces}),
        "broken_images": len({face.image for face in faces} & data.broken.keys()),
        "images_by_number_of_faces": {str(count): per_image[count] for count in sorted(per_image)},
        "image_width": _quantiles(size[:, 0]),
        "image_height": _quantiles(size[:, 1]),
        "box_side": _quantiles(data.side[rows]),
        "faces_with_points": int((codes > UNLABELLED).any(1).sum()),
        "visibility": share,
        "yaw": {
            "labelled": int((labelled[rows] & np.isfinite(yaw[rows])).sum()),
            "estimated_from_points": int((~labelled[rows] & np.isfinite(yaw[rows])).sum()),
            "degrees": _quantiles(yaw[rows]),
            "absolute_degrees": _quantiles(np.abs(yaw[rows])),
            "faces_by_absolute_degrees": _bins(np.abs(yaw[rows])),
        },
        "attributes": dict(sorted(Counter(name for face in faces for name in face.attributes).items())),
        "identities": len({face.identity for face in faces} - {None}),
    }


_CODES = {"visible": VISIBLE, "occluded": OCCLUDED, "not_labelled": UNLABELLED}


def _quantiles(values: NDArray[np.float64]) -> dict[str, float] | None:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    return {
        f"{q:g}": round(float(value), 2) for q, value in zip(QUANTILES, np.quantile(finite, QUANTILES), strict=True)
    }


def _bins(yaw: NDArray[np.float64]) -> dict[str, int]:
    finite = yaw[np.isfinite(yaw)]
    edges = [*YAW_BINS[:-1], np.inf]
    counts, _ = np.histogram(finite, edges)
    names = [f"{low}-{high}" for low, high in pairwise(YAW_BINS)]
    return {name: int(count) for name, count in zip(names, counts, strict=True)}
