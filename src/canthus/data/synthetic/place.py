"""Where people stand: a street, a field or a room, in the perspective of a level camera."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.background import background, muted

__all__ = ["place"]

Picture = NDArray[np.float32]


def place(random: np.random.Generator, size: int, horizon: float, floor: float) -> NDArray[np.uint8]:
    """Paint a place.

    Args:
        random: of the image.
        size: side of the image, pixels.
        horizon: row of what is as high as the camera.
        floor: row where floor and wall meet, below the horizon.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    kind = random.choice(["outdoors", "room", "blur"], p=[0.4, 0.4, 0.2])
    if kind == "blur":
        return background(random, size)
    picture = (_outdoors if kind == "outdoors" else _room)(random, size, horizon, floor)
    picture = picture + _clouds(random, size, 32) * random.uniform(1, 5)
    out_of_focus = float(random.choice([0.5, 1.0, 2.0, 4.0])) * size / 384
    return np.asarray(np.clip(cv2.GaussianBlur(picture, (0, 0), out_of_focus), 0, 255), dtype=np.uint8)


def _clouds(random: np.random.Generator, size: int, cells: int) -> Picture:
    """(size, size, 1) smooth noise of standard deviation about 1."""
    grid = random.normal(size=(cells, cells)).astype(np.float32)
    enlarged: Any = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged[..., None])


def _outdoors(random: np.random.Generator, size: int, horizon: float, floor: float) -> Picture:
    """Sky, trees or houses, and ground."""
    rows = np.arange(size, dtype=np.float32)[:, None, None]
    high = np.array([[120, 165, 220], [170, 185, 205], [205, 210, 215]][int(random.integers(3))])
    low = np.clip(high + random.uniform(15, 45), 0, 250)
    picture = np.array(high + (low - high) * np.clip(rows / max(horizon, 1), 0, 1), dtype=np.float32)
    picture = np.repeat(picture, size, 1) + 9 * np.clip(_clouds(random, size, 6), 0, 3)
    if random.random() < 0.5:
        _houses(picture, random, size, horizon)
    else:
        green = np.array([70, 95, 50]) * random.uniform(0.6, 1.2)
        crowns = np.full(size, horizon) - size * random.uniform(0.04, 0.2)
        for cells in (4, 9, 20):
            line = np.interp(np.linspace(0, cells - 1, size), np.arange(cells), random.normal(size=cells))
            crowns = crowns + line * size * 0.22 / cells
        leaves = 16 * _clouds(random, size, 40) + 12 * _clouds(random, size, 14)
        picture = np.where(rows > crowns[None, :, None], green + leaves, picture)
    ground = np.array([[95, 115, 60], [150, 140, 125], [120, 120, 122]][int(random.integers(3))])
    ground = ground * random.uniform(0.75, 1.15)
    near = np.clip((rows - floor) / max(size - floor, 1), 0, 1)
    grass = ground * (1.08 - 0.25 * near) + 7 * _clouds(random, size, 48) * near
    return np.where(rows > floor, grass, picture).astype(np.float32)


def _houses(picture: Picture, random: np.random.Generator, size: int, horizon: float) -> None:
    left = -random.uniform(0, 0.2) * size
    while left < size:
        width, top = random.uniform(0.18, 0.45) * size, horizon - random.uniform(-0.05, 0.4) * size
        wall, glass = muted(random) * 0.5 + 75, muted(random) * 0.4 + 20
        _box(picture, left, top, width, size - top, wall.tolist())
        columns, gap = int(random.integers(2, 6)), random.uniform(0.05, 0.09) * size
        pane = width / columns
        for column in range(columns):
            for row in range(int(size / gap)):
                x, y = left + (column + 0.25) * pane, top + (row + 0.3) * 1.5 * gap
                _box(picture, x, y, 0.5 * pane, gap, glass.tolist())
        left += width


def _room(random: np.random.Generator, size: int, horizon: float, floor: float) -> Picture:
    """A wall with a window, pictures, shelves or a door, and a floor with boards."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    wall = muted(random) * 0.4 + 125
    lit = 1 + random.uniform(-0.2, 0.2) * (columns / size - 0.5) + random.uniform(-0.15, 0.1) * (rows / size - 0.5)
    picture = np.asarray(wall * lit[..., None], dtype=np.float32)
    tall = max(floor - horizon, 0.1 * size)  # about as high as a person
    for _ in range(int(random.integers(1, 5))):
        x, kind = random.uniform(-0.1, 0.9) * size, random.choice(["window", "picture", "shelf", "door"])
        if kind == "window":
            _framed(picture, x, horizon - 0.5 * tall, 0.7 * tall, 0.85 * tall, (225, 222, 215), (235, 243, 250), 2)
        elif kind == "picture":
            width, height = tall * random.uniform(0.2, 0.5, 2)
            y, inside = horizon - random.uniform(0, 0.4) * tall, background(random, 48).mean((0, 1))
            _framed(picture, x, y, width, height, (muted(random) * 0.5).tolist(), inside.tolist())
        elif kind == "door":
            leaf = muted(random) * 0.5 + 60
            _framed(picture, x, floor - 1.15 * tall, 0.5 * tall, 1.2 * tall, (wall * 0.75).tolist(), leaf.tolist())
        else:
            _shelf(picture, random, x, horizon - 0.4 * tall, tall)
    boards = muted(random) * 0.3 + np.array([85, 62, 45])
    # boards run to the point where the view ends
    across = (columns - size / 2) / np.maximum(rows - horizon, 1) * 6
    pattern = 1 + 0.10 * np.sin(np.floor(across) * 12.9898) - 0.22 * (across - np.floor(across) < 0.06)
    ground = boards * pattern[..., None]
    skirting = (rows > floor - 0.03 * tall)[..., None]
    picture = np.where(skirting, np.clip(wall * 1.15, 0, 250), picture)
    return np.where((rows > floor)[..., None], ground, picture).astype(np.float32)


def _box(picture: Picture, x: float, y: float, width: float, height: float, colour: Any) -> None:
    cv2.rectangle(picture, (round(x), round(y)), (round(x + width), round(y + height)), colour, -1)


def _framed(
    picture: Picture, x: float, y: float, width: float, height: float, frame: Any, inside: Any, panes: int = 1
) -> None:
    """A rectangle of ``panes`` times ``panes`` smaller ones."""
    _box(picture, x, y, width, height, frame)
    edge = 0.07 * min(width, height)
    across, down = (width - edge) / panes, (height - edge) / panes
    for column in range(panes):
        for row in range(panes):
            corner = x + edge + column * across, y + edge + row * down
            _box(picture, *corner, across - edge, down - edge, inside)


def _shelf(picture: Picture, random: np.random.Generator, x: float, y: float, tall: float) -> None:
    wood = tuple((muted(random) * 0.4 + (50, 35, 20)).tolist())
    width, gap = random.uniform(0.5, 1.0) * tall, 0.27 * tall
    _box(picture, x, y, width, 1.5 * tall, wood)
    for board in range(5):
        book, bottom = x + 0.03 * tall, y + (board + 0.95) * gap
        while book < x + width - 0.08 * tall:
            thick, high = random.uniform(0.02, 0.06) * tall, random.uniform(0.55, 0.85) * gap
            colour = tuple(muted(random).tolist())
            _box(picture, book, bottom - high, thick, high, colour)
            book += thick
