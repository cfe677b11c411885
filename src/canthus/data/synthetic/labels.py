"""Where the landmarks of a scene are, in every scheme, and which of them are seen."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.mesh import EYEBALL, head_mesh
from canthus.data.synthetic.one_thread import one_thread
from canthus.data.synthetic.scene import Scene
from canthus.data.synthetic.surface import Array

__all__ = ["SCHEMES", "jaw_corners", "landmarks", "native_scheme", "seen"]

SCHEMES = ("68", "98", "29")
"""Labelled by themselves; others are reductions of these."""
TOLERANCE = 4.0
"""Millimetres by which something must be nearer than a landmark to hide it."""
PUPILS = ("pupil_0", "pupil_1")
_Rows = NDArray[np.float32]


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
    on the other. So each point moves along a line on the skin to the outermost place in the image.

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
@one_thread
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


@one_thread
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
    at = _on_screen(scene, points)
    x, y, z = _before(scene, at)
    left, right, top, bottom, front = _least(x), _most(x), _least(y), _most(y), _least(z)
    # pairs of a position and a triangle whose box it is in
    px, py, pz = at[:, :, None]
    k, t = np.nonzero((left <= px) & (right >= px) & (top <= py) & (bottom >= py) & (front < pz - TOLERANCE))
    (px, py, pz), (ax, bx, cx), (ay, by, cy), z = at[:, k], x[:, t], y[:, t], z[:, t]
    u = (bx - px) * (cy - py) - (by - py) * (cx - px)
    v = (cx - px) * (ay - py) - (cy - py) * (ax - px)
    w = (ax - px) * (by - py) - (ay - py) * (bx - px)
    depth = (u * z[0] + v * z[1] + w * z[2]) / (u + v + w)
    visible = np.ones(len(points), dtype=np.bool_)
    visible[k[(u >= 0) & (v >= 0) & (w >= 0) & (depth < pz - TOLERANCE)]] = False
    return visible


def _on_screen(scene: Scene, points: Array) -> _Rows:
    """(3, V) pixel column, pixel row and depth of (V, 3) positions."""
    return np.ascontiguousarray(np.column_stack([scene.project(points), points[:, 2]]).T, dtype=np.float32)


def _before(scene: Scene, at: _Rows) -> tuple[_Rows, _Rows, _Rows]:
    """Columns, rows and depths (3, T) of the corners of triangles that face the camera and may hide (3, K) positions.

    Everything is in rows: reductions over the three corners of (T, 3) are many times as slow.
    """
    blocks = [(scene.corners, head_mesh().triangles)]
    blocks += [(part.points, part.triangles) for part in scene.parts if part.opaque]
    least, most = at.min(1), at.max(1)
    found = [np.zeros((3, 3, 0), dtype=np.float32)]
    for points, triangles in blocks:
        corners = _on_screen(scene, points)
        if (corners.max(1)[:2] < least[:2]).any() or (corners.min(1) > most).any():
            continue
        x, y = corners[:2, triangles.T]
        facing = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]) > 1e-6
        near = (_most(x) >= least[0]) & (_least(x) <= most[0]) & (_most(y) >= least[1]) & (_least(y) <= most[1])
        kept = np.flatnonzero(facing & near)
        found.append(np.stack([x[:, kept], y[:, kept], corners[2, triangles.T[:, kept]]]))
    x, y, z = np.concatenate(found, axis=2)
    return x, y, z


def _least(rows: _Rows) -> _Rows:
    return np.asarray(np.minimum(np.minimum(rows[0], rows[1]), rows[2]))


def _most(rows: _Rows) -> _Rows:
    return np.asarray(np.maximum(np.maximum(rows[0], rows[1]), rows[2]))
