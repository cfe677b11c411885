"""The loaders that `data_path.py` compares with canthus, rebuilt from how they are published, and the task they share.

The task: one map from input to image pixels per sample, drawn by `draw`. Every contender gives the picture and the
68 landmarks in input pixels under that map. Shortcuts that a rebuild allows are taken in the contender's favour.
"""

import math
import random
from dataclasses import dataclass, replace
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from canthus.data.batch import SCALINGS, InputSpec
from canthus.data.face import Face
from canthus.schemes import load_scheme

ROTATION, SCALE, SHIFT, FLIP = 30.0, 0.2, 0.05, 0.5
"""Half-widths in degrees, of the factor and in boxes; probability of a mirror."""
MAP_SIDE, SIGMA = 64, 1.5
PERMUTATION = np.array(load_scheme("68").flip)

Sample = tuple[NDArray, NDArray]


@dataclass(frozen=True)
class Draw:
    """What is random in one sample.

    Attributes:
        angle: radians by which the sampling frame turns, x towards y.
        scale: image pixels per input pixel, relative to the plain crop.
        shift: of the sampling frame, in boxes.
        flip: mirror left and right.
    """

    angle: float
    scale: float
    shift: tuple[float, float]
    flip: bool


def draw(generator: random.Random) -> Draw:
    """Draw one sample's geometry."""
    return Draw(
        math.radians(generator.uniform(-ROTATION, ROTATION)),
        generator.uniform(1 - SCALE, 1 + SCALE),
        (generator.uniform(-SHIFT, SHIFT), generator.uniform(-SHIFT, SHIFT)),
        generator.random() < FLIP,
    )


def perturbation(drawn: Draw, spec: InputSpec) -> NDArray:
    """(3, 3) what a draw does within the input frame: mirror, then rotate and scale about the box, then shift."""
    x1, y1, x2, y2 = spec.reference_box
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    c, s = drawn.scale * math.cos(drawn.angle), drawn.scale * math.sin(drawn.angle)
    dx, dy = drawn.shift[0] * (x2 - x1), drawn.shift[1] * (y2 - y1)
    turn = np.array([[c, -s, cx - c * cx + s * cy + dx], [s, c, cy - s * cx - c * cy + dy], [0, 0, 1]])
    return turn @ np.array([[-1, 0, 2 * cx], [0, 1, 0], [0, 0, 1]]) if drawn.flip else turn


def moved(drawn: Draw, spec: InputSpec) -> NDArray:
    """(2,) input pixels by which the middle of the face box leaves its place in the picture."""
    middle = np.array(spec.reference_box).reshape(2, 2).mean(0)
    return transform(np.linalg.inv(perturbation(drawn, spec)), middle[None])[0] - middle


def whole_pixels(drawn: Draw, spec: InputSpec) -> Draw:
    """The draw whose picture moves by whole pixels, as albumentations rounds it."""
    edges = np.array(spec.reference_box).reshape(2, 2)
    middle, side = edges.mean(0), edges[1] - edges[0]
    turn = perturbation(replace(drawn, shift=(0.0, 0.0)), spec)
    shift = (middle - transform(turn, (middle + np.round(moved(drawn, spec)))[None])[0]) / side
    return replace(drawn, shift=(float(shift[0]), float(shift[1])))


def placement(face: Face, spec: InputSpec) -> NDArray:
    """(3, 3) upright map from input to image pixels: box centres meet, scale is the mean of the side ratios."""
    reference, box = np.array(spec.reference_box), face.box
    scale = ((box[2:] - box[:2]) / (reference[2:] - reference[:2])).mean()
    offset = (box[:2] + box[2:]) / 2 - scale * (reference[:2] + reference[2:]) / 2
    return np.array([[scale, 0, offset[0]], [0, scale, offset[1]], [0, 0, 1]])


