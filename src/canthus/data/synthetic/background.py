"""What is behind a head: soft gradients, out-of-focus things, clothes."""

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.canvas import Canvas, Colour, Points, smooth


def paint_background(canvas: Canvas, random: np.random.Generator) -> None:
    """Cover the whole canvas."""
    # painted coarsely and enlarged: backgrounds are out of focus, and sharp ones would cost the most of all parts
    side = 64
    grid = random.integers(2, 7)
    base = muted(random)
    variation = random.uniform(5, 45)
    # brightness varies more than hue, as it does in photographs
    colours = base + variation * (0.3 * random.normal(size=(grid, grid, 3)) + random.normal(size=(grid, grid, 1)))
    picture = cv2.resize(np.clip(colours, 0, 255).astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    for _ in range(random.integers(0, 9)):
        colour = tuple(muted(random).tolist())
        middle, extent = random.uniform(0, side, 2), random.uniform(2, 22, 2)
        angle = random.uniform(0, 180)
        if random.random() < 0.5:
            corners = cv2.boxPoints((tuple(middle.tolist()), tuple(extent.tolist()), angle))
            cv2.fillPoly(picture, [np.round(corners * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)
        else:
            cv2.ellipse(picture, (tuple(middle.tolist()), tuple(extent.tolist()), angle), colour, -1, cv2.LINE_AA)
    picture = cv2.GaussianBlur(picture, (0, 0), float(random.uniform(0.3, 2.5)))
    cv2.resize(picture, canvas.samples.shape[1::-1], dst=canvas.samples, interpolation=cv2.INTER_CUBIC)


def paint_clothes(canvas: Canvas, random: np.random.Generator, neck: Points, width: float) -> Points:
    """Shoulders with a collar.

    Args:
        canvas: picture under construction.
        random: the appearance stream.
        neck: (2,) middle of the neck at collar height, pixels.
        width: of the neck, pixels.

    Returns:
        (n, 2) the line of the collar, from left to right.
    """
    colour: Colour = tuple(muted(random).tolist())
    x = np.array([-2.6, -2.2, -1.2, -0.62, 0.0, 0.62, 1.2, 2.2, 2.6])
    y = np.array([2.5, 0.75, 0.25, 0.0, 0.35, 0.0, 0.25, 0.75, 2.5])
    shoulders = neck + np.column_stack([x, y + 0.05]) * width
    canvas.polygon(smooth(shoulders), colour)
    darker: Colour = (colour[0] * 0.7, colour[1] * 0.7, colour[2] * 0.7)
    line = smooth(shoulders)[15:26]  # smooth puts 5 pieces between neighbours: this is the line from corner 3 to 5
    canvas.stroke(line, 0.06 * width, darker)
    return line


def muted(random: np.random.Generator) -> NDArray[np.float64]:
    """A colour as things have it, seldom saturated: (3,) RGB."""
    grey = random.uniform(15, 225)
    colour = grey + random.normal(size=3) * random.choice([8, 25, 60], p=[0.45, 0.4, 0.15])
    return np.asarray(np.clip(colour, 5, 245))


def skin_colour(random: np.random.Generator) -> NDArray[np.float64]:
    """A skin colour between very dark and very pale, (3,) RGB."""
    tones = np.array([(72, 48, 38), (112, 75, 55), (158, 111, 82), (198, 150, 118), (224, 182, 153), (240, 207, 184)])
    place = random.uniform(0, len(tones) - 1)
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
