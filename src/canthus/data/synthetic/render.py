"""Painting a scene: background, head, light, things in front, camera."""

import cv2
import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.accessories import paint_glasses, paint_occluder
from canthus.data.synthetic.background import hair_colour, paint_background, paint_clothes, skin_colour
from canthus.data.synthetic.canvas import Canvas, Points, smooth
from canthus.data.synthetic.features import mix, paint_brows, paint_eyes, paint_mouth, paint_nose
from canthus.data.synthetic.hair import paint_beard, paint_fringe, paint_hair, paint_long_hair
from canthus.data.synthetic.head import ears, hairline, rotation, skull
from canthus.data.synthetic.light import photograph, shading
from canthus.data.synthetic.scene import Scene

RENDERER = "polygons-1"
"""Enters every fingerprint: change it whenever the same scene begins to give other pixels."""

NECK = np.array([[-0.46, -0.6], [0.46, -0.6], [0.5, 0.75], [0.72, 1.3], [-0.72, 1.3], [-0.5, 0.75]])
"""Corners, in neck widths to the right and interocular distances down."""


def render(scene: Scene, random: np.random.Generator, resolution: int) -> NDArray[np.uint8]:
    """Paint a scene.

    Args:
        scene: what is in it.
        random: the appearance stream: colours, hair, clothes, noise.
        resolution: side of the picture, pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas = Canvas(resolution)
    paint_background(canvas, random)
    _paint_person(canvas, scene, random)
    stranger = skin_colour(random)
    for occluder in scene.occluders:
        paint_occluder(canvas, random, occluder, stranger)
    return photograph(canvas.finish(), scene, random)


def _paint_person(canvas: Canvas, scene: Scene, random: np.random.Generator) -> None:
    """Paint a person from back to front, then let the light fall on everything but hair and glasses before the face."""
    camera, p = scene.camera, scene.landmarks
    turn, whole = rotation(*scene.pose[:2], 0), rotation(*scene.pose)
    width = 1 + 0.05 * scene.traits.width

    def seen(points: Points) -> Points:
        return camera.project(points @ whole.T)

    skin, hair = skin_colour(random), hair_colour(random)
    bald = random.random() < 0.07
    crown = seen(skull(turn, width))
    mass = crown if bald else crown.mean(0) + (crown - crown.mean(0)) * random.uniform(1.02, 1.13)
    neck = seen(np.array([[0.0, 0.95, -0.6]]))[0]
    neck_width = random.uniform(0.85, 1.05) * camera.scale
    collar = neck + np.array([0, random.uniform(0.75, 0.95) * camera.scale])
    if not bald and random.random() < 0.45:
        paint_long_hair(canvas, random, mass, collar, hair)
    mass = smooth(mass, closed=True)
    if bald:
        canvas.polygon(mass, mix(skin, (0, 0, 0), 0.03))
    else:
        paint_hair(canvas, random, mass, hair)
    # darker than the face, which throws its shadow here: the jaw line must be seen
    column = neck + NECK * (neck_width, camera.scale)
    canvas.polygon(column, mix(skin, (40, 15, 10), 0.38))
    line = paint_clothes(canvas, random, collar, neck_width)
    # the collar is wider than the neck; light falls on the neck only
    across = np.linspace(column[0, 0], column[1, 0], 9)
    open_neck = np.column_stack([across, np.interp(across, line[:, 0], line[:, 1])])
    for ear in ears(width):
        edge = smooth(seen(ear), closed=True)
        canvas.polygon(edge, mix(skin, (120, 40, 30), 0.15))
        canvas.polygon(edge.mean(0) + (edge - edge.mean(0)) * 0.55, mix(skin, (90, 30, 20), 0.4), 0.7)

    border = seen(hairline(turn, width, float(random.normal() * 0.06)))
    jaw = smooth(p[:17])
    canvas.polygon(np.concatenate([jaw, smooth(border[::-1])]), mix(skin, (0, 0, 0), 0))
    canvas.stroke(smooth(p[1:16]), [0.0, 0.016 * camera.scale, 0.0], mix(skin, (50, 20, 15), 0.5), 0.6)
    paint_beard(canvas, random, scene, hair)
    paint_nose(canvas, scene, skin)
    paint_mouth(canvas, random, scene, skin)
    paint_eyes(canvas, random, scene, skin)
    paint_brows(canvas, random, scene, np.array(mix(hair, (30, 20, 15), random.uniform(0.1, 0.5))))
    gain = shading(scene, canvas.size, [mass, jaw, np.concatenate([column[:2], open_neck[::-1]])])
    canvas.samples = np.asarray(cv2.multiply(canvas.samples, cv2.merge([gain] * 3), scale=1 / 128), dtype=np.uint8)
    if not bald and random.random() < 0.3:
        paint_fringe(canvas, random, border, scene, hair)
    if random.random() < 0.2 and not any(occluder.kind == "sunglasses" for occluder in scene.occluders):
        paint_glasses(canvas, random, scene, seen)