def transform(matrix: NDArray, points: NDArray) -> NDArray:
    """Map (K, 2) points by a (3, 3) matrix."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def mirror(width: int) -> NDArray:
    """(3, 3) mirror of a picture ``width`` pixels wide."""
    return np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])


def decode(path: Path, channels: int) -> NDArray[np.uint8]:
    """Decode with OpenCV; grey is decoded as grey, which spares the contenders the colour planes."""
    if channels == 1:
        return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)[..., None]
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), cv2.COLOR_BGR2RGB)


def heat_maps(points: NDArray, size: int, dtype: type) -> NDArray:
    """(K, 64, 64) gaussians drawn one by one, cut at three deviations about the rounded centre (HRNet, mmpose)."""
    maps = np.zeros((len(points), MAP_SIDE, MAP_SIDE), dtype=dtype)
    radius = round(3 * SIGMA)
    for target, point in zip(maps, points, strict=True):
        x, y = (round((float(value) + 0.5) * MAP_SIDE / size - 0.5) for value in point)
        left, top, right, bottom = x - radius, y - radius, x + radius + 1, y + radius + 1
        if left >= MAP_SIDE or top >= MAP_SIDE or right <= 0 or bottom <= 0:
            continue
        axis = np.arange(2 * radius + 1, dtype=np.float32)
        patch = np.exp(-((axis - radius) ** 2 + (axis[:, None] - radius) ** 2) / (2 * SIGMA**2))
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, MAP_SIDE), min(bottom, MAP_SIDE)
        target[y0:y1, x0:x1] = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    return maps


@dataclass(frozen=True)
class Field:
    """HRNet-Facial-Landmark-Detection's dataset class: Pillow, float32 image, padded crop, rotate, resize.

    The original also stretches the grey range twice per sample and rebuilds the matrix for every point; left out.
    """

    spec: InputSpec

    def __call__(self, face: Face, drawn: Draw) -> Sample:
        """Image (C, S, S) float32, landmarks (68, 2) float32."""
        size, channels = self.spec.size, self.spec.channels
        image = np.array(Image.open(face.image).convert("RGB" if channels == 3 else "L"), dtype=np.float32)
        matrix, points = placement(face, self.spec) @ perturbation(drawn, self.spec), face.landmarks
        if drawn.flip:
            image = np.fliplr(image)
            flipped = mirror(image.shape[1])
            matrix, points = flipped @ matrix, transform(flipped, points)[PERMUTATION]
        cut = self._crop(image, matrix).astype(np.float32).reshape(size, size, channels)
        mean, deviation = SCALINGS[self.spec.scaling]
        cut = (cut / 255.0 - np.array(mean, np.float32)) / np.array(deviation, np.float32)
        to_input = np.linalg.inv(matrix)
        moved = np.stack([(to_input @ np.array([x, y, 1.0]))[:2] for x, y in points])  # point by point, as they do
        return np.ascontiguousarray(cut.transpose(2, 0, 1)), moved.astype(np.float32)

    def _crop(self, image: NDArray, matrix: NDArray) -> NDArray:
        size = self.spec.size
        scale, angle = math.hypot(matrix[0, 0], matrix[1, 0]), math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
        centre = transform(matrix, np.full((1, 2), (size - 1) / 2))[0]
        side = scale * size
        if scale >= 2:  # their way to spare work on large faces: shrink the whole image first
            height, width = (int(edge / scale) for edge in image.shape[:2])
            centre = (centre + 0.5) * [width / image.shape[1], height / image.shape[0]] - 0.5
            image = np.asarray(_pillow(image).resize((width, height), Image.Resampling.BILINEAR))
            side = float(size)
        pad = int(side * (math.sqrt(2) - 1) / 2)  # context for the rotation
        edge = round(side) + 2 * pad
        left, top = (round(value - (edge - 1) / 2) for value in centre)
        padded = np.zeros((edge, edge, *image.shape[2:]), dtype=np.float32)
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + edge, image.shape[1]), min(top + edge, image.shape[0])
        padded[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
        turned = np.asarray(_pillow(padded).rotate(angle, Image.Resampling.BILINEAR))
        turned = turned[pad : edge - pad, pad : edge - pad]
        return np.asarray(Image.fromarray(turned).resize((size, size), Image.Resampling.BILINEAR))


def _pillow(image: NDArray) -> Image.Image:
    return Image.fromarray(image.astype(np.uint8))


@dataclass(frozen=True)
class Fused:
    """The design of mmpose's top-down pipeline: full decode, flipped copy of the image, one warp, uint8 out."""

    spec: InputSpec

    def __call__(self, face: Face, drawn: Draw) -> Sample:
        """Image (C, S, S) uint8, landmarks (68, 2) float32."""
        image = decode(face.image, self.spec.channels)
        matrix, points = placement(face, self.spec) @ perturbation(drawn, self.spec), face.landmarks
        if drawn.flip:
            flipped = mirror(image.shape[1])
            image = cv2.flip(image, 1)
            matrix, points = flipped @ matrix, transform(flipped, points)[PERMUTATION]
        size = (self.spec.size, self.spec.size)
        cut = cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        cut = cut.reshape(*size, self.spec.channels).transpose(2, 0, 1)
        return np.ascontiguousarray(cut), transform(np.linalg.inv(matrix), points).astype(np.float32)


