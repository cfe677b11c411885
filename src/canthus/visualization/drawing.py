"""Pictures of landmarks: one face, one row of stages, sheets, and overlays on whole images.

Pictures are (H, W, 3) uint8 RGB. Points are ``(x, y)`` pixels of the picture they come with, centres at integers, and
are drawn at their sub-pixel place. No function changes the picture it is given.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from canthus.data.face import OCCLUDED, UNLABELLED, VISIBLE
from canthus.geometry.pose import camera_rotation
from canthus.schemes import Scheme

__all__ = [
    "ESTIMATE",
    "TRUTH",
    "captioned",
    "contact_sheet",
    "draw_face",
    "draw_prediction",
    "face_tile",
    "stage_strip",
    "stage_tiles",
]

Colour = tuple[int, int, int]
Image = NDArray[np.uint8]
Points = NDArray[np.float64]

ESTIMATE: Colour = (255, 222, 30)
TRUTH: Colour = (60, 200, 255)
"""Yellow and light blue: apart for every kind of colour vision, and both brighter than skin."""
PAPER: Colour = (24, 24, 24)
INK: Colour = (238, 238, 238)

AXES: tuple[Colour, ...] = ((230, 60, 60), (60, 210, 90), (70, 120, 255))
"""Of a head: to its left, down, and out of the face."""

SHIFT = 8
"""Fractional bits of OpenCV's coordinates: points land within 1/256 pixel of their place."""
FAR = 1 << 20
"""Coordinates are held within this many pixels, so that a diverged estimate cannot overflow 32 bits."""
DIVERGED = 1e9
"""Likewise for what is computed with before it is drawn, where products of diverged estimates would be infinite."""
CROP = 1.6
"""Side of a tile's crop in face boxes: the chin of a tight box and some hair stay in view."""


def draw_face(
    image: Image,
    landmarks: ArrayLike,
    scheme: Scheme,
    *,
    colour: Colour = ESTIMATE,
    visibility: ArrayLike | None = None,
    scale: int = 1,
) -> Image:
    """Draw the landmarks of one face over its picture.

    Seen points are discs, occluded ones are rings, unlabelled or non-finite ones are left out together with the lines
    that end in them. Line width follows the size of the face.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (K, 2) pixels of ``image``.
        scheme: names the lines between the points.
        colour: RGB.
        visibility: (K,) codes; all visible when left out.
        scale: whole factor by which the picture is enlarged first, for thin lines on small crops.

    Returns:
        (H * scale, W * scale, 3) uint8 RGB.

    Raises:
        ValueError: the number of points is not the scheme's.
    """
    points, codes = _checked(landmarks, visibility, scheme)
    canvas = image.copy() if scale == 1 else _resized(image, scale)
    # pixel centres at integers: enlarging moves the centre of the first pixel from 0 to (scale - 1) / 2
    _overlay(canvas, (points + 0.5) * scale - 0.5, codes, scheme, colour)
    return canvas


def draw_prediction(
    photo: Image,
    boxes: ArrayLike,
    points: Sequence[ArrayLike],
    scheme: Scheme,
    *,
    colour: Colour = ESTIMATE,
    largest: int | None = None,
) -> Image:
    """Draw all faces found in an image, each with its box.

    Args:
        photo: (H, W, 3) uint8 RGB.
        boxes: (N, 4) ``xyxy`` pixels; N may be 0.
        points: N arrays (K, 2), pixels.
        scheme: names the lines between the points.
        colour: RGB of the landmarks.
        largest: longer side of the drawing at most, pixels: larger images are drawn smaller. None: no limit.

    Returns:
        (H, W, 3) uint8 RGB, or smaller.

    Raises:
        ValueError: boxes and faces differ in number, or a face has a wrong number of points.
    """
    canvas, zoom = _fitted(photo, largest)
    for box, face in zip(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), points, strict=True):
        landmarks, codes = _checked(face, None, scheme)
        corners = np.clip((box + 0.5) * zoom - 0.5, -DIVERGED, DIVERGED)
        side = min(float((corners[2:] - corners[:2]).mean()), max(canvas.shape))
        _rectangle(canvas, corners, round(side / 150) if np.isfinite(side) else 1)
        _overlay(canvas, (landmarks + 0.5) * zoom - 0.5, codes, scheme, colour)
    return canvas


