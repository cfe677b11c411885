"""Eyes, brows, nose and mouth, painted on the very points that the labels hold."""

import numpy as np
from numpy.typing import NDArray

from canthus.data.synthetic.canvas import Canvas, Colour, normals, smooth
from canthus.data.synthetic.scene import Scene

IRISES = ((70, 45, 30), (95, 65, 40), (60, 40, 28), (90, 110, 80), (85, 120, 150), (110, 125, 135))


def mix(a: NDArray[np.float64] | Colour, b: NDArray[np.float64] | Colour, share: float) -> Colour:
    """``a`` with a ``share`` of ``b`` in it."""
    red, green, blue = (np.asarray(a) * (1 - share) + np.asarray(b) * share).tolist()
    return red, green, blue


def paint_eyes(canvas: Canvas, random: np.random.Generator, scene: Scene, skin: NDArray[np.float64]) -> None:
    """Eyeball between the lids, iris and pupil where the gaze goes, lashes along the upper lid's points, a crease."""
    scale = scene.camera.scale
    iris: Colour = IRISES[random.choice(len(IRISES), p=[0.3, 0.2, 0.25, 0.07, 0.1, 0.08])]
    white = mix((236, 233, 228), skin, 0.15)
    lashes = random.uniform(0.018, 0.04) * scale
    for first, outwards in ((36, -1), (42, 1)):
        p = scene.landmarks[first : first + 6]
        corners, upper, lower = p[[0, 3]], smooth(p[:4]), smooth(p[[3, 4, 5, 0]])
        width = float(np.linalg.norm(corners[1] - corners[0]))
        along = (corners[1] - corners[0]) / (width + 1e-9)
        down = np.array([-along[1], along[0]])
        opening = np.concatenate([upper, lower])
        # where an open lid would be: the eyeball does not move when the lid closes over it
        middle = p[[4, 5]].mean(0) * 0.62 + p[[1, 2]].mean(0) * 0.38 - 0.012 * scale * down
        centre = middle + scene.gaze[0] * 0.17 * width * along + scene.gaze[1] * 0.02 * scale * down
        with canvas.clipped(opening):
            canvas.polygon(opening, white)
            inner = corners[1] if outwards < 0 else corners[0]
            canvas.disc(inner, 0.022 * scale, mix((205, 120, 110), skin, 0.3))
            canvas.disc(centre, 0.064 * scale, mix(iris, (0, 0, 0), 0.55))
            canvas.disc(centre, 0.056 * scale, iris)
            canvas.disc(centre, 0.028 * scale, (12, 10, 10))
            canvas.disc(centre + np.array([0.018, -0.02]) * scale, 0.011 * scale, (245, 245, 245))
            # the upper lid's shadow on the eyeball
            canvas.stroke(upper + 0.012 * scale * down, 0.03 * scale, mix(white, (40, 25, 20), 0.8), 0.45)
        canvas.stroke(lower, [0.006 * scale, 0.014 * scale, 0.006 * scale], mix(skin, (90, 40, 35), 0.6), 0.8)
        canvas.stroke(upper, [0.4 * lashes, lashes, lashes, 0.4 * lashes], mix(skin, (20, 12, 10), 0.85))
        crease = smooth(p[:4] - np.array([0.01, 0.05, 0.05, 0.025])[:, None] * scale * down)
        canvas.stroke(crease, [0.004 * scale, 0.014 * scale, 0.004 * scale], mix(skin, (60, 25, 20), 0.5), 0.7)


def paint_brows(canvas: Canvas, random: np.random.Generator, scene: Scene, colour: NDArray[np.float64]) -> None:
    """Tapered bands with hairs; the labelled line runs through the band, nearer to its upper border."""
    scale = scene.camera.scale
    thick = random.uniform(0.05, 0.1) * scale
    alpha = random.uniform(0.65, 0.95)
    for p in (scene.landmarks[17:22], scene.landmarks[26:21:-1]):
        line = smooth(p)
        along = np.gradient(line, axis=0)
        down = normals(line)
        down *= np.sign(down @ (scene.landmarks[57] - scene.landmarks[27])).reshape(-1, 1)
        # thin at the temple, thickest before the inner end
        half = np.interp(np.linspace(0, 1, len(line)), [0, 0.3, 0.75, 1], [0.15, 0.6, 1, 0.8])[:, None] * thick
        band = np.concatenate([line - 0.35 * half * down, (line + 0.65 * half * down)[::-1]])
        canvas.polygon(band, mix(colour, (0, 0, 0), 0.1), alpha)
        for i in range(0, len(line) - 2, 2):
            root, tip = line[i] + 0.55 * half[i] * down[i], line[i] - 0.3 * half[i] * down[i] - 1.2 * along[i]
            canvas.stroke(np.stack([root, tip]), [0.016 * scale, 0.003 * scale], mix(colour, (0, 0, 0), 0.4), 0.7)