class Albumentations:
    """An `albumentations.Compose` on a generous crop: Resize, HorizontalFlip, Affine, Crop, with keypoints.

    The crop is cut before the chain, as careful users do: on whole images the chain is slower.
    """

    MARGIN = 1.75
    """Side of the crop in input frames: what rotation, scale and shift can reach."""

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self.middle = np.array(spec.reference_box).reshape(2, 2).mean(0)
        # so that crop and input pixels fall on each other
        self.side = round(self.MARGIN * spec.size) // 2 * 2 + int(self.middle[0] % 1 == 0)
        self.chains = [self._chain(flip, None) for flip in (False, True)]

    def _chain(self, flip: bool, drawn: Draw | None) -> A.Compose:
        size, box = self.spec.size, np.array(self.spec.reference_box)
        if drawn is None:
            reach = SHIFT * (box[2:] - box[:2]) / self.side
            shift = {"translate_percent": {axis: (-reach[i], reach[i]) for i, axis in enumerate("xy")}}
            rotate, scale = (-ROTATION, ROTATION), (1 / (1 + SCALE), 1 / (1 - SCALE))
        else:  # they move the picture, the draws move the frame
            shift = {
                "translate_px": {axis: (round(v),) * 2 for axis, v in zip("xy", moved(drawn, self.spec), strict=True)}
            }
            rotate, scale = (math.degrees(-drawn.angle if drawn.flip else drawn.angle),) * 2, (1 / drawn.scale,) * 2
        left, top = (round((self.side - 1) / 2 - value) for value in self.middle)
        return A.Compose(
            [
                A.Resize(self.side, self.side),
                A.HorizontalFlip(p=float(flip)),
                A.Affine(rotate=rotate, scale=scale, **shift, p=1),
                A.Crop(left, top, left + size, top + size),
            ],
            keypoint_params=A.KeypointParams(format="xy", remove_invisible=False),
        )

    def __call__(self, face: Face, drawn: Draw, *, exact: bool = False) -> Sample:
        """Image (C, S, S) uint8, landmarks (68, 2) float32; the chain draws its own geometry unless ``exact``."""
        chain = self._chain(drawn.flip, drawn) if exact else self.chains[drawn.flip]
        image = decode(face.image, self.spec.channels)
        middle = (face.box[:2] + face.box[2:]) / 2
        edge = round(self.side * placement(face, self.spec)[0, 0])
        left, top = (round(value - (edge - 1) / 2) for value in middle)
        height, width = image.shape[:2]
        cut = image[max(top, 0) : top + edge, max(left, 0) : left + edge]
        borders = max(-top, 0), max(top + edge - height, 0), max(-left, 0), max(left + edge - width, 0)
        if any(borders):
            cut = cv2.copyMakeBorder(cut, *borders, cv2.BORDER_CONSTANT).reshape(edge, edge, -1)
        # Resize scales keypoints about the corner of the picture instead of the centre of its first pixel
        result = chain(image=cut, keypoints=face.landmarks - [left, top] + (0.5 - 0.5 * edge / self.side))
        points = np.asarray(result["keypoints"], dtype=np.float32)
        if drawn.flip:
            points = points[PERMUTATION]
        picture = result["image"].reshape(self.spec.size, self.spec.size, -1)
        return np.ascontiguousarray(picture.transpose(2, 0, 1)), points