def stage_strip(
    image: Image,
    stages: Sequence[ArrayLike],
    truth: ArrayLike | None,
    box: ArrayLike,
    scheme: Scheme,
    *,
    height: int = 256,
    caption: Sequence[str] | None = None,
    nme: Sequence[float] | None = None,
    visibility: ArrayLike | None = None,
    pose: ArrayLike | None = None,
) -> Image:
    """One row of tiles that shows how a cascade moves from stage to stage.

    Every tile holds the same crop of the face with that stage's estimate over thin lines of the ground truth. Put the
    initial shape first to show where the cascade starts.

    Args:
        image: (H, W, 3) uint8 RGB, the crop or whole image that all points refer to.
        stages: S arrays (K, 2), coarse to fine, pixels of ``image``.
        truth: (K, 2) pixels of ``image``; nothing is drawn for ``None``.
        box: (4,) ``xyxy`` face box, pixels of ``image``; the crop is this, made square and 1.6 times larger.
        scheme: names the lines between the points.
        height: of the row, pixels; a twelfth of it is the caption.
        caption: S names; ``stage 1`` ... when left out. Latin letters only, the built-in font has no others.
        nme: S errors in percent, written behind the names.
        visibility: (K,) codes of the ground truth.
        pose: (3,) yaw, pitch, roll in radians, drawn on the last tile as the head's axes: red to its left side (the
            image's right), green to the chin, blue out of the face.

    Returns:
        (height, W, 3) uint8 RGB with S tiles side by side.

    Raises:
        ValueError: no stage, or captions, errors or points that do not fit the stages.
    """
    names = [f"stage {i + 1}" for i in range(len(stages))] if caption is None else list(caption)
    if not stages or len(names) != len(stages) or (nme is not None and len(nme) != len(stages)):
        given = None if nme is None else len(nme)
        raise ValueError(f"a strip of {len(stages)} stages cannot take {len(names)} captions and {given} errors")
    bar = max(14, round(height / 12))
    tiles = stage_tiles(image, stages, truth, box, scheme, side=height - bar, visibility=visibility, pose=pose)
    texts = names if nme is None else [f"{name}  {error:.2f} %" for name, error in zip(names, nme, strict=True)]
    return _row(
        [np.vstack([tile, _caption(text, height - bar, bar)]) for tile, text in zip(tiles, texts, strict=True)], gap=2
    )


def stage_tiles(
    image: Image,
    stages: Sequence[ArrayLike],
    truth: ArrayLike | None,
    box: ArrayLike,
    scheme: Scheme,
    *,
    side: int = 256,
    visibility: ArrayLike | None = None,
    pose: ArrayLike | None = None,
) -> list[Image]:
    """The tiles of `stage_strip` without captions, each (side, side, 3) uint8 RGB.

    Raises:
        ValueError: points that are not the scheme's, or an empty box.
    """
    crop, place = _crop(image, np.asarray(box, dtype=np.float64), side)
    if truth is not None:
        points, codes = _checked(truth, visibility, scheme)
        _lines(crop, _mapped(place, points), codes, scheme, TRUTH, 1)
    tiles = []
    for i, stage in enumerate(stages):
        points, codes = _checked(stage, None, scheme)
        tile = crop.copy()
        _overlay(tile, _mapped(place, points), codes, scheme, ESTIMATE)
        if pose is not None and i == len(stages) - 1:
            _axes(tile, _mapped(place, points), np.asarray(pose, dtype=np.float64))
        tiles.append(tile)
    return tiles


def face_tile(
    image: Image,
    landmarks: ArrayLike,
    box: ArrayLike,
    scheme: Scheme,
    *,
    frame: ArrayLike | None = None,
    side: int = 200,
    caption: Sequence[str] = (),
    colour: Colour = ESTIMATE,
    visibility: ArrayLike | None = None,
) -> Image:
    """One labelled face with its box, cut from its image, over lines of text.

    Args:
        image: (H, W, 3) uint8 RGB, the image.
        landmarks: (K, 2) pixels of ``image``.
        box: (4,) ``xyxy``, drawn thin.
        scheme: names the lines between the points.
        frame: (4,) ``xyxy`` to keep in view; the box when left out. The crop is this, made square and 1.6 times larger.
        side: of the picture, pixels.
        caption: lines below the picture, each a twelfth of its side high. Latin letters only.
        colour: RGB of the landmarks.
        visibility: (K,) codes.

    Returns:
        (side and text, side, 3) uint8 RGB.

    Raises:
        ValueError: points that are not the scheme's, or an empty frame.
    """
    points, codes = _checked(landmarks, visibility, scheme)
    corners = np.asarray(box, dtype=np.float64)
    tile, place = _crop(image, corners if frame is None else np.asarray(frame, dtype=np.float64), side)
    _rectangle(tile, _mapped(place, corners.reshape(2, 2)).ravel(), 1)
    _overlay(tile, _mapped(place, points), codes, scheme, colour)
    return np.vstack([tile, *(_caption(line, side, max(14, round(side / 12))) for line in caption)])