def paint_nose(canvas: Canvas, scene: Scene, skin: NDArray[np.float64]) -> None:
    """Nostrils, the wings' outline and the shadowed edge along the base points."""
    p, scale = scene.landmarks, scene.camera.scale
    dark = mix(skin, (60, 22, 15), 0.65)
    up = p[27] - p[33]
    up /= np.linalg.norm(up) + 1e-9
    across = p[35] - p[31]
    for outer, inner in ((31, 32), (35, 34)):
        middle = 0.42 * p[outer] + 0.58 * p[inner] + 0.022 * scale * up
        half = (p[inner] - p[outer]) * 0.52
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)[:, None]
        canvas.polygon(
            middle + np.cos(angle) * half + np.sin(angle) * 0.026 * scale * up, mix(skin, (25, 8, 5), 0.85), 0.9
        )
        away = np.sign((p[outer] - p[33]) @ across) * across
        wing = np.array(
            [p[outer], p[outer] + 0.05 * away * 1.6 + 0.06 * scale * up, p[outer] + 0.03 * away + 0.15 * scale * up]
        )
        canvas.stroke(smooth(wing), [0.024 * scale, 0.018 * scale, 0.002 * scale], dark, 0.7)
    base = smooth(p[31:36])
    canvas.stroke(base, [0.014 * scale, 0.02 * scale, 0.014 * scale], dark, 0.75)


def paint_mouth(canvas: Canvas, random: np.random.Generator, scene: Scene, skin: NDArray[np.float64]) -> None:
    """Both lips between their contours; behind them teeth and tongue as far as the mouth is open."""
    p, scale = scene.landmarks, scene.camera.scale
    made_up = random.random() < 0.25
    lip = mix(skin * (0.86, 0.6, 0.6), (170, 35, 55), random.uniform(0.3, 0.7) if made_up else random.uniform(0, 0.2))
    upper_out, lower_out = smooth(p[48:55]), smooth(p[[54, 55, 56, 57, 58, 59, 48]])
    upper_in, lower_in = smooth(p[60:65]), smooth(p[[64, 65, 66, 67, 60]])
    canvas.polygon(np.concatenate([upper_out, lower_out]), lip)
    canvas.polygon(np.concatenate([upper_out, upper_in[::-1]]), mix(lip, (60, 15, 15), 0.22))
    lower_middle = (p[65:68] * 0.5 + p[[56, 57, 58]] * 0.5)[::-1]
    canvas.stroke(
        smooth(lower_middle), [0.005 * scale, 0.035 * scale, 0.005 * scale], mix(lip, (255, 235, 230), 0.4), 0.4
    )
    opening = np.concatenate([upper_in, lower_in])
    gap = float(np.linalg.norm(p[66] - p[62])) / scale
    with canvas.clipped(opening):
        canvas.polygon(opening, (58, 18, 20))
        down = (p[57] - p[51]) / (np.linalg.norm(p[57] - p[51]) + 1e-9)
        teeth = np.concatenate(
            [upper_in - 0.05 * scale * down, (upper_in + min(0.085, 0.75 * gap) * scale * down)[::-1]]
        )
        if gap > 0.02:
            canvas.polygon(teeth, mix((232, 226, 212), (58, 18, 20), 0.1))
        if gap > 0.15:
            canvas.disc(p[66] + 0.06 * scale * down, 0.13 * scale, (165, 80, 82))
    if gap < 0.04:
        canvas.stroke(smooth(p[60:65]), [0.008 * scale, 0.022 * scale, 0.008 * scale], mix(lip, (35, 5, 8), 0.7))
    canvas.stroke(lower_out[2:-2], 0.012 * scale, mix(lip, (60, 15, 15), 0.4), 0.4)
