"""What is behind a head, out of focus: gradients, clouds, things with edges, lamps; and colours that things have."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["background", "hair_colour", "muted", "skin_colour"]


def background(random: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) uint8 RGB."""
    side = 96  # what is out of focus needs no more, and is enlarged
    grid = int(random.integers(2, 7))
    base, variation = muted(random), random.uniform(5, 45)
    # brightness varies more than hue, as it does in images
    colours = base + variation * (0.18 * random.normal(size=(grid, grid, 3)) + random.normal(size=(grid, grid, 1)))
    picture: Any = cv2.resize(np.clip(colours, 0, 255).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    for octave in range(2, 6):  # leaves, walls, crowds: as much contrast at every size
        if random.random() < 0.6:
            cells = 2**octave
            clouds = random.normal(size=(cells, cells, 1)) * random.uniform(0, 22) * (1, 1, 1)
            clouds = clouds + random.normal(size=(cells, cells, 3)) * random.uniform(0, 4)
            picture = picture + cv2.resize(clouds.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(int(random.integers(0, 12))):
        _thing(picture, random, side)
    sharpness = float(random.choice([0.4, 1.2, 2.5, 5.0]))
    picture = cv2.GaussianBlur(picture, (0, 0), sharpness)
    if random.random() < 0.12:
        for _ in range(int(random.integers(3, 14))):  # lamps and sky between leaves are discs out of focus
            centre, radius = random.integers(0, side, 2).tolist(), int(random.integers(2, 7))
            disc = np.zeros((side, side, 1), np.float32)
            cv2.circle(disc, centre, radius, 1.0, -1, cv2.LINE_AA)
            lamp = np.clip(muted(random) + 90, 0, 255)
            picture = (picture + disc.reshape(side, side, 1) * random.uniform(0.2, 0.8) * (lamp - picture)).astype(
                np.uint8
            )
    enlarged = cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, dtype=np.uint8)


def _thing(picture: NDArray[np.uint8], random: np.random.Generator, side: int) -> None:
    colour = tuple(muted(random).tolist())
    middle, extent = random.uniform(0, side, 2), random.uniform(2, 34, 2)
    angle = float(random.uniform(0, 180) if random.random() < 0.5 else random.choice([0, 90]))
    kind = random.random()
    if kind < 0.45:
        corners = cv2.boxPoints((tuple(middle.tolist()), tuple(extent.tolist()), angle))
        cv2.fillPoly(picture, [np.round(corners * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)
    elif kind < 0.75:
        cv2.ellipse(picture, (tuple(middle.tolist()), tuple(extent.tolist()), angle), colour, -1, cv2.LINE_AA)
    else:
        end = middle + side * random.normal(size=2)
        ends = [tuple(int(x) for x in point) for point in (middle, end)]
        cv2.line(picture, ends[0], ends[1], colour, int(random.integers(1, 7)), cv2.LINE_AA)


def muted(random: np.random.Generator) -> NDArray[np.float64]:
    """A colour as things have it, seldom saturated: (3,) RGB."""
    grey = random.uniform(15, 225)
    colour = grey + random.normal(size=3) * random.choice([7, 18, 50], p=[0.5, 0.42, 0.08])
    return np.asarray(np.clip(colour, 5, 245))


def skin_colour(random: np.random.Generator) -> NDArray[np.float64]:
    """A skin colour between very dark and very pale, (3,) RGB."""
    tones = np.array([(72, 48, 38), (112, 75, 55), (158, 111, 82), (198, 150, 118), (224, 182, 153), (240, 207, 184)])
    place = random.uniform(0, len(tones) - 1) ** 0.8 * (len(tones) - 1) ** 0.2
    tone = [np.interp(place, np.arange(len(tones)), tones[:, channel]) for channel in range(3)]
    return np.asarray(np.array(tone) * random.uniform(0.95, 1.05, 3))


def hair_colour(random: np.random.Generator) -> NDArray[np.float64]:
    """Black to blond, red or grey, (3,) RGB."""
    tones = np.array(
        [
            (22, 18, 17),
            (38, 27, 22),
            (60, 40, 28),
            (92, 62, 40),
            (140, 100, 60),
            (188, 155, 105),
            (120, 58, 32),
            (165, 163, 160),
        ]
    )
    share = np.array([5, 5, 4, 3, 2, 2, 1, 1.5])
    tone = tones[random.choice(len(tones), p=share / share.sum())]
    return np.asarray(tone * random.uniform(0.85, 1.15))