def contact_sheet(tiles: Sequence[Image], columns: int) -> Image:
    """Tile pictures row by row; smaller ones keep their size and stand in the middle of a cell as large as the largest.

    Args:
        tiles: at least one (h, w, 3) uint8 RGB; sizes may differ.
        columns: cells per row.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: no tiles, or fewer than one column.
    """
    if not tiles or columns < 1:
        raise ValueError(f"a sheet needs pictures and columns, not {len(tiles)} pictures in {columns} columns")
    height, width = max(t.shape[0] for t in tiles), max(t.shape[1] for t in tiles)
    columns = min(columns, len(tiles))
    cells = [_padded(t, height, width) for t in tiles]
    cells += [_padded(np.empty((0, 0, 3), np.uint8), height, width)] * (-len(cells) % columns)
    rows = [_row(cells[i : i + columns], gap=4) for i in range(0, len(cells), columns)]
    return np.vstack([np.pad(row, ((0, 4 * (i < len(rows) - 1)), (0, 0), (0, 0))) for i, row in enumerate(rows)])


def captioned(picture: Image, text: str) -> Image:
    """A picture over a line of text. Latin letters only."""
    return np.vstack([picture, _caption(text, picture.shape[1], 16)])


def _checked(landmarks: ArrayLike, visibility: ArrayLike | None, scheme: Scheme) -> tuple[Points, NDArray[np.int64]]:
    """(K, 2) points and (K,) visibility codes in which non-finite points count as unlabelled."""
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (scheme.num_landmarks, 2):
        raise ValueError(
            f"landmarks of shape {points.shape} cannot be drawn in scheme {scheme.name!r}, "
            f"which has {scheme.num_landmarks} points; pass the scheme that the model was trained with"
        )
    codes = np.full(len(points), VISIBLE) if visibility is None else np.asarray(visibility, dtype=np.int64)
    codes = np.where(np.isfinite(points).all(axis=1), codes, UNLABELLED)
    return np.clip(points, -DIVERGED, DIVERGED), codes


def _axes(canvas: Image, points: Points, pose: NDArray[np.float64]) -> None:
    """Draw the head's axes from the middle of its points, half as long as the face is large."""
    if not (np.isfinite(points).all() and np.isfinite(pose).all()):
        return
    columns = camera_rotation(torch.from_numpy(pose)).numpy()[:2].T * [[1.0], [1.0], [-1.0]]
    origin, length = points.mean(axis=0), 0.5 * float(np.sqrt(np.ptp(points, axis=0).prod()))
    for axis, colour in zip(columns, AXES, strict=True):
        line = _fixed(np.stack([origin, origin + length * axis]))
        cv2.polylines(canvas, [line], False, colour, 2, cv2.LINE_AA, SHIFT)


def _rectangle(canvas: Image, box: NDArray[np.float64], thickness: int) -> None:
    """Draw a box (4,) ``xyxy`` into ``canvas``, at least a pixel thick; one that is not finite is left out."""
    if np.isfinite(box).all():
        corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]])
        cv2.polylines(canvas, [_fixed(corners)], True, INK, max(1, thickness), cv2.LINE_AA, SHIFT)


def _overlay(canvas: Image, points: Points, codes: NDArray[np.int64], scheme: Scheme, colour: Colour) -> None:
    """Draw lines, discs and rings into ``canvas``, sized by the extent of the labelled points."""
    labelled = points[codes != UNLABELLED]
    if not len(labelled):
        return
    extent = float(np.sqrt(np.maximum(np.ptp(labelled, axis=0), 1).prod()))
    # capped by the picture, because a diverged estimate spans far more than the face
    extent = min(extent, float(max(canvas.shape[:2])))
    thickness = max(1, round(extent / 240))
    # neighbours are about extent / sqrt(K) apart: a twelfth of it keeps discs apart in every scheme
    radius = max(1.25, extent / (12 * float(np.sqrt(len(points)))))
    # a ring is wider than a disc by its line, so that a hole is left at every size
    hidden = _discs(points[codes == OCCLUDED], radius + thickness)
    clean = canvas.copy() if len(hidden) else canvas
    _lines(canvas, points, codes, scheme, colour, thickness)
    if len(hidden):
        # rings are hollow down to the image, not to the line that runs through them
        hole = np.zeros(canvas.shape[:2], np.uint8)
        for disc in hidden:
            cv2.fillConvexPoly(hole, disc, 255, cv2.LINE_AA, SHIFT)
        alpha = hole[..., None].astype(np.float32) / 255
        canvas[:] = (clean * alpha + canvas * (1 - alpha)).round().astype(np.uint8)
        cv2.polylines(canvas, list(hidden), True, colour, thickness, cv2.LINE_AA, SHIFT)
    for disc in _discs(points[codes == VISIBLE], radius):
        cv2.fillConvexPoly(canvas, disc, colour, cv2.LINE_AA, SHIFT)


