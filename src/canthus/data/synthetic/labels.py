"""Where the landmarks of a scene are, in every scheme, and which of them are seen."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.mesh import EYEBALL, head_mesh
from canthus.data.synthetic.scene import Scene
from canthus.data.synthetic.surface import Array

__all__ = ["SCHEMES", "jaw_corners", "landmarks", "native_scheme", "seen"]

SCHEMES = ("68", "98", "29")
"""Labelled by themselves; others are reductions of these."""
TOLERANCE = 4.0
"""Millimetres by which something must be nearer than a landmark to hide it."""
PUPILS = ("pupil_0", "pupil_1")


def native_scheme(scheme: str) -> str:
    """The scheme that labels are made in when batches are to be in ``scheme``."""
    return scheme if scheme in SCHEMES else "98" if scheme == "68-index" else "68"


@lru_cache
def _names(scheme: str) -> tuple[str, ...]:
    """Names of corners of the mesh, ``jaw_N`` and ``pupil_N``, in the order of a scheme."""
    if scheme == "68":
        return (*(f"jaw_{2 * i}" for i in range(17)), *(str(i) for i in range(17, 68)))
    if scheme == "29":
        return (
            "17", "26", "21", "22", "brow_0_top_2", "brow_0_bottom_2", "brow_1_top_2", "brow_1_bottom_2", "36",
            "45", "39", "42",
            "lid_0_upper_6", "lid_0_lower_6", "lid_1_upper_6", "lid_1_lower_6", *PUPILS, "wing_l", "wing_r",
            "30", "33", "48", "54",
            "51", "62", "66", "57", "jaw_16",
        )  # fmt: skip
    brows = ["17", *(f"brow_0_top_{k}" for k in (1, 2, 3, 4)), *(f"brow_0_bottom_{k}" for k in (4, 3, 2, 1))]
    brows += [*(f"brow_1_top_{k}" for k in range(4)), "26", *(f"brow_1_bottom_{k}" for k in (3, 2, 1, 0))]
    lids = [
        f"lid_{side}_{kind}_{k}"
        for side in range(2)
        for kind, at in (("upper", (0, 3, 6, 9, 12)), ("lower", (3, 6, 9)))
        for k in at
    ]
    return (
        *(f"jaw_{j}" for j in range(33)),
        *brows,
        *(str(i) for i in range(27, 36)),
        *lids,
        *(str(i) for i in range(48, 68)),
        *PUPILS,
    )


def jaw_corners(scene: Scene, *, contour: bool = True) -> NDArray[np.int64]:
    """(33,) corners of the mesh that the jaw's points are on.

    People label the border of the face that they see: the jaw on the side turned to them, the silhouette of the cheek
    on the other. So each point moves along a line on the skin to the outermost place in the picture.

    Args:
        scene: gives shape, pose and camera.
        contour: False: the same places on the skin in every pose.
    """
    lines = head_mesh().jaw
    if not contour:
        return np.asarray(lines[:, 0])
    down = scene.rotation[:2, 1]
    down = down / (np.linalg.norm(down) + 1e-9)
    right = np.array([down[1], -down[0]])
    away = _outward() @ np.stack([right, down])
    seen = scene.project(scene.corners[lines])
    return np.asarray(lines[np.arange(33), (seen * away[:, None]).sum(-1).argmax(1)])


@lru_cache(maxsize=1)
def _outward() -> Array:
    """(33, 2) directions across the jaw line of the head at rest, seen from the front."""
    line = head_mesh().rest[head_mesh().jaw[:, 0], :2]
    along = np.gradient(line, axis=0)
    away = np.stack([-along[:, 1], along[:, 0]], 1)
    share = np.clip(np.abs(np.arange(33) - 16) / 16, 0, 1)[:, None]
    away = away / np.linalg.norm(away, axis=1, keepdims=True)
    sideways = np.stack([np.sign(np.arange(33) - 16.0), np.zeros(33)], 1)
    away = (1 - share) * away + share * sideways
    return np.asarray(away / np.linalg.norm(away, axis=1, keepdims=True))


def landmarks(scene: Scene, scheme: str, *, contour: bool = True) -> Array:
    """(K, 3) positions of a scheme's points in the scene."""
    named, corners = head_mesh().named, scene.corners
    jaw = jaw_corners(scene, contour=contour)
    thick = 0.9 * scene.person.brow[0]
    points = np.empty((len(_names(scheme)), 3))
    for row, name in enumerate(_names(scheme)):
        kind, _, number = name.partition("_")
        if kind == "jaw":
            points[row] = corners[jaw[int(number)]]
        elif kind == "pupil":
            points[row] = scene.eyes[int(number)] + EYEBALL * scene.gaze[int(number)]
        elif kind == "brow":
            side, _, k = number.split("_")
            middle = corners[named[str((17 if side == "0" else 22) + int(k))]]
            points[row] = middle + thick * (corners[named[name]] - middle)
        else:
            points[row] = corners[named[name]]
    return points


def seen(scene: Scene, points: Array) -> NDArray[np.bool_]:
    """(K,) whether nothing in the scene hides (K, 3) positions."""
    triangles, corners = [head_mesh().triangles], [scene.corners]
    count = len(scene.corners)
    for part in scene.parts:
        if part.opaque:
            triangles.append(part.triangles + count)
            corners.append(part.points)
            count += len(part.points)
    solid = np.concatenate(corners)
    flat = np.column_stack([scene.project(solid), solid[:, 2]]).astype(np.float32)
    at = np.column_stack([scene.project(points), points[:, 2]]).astype(np.float32)
    faces = np.concatenate(triangles)
    x, y, z = (flat[faces, k] for k in range(3))
    low, high = at.min(0), at.max(0)
    near = (x.max(1) >= low[0]) & (x.min(1) <= high[0]) & (y.max(1) >= low[1]) & (y.min(1) <= high[1])
    facing = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0]) > 1e-6
    x, y, z = (a[near & facing] for a in (x, y, z))
    px, py = at[:, :1], at[:, 1:2]
    box = (x.min(1) <= px) & (x.max(1) >= px) & (y.min(1) <= py) & (y.max(1) >= py) & (z.min(1) < at[:, 2:] - TOLERANCE)
    k, t = np.nonzero(box)
    px, py, x, y, z = at[k, 0], at[k, 1], x[t], y[t], z[t]
    u = (x[:, 1] - px) * (y[:, 2] - py) - (y[:, 1] - py) * (x[:, 2] - px)
    v = (x[:, 2] - px) * (y[:, 0] - py) - (y[:, 2] - py) * (x[:, 0] - px)
    w = (x[:, 0] - px) * (y[:, 1] - py) - (y[:, 0] - py) * (x[:, 1] - px)
    depth = (u * z[:, 0] + v * z[:, 1] + w * z[:, 2]) / (u + v + w)
    hit = (u >= 0) & (v >= 0) & (w >= 0) & (depth < at[k, 2] - TOLERANCE)
    visible = np.ones(len(points), dtype=np.bool_)
    visible[k[hit]] = False
    return visible
