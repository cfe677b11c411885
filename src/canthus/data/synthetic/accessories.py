"""Glasses, and the things that hide parts of a face."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.background import muted
from canthus.data.synthetic.canvas import Canvas, Colour, Points, smooth
from canthus.data.synthetic.features import mix
from canthus.data.synthetic.occluders import Occluder
from canthus.data.synthetic.scene import Scene

DARK, LIGHT = (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)


def paint_glasses(canvas: Canvas, random: np.random.Generator, scene: Scene, seen: Callable[[Points], Points]) -> None:
    """Rims, bridge and temples; lenses are clear, so the eyes stay visible.

    Args:
        canvas: picture under construction.
        random: the appearance stream.
        scene: gives pose and scale.
        seen: head frame (n, 3) to pixels (n, 2).
    """
    frames = ((25, 22, 22), (70, 45, 30), (150, 125, 80), (120, 120, 125), (140, 30, 40))
    colour: Colour = frames[random.choice(len(frames), p=[0.4, 0.2, 0.12, 0.2, 0.08])]
    width = random.uniform(0.018, 0.05) * scene.camera.scale
    half, tall, square = random.uniform(0.2, 0.26), random.uniform(0.13, 0.19), random.uniform(0.5, 1)
    angle = np.linspace(0, 2 * np.pi, 25)
    u = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** square
    v = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** square
    for side in (-1, 1):
        # the far lens is seen at a slant; lenses wrap a little round the face
        rim = np.column_stack([side * (0.345 + half * u), 0.03 + tall * v, 0.24 - 0.12 * u])
        canvas.polygon(seen(rim), LIGHT, 0.06)
        canvas.stroke(seen(rim), width, colour)
        hinge = np.array([(side * (0.345 + half), -0.02, 0.12), (side * 0.79, -0.04, -0.55)])
        # the temple on the side turned away is behind the cheek
        if side * scene.pose[0] < 0.12:
            canvas.stroke(seen(hinge), width, colour)
    bridge = np.array([(-0.345 + half, 0.0, 0.36), (0, -0.02, 0.4), (0.345 - half, 0.0, 0.36)])
    canvas.stroke(smooth(seen(bridge)), width, colour)


def paint_occluder(canvas: Canvas, random: np.random.Generator, occluder: Occluder, skin: NDArray[np.float64]) -> None:
    """Paint the very polygons that decide on visibility."""
    colour: Colour = tuple(muted(random).tolist())
    match occluder.kind:
        case "hand":
            _paint_hand(canvas, occluder.pieces, skin, colour)
        case "sunglasses":
            _paint_sunglasses(canvas, occluder.pieces)
        case "mask":
            _paint_mask(canvas, occluder.pieces[0], mix(colour, (190, 215, 230), 0.8))
        case _:
            for piece in occluder.pieces:
                canvas.polygon(piece, colour)
            _decorate(canvas, random, occluder.pieces[-1], colour)


def _paint_hand(canvas: Canvas, pieces: tuple[Points, ...], skin: NDArray[np.float64], sleeve: Colour) -> None:
    width = float(np.linalg.norm(pieces[2][0] - pieces[2][1])) * 0.035
    for number, piece in enumerate(pieces):
        if number == 0:
            canvas.polygon(piece, sleeve)
            canvas.polygon(
                np.concatenate([piece[:2], piece[1:2] * 0.8 + piece[2:3] * 0.2, piece[:1] * 0.8 + piece[3:] * 0.2]),
                mix(skin, DARK, 0.1),
            )
            continue
        canvas.polygon(piece, mix(skin, (255, 200, 170), 0.08))
        if number == 2:
            continue  # the palm joins the fingers without a line
        canvas.stroke(np.concatenate([piece, piece[:1]]), width, mix(skin, (60, 20, 10), 0.45), 0.6)
        canvas.stroke(piece[[4, 13]], 1.6 * width, mix(skin, LIGHT, 0.3), 0.25)
        nail = piece[13] * 0.97 + piece[4] * 0.03
        if number > 2:
            canvas.disc(nail * 0.9 + piece[[9, 17]].mean(0) * 0.1, 1.6 * width, mix(skin, (255, 215, 205), 0.5))


def _paint_sunglasses(canvas: Canvas, lenses: tuple[Points, ...]) -> None:
    a, b = lenses[0], lenses[1]
    size = float(np.linalg.norm(np.ptp(a, axis=0)))
    canvas.stroke(np.stack([a.mean(0), b.mean(0)]), 0.08 * size, (25, 22, 22))
    for lens in lenses:
        canvas.polygon(lens, (28, 26, 30))
        with canvas.clipped(lens):
            middle = lens.mean(0)
            shine = middle + np.array([(-0.25, -0.2), (0.05, -0.25), (-0.1, 0.1), (-0.3, 0.1)]) * size
            canvas.polygon(shine, (150, 160, 175), 0.25)


def _paint_mask(canvas: Canvas, edge: Points, colour: Colour) -> None:
    canvas.polygon(edge, colour)
    low, high = edge[[0, 12]], edge[[2, 10]]
    for share in (0.2, 0.6, 1.0):
        ends = low * (1 - share) + high * share
        middle = ends.mean(0) + 0.12 * (edge[6] - edge[13])
        pleat = smooth(np.stack([ends[0], middle, ends[1]]))
        canvas.stroke(pleat, [0.3, 0.012 * float(np.ptp(edge[:, 0])), 0.3], mix(colour, DARK, 0.35), 0.6)
    canvas.stroke(np.concatenate([edge, edge[:1]]), 0.02 * float(np.ptp(edge[:, 0])), mix(colour, DARK, 0.2), 0.7)


def _decorate(canvas: Canvas, random: np.random.Generator, body: Points, colour: Colour) -> None:
    """A darker side, an edge and some stripes: enough to look like a thing with a surface."""
    extent = float(np.ptp(body, axis=0).min())
    middle = body.mean(0)
    with canvas.clipped(body):
        other: Colour = tuple(muted(random).tolist())
        for place in random.uniform(-0.45, 0.45, random.integers(0, 4)).tolist():
            stripe = middle + np.array([(-0.5, place), (0.5, place)]) * 3 * extent * (0.3, 0.8)
            canvas.stroke(stripe, 0.07 * extent, other, 0.8)
        canvas.polygon(body + np.array([0.72 * extent, 0]), DARK, 0.3)
        canvas.stroke(np.concatenate([body, body[:1]]), 0.05 * extent, mix(colour, DARK, 0.5), 0.7)