def _lines(
    canvas: Image, points: Points, codes: NDArray[np.int64], scheme: Scheme, colour: Colour, thickness: int
) -> None:
    """Draw the scheme's polylines, leaving out every piece that ends in an unlabelled point."""
    pieces = [
        points[[a, b]]
        for indices, closed in scheme.skeleton
        for a, b in zip(indices, (*indices[1:], indices[0]) if closed else indices[1:], strict=False)
        if codes[a] != UNLABELLED and codes[b] != UNLABELLED
    ]
    cv2.polylines(canvas, [_fixed(piece) for piece in pieces], False, colour, thickness, cv2.LINE_AA, SHIFT)


def _crop(image: Image, box: NDArray[np.float64], size: int) -> tuple[Image, NDArray[np.float64]]:
    """The square crop around a box as (size, size, 3), and the (2, 3) map from picture to crop pixels."""
    box = np.clip(box, -DIVERGED, DIVERGED)
    side = CROP * float((box[2:] - box[:2]).max())
    if not side > 0:
        raise ValueError(f"box {box} is not x1 < x2, y1 < y2")
    zoom, halvings = size / side, 0
    while zoom * 2**halvings < 0.5:  # bilinear sampling skips pixels below one half
        # pyrDown keeps pixel 0 in place, so that coordinates are simply halved
        image, halvings = np.asarray(cv2.pyrDown(image), dtype=np.uint8), halvings + 1
    offset = (size - 1) / 2 - zoom * (box[:2] + box[2:]) / 2
    place = np.array([[zoom, 0, offset[0]], [0, zoom, offset[1]]])
    small = place * [2**halvings, 2**halvings, 1]
    crop = cv2.warpAffine(
        image, small, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=PAPER
    )
    return np.asarray(crop, dtype=np.uint8), place


def _caption(text: str, width: int, height: int) -> Image:
    """A bar with one line of text, shrunk to fit."""
    bar = np.full((height, width, 3), PAPER, np.uint8)
    (unit_width, unit_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    scale = min(0.55 * height / unit_height, 0.94 * width / max(unit_width, 1))
    origin = (round(0.03 * width), round((height + scale * unit_height) / 2))
    cv2.putText(bar, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)
    return bar


def _row(tiles: Sequence[Image], gap: int) -> Image:
    """Pictures of one height side by side."""
    last = len(tiles) - 1
    return np.hstack([np.pad(tile, ((0, 0), (0, gap * (i < last)), (0, 0))) for i, tile in enumerate(tiles)])


def _padded(tile: Image, height: int, width: int) -> Image:
    """The picture in the middle of a (height, width, 3) cell."""
    cell = np.full((height, width, 3), PAPER, np.uint8)
    top, left = (height - tile.shape[0]) // 2, (width - tile.shape[1]) // 2
    cell[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return cell


def _fitted(photo: Image, largest: int | None) -> tuple[Image, float]:
    """A copy with no side above ``largest``, and the factor by which it was made smaller."""
    longer = max(photo.shape[:2])
    if largest is None or longer <= largest:
        return photo.copy(), 1.0
    height, width = (max(1, round(side * largest / longer)) for side in photo.shape[:2])
    small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8), largest / longer


def _resized(image: Image, scale: int) -> Image:
    """The picture enlarged by a whole factor, bilinearly; the area covered stays the same."""
    size = (image.shape[1] * scale, image.shape[0] * scale)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _mapped(matrix: NDArray[np.float64], points: Points) -> Points:
    """(K, 2) points through a (2, 3) map."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def _fixed(points: Points) -> NDArray[np.int32]:
    """(..., 2) points in OpenCV's fixed-point coordinates."""
    return np.asarray(np.clip(points, -FAR, FAR) * 2**SHIFT).round().astype(np.int32)


def _discs(centres: Points, radius: float) -> NDArray[np.int32]:
    """(N, 24, 2) polygons of discs. OpenCV's own circles are diamonds below a radius of 3 pixels."""
    angle = np.arange(24) * (2 * np.pi / 24)
    rim = radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return _fixed(centres[:, None] + rim)
