"""The four corruptions as a seeded suite: occlusion, low resolution, lighting and blur, at five severities.

Faces are changed on the device, in the image that the network sees, before its pixel scaling. Every draw comes from a
generator of the face's own, so a face looks the same in every batch, in every process and for every model. The draws do
not depend on the severity: from 1 to 5 the same occluder grows and the same light fades.
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import torch
from kornia.filters import filter2d, get_gaussian_kernel2d
from torch import Tensor
from torch.nn import functional

from canthus.data.batch import Batch
from canthus.data.face import OCCLUDED, UNLABELLED, VISIBLE, Face
from canthus.data.pixel_changes import shrink_and_enlarge
from canthus.utils.errors import DataError
from canthus.utils.files import parse_yaml

__all__ = ["CORRUPTIONS", "SEVERITIES", "Corruption", "face_keys", "in_training", "known_corruption"]

CORRUPTIONS = ("occlusion", "low_resolution", "lighting", "blur")
"""Named like the attributes by which data sets slice their faces."""
SEVERITIES = (1, 2, 3, 4, 5)
AUGMENTED_BY = {
    "occlusion": ("occlusion",),
    "low_resolution": ("low_resolution",),
    "lighting": ("brightness", "contrast", "gamma"),
    "blur": ("blur",),
}
"""Settings of `canthus.data.augment.Augmentation` that train each corruption."""
GREY = 0.5
TEXTURE = 12
"""Grains on a side of a textured occluder."""
CONTRAST = 0.5
"""Range of the grains' brightness: like cloth; at the full range they look like a broken file."""
MOTION_ANGLE = 45.0
"""ImageNet-C draws the direction of motion within this many degrees of the horizontal."""


def known_corruption(name: Any) -> str:
    """The name of a corruption, once it is known.

    Raises:
        DataError: naming the nearest.
    """
    if name not in CORRUPTIONS:
        near = difflib.get_close_matches(str(name), CORRUPTIONS, n=1, cutoff=0.0)[0]
        raise DataError(f"there is no corruption {name!r}; did you mean {near!r}? There are: {', '.join(CORRUPTIONS)}")
    return str(name)


def in_training(augmentation: Mapping[str, Any] | None) -> list[str]:
    """Corruptions that an augmentation's settings show to the model, and which are therefore not unseen."""
    settings = augmentation or {}
    return [name for name, keys in AUGMENTED_BY.items() if any(settings.get(key) for key in keys)]


def face_keys(faces: Iterable[Face]) -> list[str]:
    """What a face is called wherever it appears: part, image, file name and its number among those faces.

    Folders are left out, so that the key is the same on every machine.
    """
    seen: Counter[str] = Counter()
    keys = []
    for face in faces:
        stem = f"{face.part}|{face.photo}|{face.image.name}"
        keys.append(f"{stem}|{seen[stem]}")
        seen[stem] += 1
    return keys


@dataclass(frozen=True)
class Corruption:
    """One corruption at one severity.

    Attributes:
        name: one of `CORRUPTIONS`.
        severity: 1 to 5; what it means is in ``corruptions.yaml``.
        seed: another seed, other occluders, lights and blurs.
    """

    name: str
    severity: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            DataError: an unknown name or severity.
        """
        known_corruption(self.name)
        if type(self.severity) is not int or self.severity not in SEVERITIES:
            raise DataError(
                f"data.severity is {self.severity!r}; a whole number from 1 to 5 is needed with a corruption"
            )

    def __call__(self, batch: Batch, keys: Sequence[str]) -> Batch:
        """Corrupt network inputs.

        Landmarks stay where they are and stay labelled, so errors are measured at all of them; a seen point under the
        occluder becomes an occluded one.

        Args:
            batch: ``image`` (B, C, H, W) float in [0, 1], levels of 8 bits.
            keys: B names of the faces, see `face_keys`.

        Returns:
            The batch with other pixels, again in [0, 1] and of 8 bits, and for occlusion with other visibilities.
        """
        values = {key: steps[self.severity - 1] for key, steps in _facts()["severities"][self.name].items()}
        seeds = [_seed(self.seed, self.name, key) for key in keys]
        changed = batch.copy()
        changed["image"] = _eight_bits(batch["image"])
        changed = CHANGES[self.name](changed, seeds, **values)
        changed["image"] = _eight_bits(changed["image"])
        return changed

    def already_smaller(self, boxes: Tensor, size: int, originals: Tensor) -> Tensor | None:
        """Faces that this severity leaves as they are, or as good as: they never had more pixels than it keeps.

        Args:
            boxes: (B, 4) face boxes, pixels of the network's input.
            size: side of the network's input.
            originals: (B, 4) the same boxes, pixels of the images.

        Returns:
            (B,) bool; None for a corruption that changes every face.
        """
        if self.name != "low_resolution":
            return None
        inter_ocular: float = _facts()["severities"][self.name]["inter_ocular"][self.severity - 1]
        small: Tensor = _facts()["inter_ocular_share"] * _face_size(originals) <= inter_ocular
        return small | (_shrunken_side(boxes, size, inter_ocular) >= size)


def _occlude(batch: Batch, seeds: Sequence[int], area: float) -> Batch:
    image, landmarks, visibility, box = batch["image"], batch["landmarks"], batch["visibility"], batch["box"]
    draws = _uniform(seeds, 7 + TEXTURE**2).to(image)
    labelled = visibility != UNLABELLED
    count = labelled.sum(1)
    chosen = (draws[:, 0] * count).long().clamp(max=(count - 1).clamp(min=0))
    on_landmark = labelled & (labelled.cumsum(1) - 1 == chosen[:, None])  # one point, or none without labels
    anywhere = box[:, :2] + draws[:, 1:3] * (box[:, 2:] - box[:, :2])
    centre = torch.where((count > 0)[:, None], (landmarks * on_landmark[..., None]).sum(1), anywhere)
    half = area**0.5 * _face_size(box) / 2

    local = (_pixels(image) - centre[:, None, None]) / half[:, None, None, None]  # -1 to 1 within the square
    grains = draws[:, 7:].reshape(-1, 1, TEXTURE, TEXTURE)
    texture = functional.grid_sample(grains, local, padding_mode="border", align_corners=False)
    colour = draws[:, 4:7] if image.shape[1] == 3 else draws[:, 4:7].mean(1, keepdim=True)
    texture = (colour[..., None, None] + CONTRAST * (texture - 0.5)).clamp(0, 1)
    filling = torch.where((draws[:, 3] < 0.5)[:, None, None, None], GREY, texture)
    square = (local.abs().amax(-1) <= 1)[:, None]

    covered = ((landmarks - centre[:, None]).abs() <= half[:, None, None]).all(-1) & (visibility == VISIBLE)
    batch["image"] = torch.where(square, filling, image)
    batch["visibility"] = visibility.masked_fill(covered, OCCLUDED)
    return batch


def _shrink(batch: Batch, seeds: Sequence[int], inter_ocular: float) -> Batch:
    image = batch["image"]
    size = image.shape[-1]
    for row, side in enumerate(_shrunken_side(batch["box"], size, inter_ocular).tolist()):
        if side < size:  # otherwise the network sees no more than that anyway
            image[row] = shrink_and_enlarge(image[row : row + 1], max(side, 1), "bicubic")[0]
    return batch


def _shrunken_side(box: Tensor, size: int, inter_ocular: float) -> Tensor:
    """(B,) sides, pixels, to which inputs shrink so that the eyes of a face are ``inter_ocular`` apart."""
    share: Tensor = inter_ocular / (_facts()["inter_ocular_share"] * _face_size(box))
    return (size * share).round().int()


def _light(batch: Batch, seeds: Sequence[int], dark: float, bright: float) -> Batch:
    image, box = batch["image"], batch["box"]
    draws = _uniform(seeds, 3).to(image)
    angle = 2 * torch.pi * draws[:, 2]
    direction = torch.stack([angle.cos(), angle.sin()], -1)
    centre = (box[:, :2] + box[:, 2:]) / 2
    along = ((_pixels(image) - centre[:, None, None]) * direction[:, None, None]).sum(-1)
    ramp = (0.5 + along / _face_size(box)[:, None, None]).clamp(0, 1)  # 0 to 1 across the face
    weight = torch.where((draws[:, 1] < 0.5)[:, None, None], ramp, 1.0)
    gamma = torch.where(draws[:, 0] < 0.5, dark, bright)
    batch["image"] = image ** (gamma[:, None, None] ** weight)[:, None]
    return batch


def _blur(
    batch: Batch, seeds: Sequence[int], gaussian: float, defocus: float, motion: float, motion_sigma: float
) -> Batch:
    image = batch["image"]
    draws = _uniform(seeds, 2)
    facts = _facts()
    units = (_face_size(batch["box"]) * facts["margin"] / facts["picture"]).tolist()
    for row, (unit, (kind, turn)) in enumerate(zip(units, draws.tolist(), strict=True)):
        if kind < 1 / 3:
            sigma = gaussian * unit
            side = 2 * int(3 * sigma + 0.5) + 1
            spread = get_gaussian_kernel2d((side, side), torch.tensor([[sigma, sigma]]))[0]
        elif kind < 2 / 3:
            spread = _disc(defocus * unit)
        else:
            spread = _line(motion * unit, motion_sigma * unit, (2 * turn - 1) * MOTION_ANGLE)
        # each face by itself: kernels padded to the batch's largest would tie its last bits to its neighbours
        image[row] = filter2d(image[row : row + 1], spread[None].to(image))[0]
    return batch


CHANGES: dict[str, Callable[..., Batch]] = {
    "occlusion": _occlude,
    "low_resolution": _shrink,
    "lighting": _light,
    "blur": _blur,
}
"""Each takes a batch that it may change, the faces' seeds, and the values that ``corruptions.yaml`` names."""


def _disc(radius: float) -> Tensor:
    """(k, k) point spread of a lens out of focus; a pixel that the rim crosses counts in part."""
    reach = int(radius + 0.5)
    axis = torch.arange(-reach, reach + 1.0)
    spread = (radius + 0.5 - torch.hypot(axis[:, None], axis)).clamp(0, 1)
    return spread / spread.sum()


def _line(radius: float, sigma: float, degrees: float) -> Tensor:
    """(k, k) point spread of a motion.

    ImageNet-C's line starts at the pixel and so moves the image; this one has the pixel at its centre of mass, so
    that labels stay true.
    """
    steps = torch.linspace(0, 2 * radius, 101)
    weights = torch.exp(-0.5 * (steps / sigma).square())
    weights = weights / weights.sum()
    steps = steps - (steps * weights).sum()
    angle = torch.tensor(degrees).deg2rad()
    reach = int(steps.abs().max()) + 1
    axis = torch.arange(-reach, reach + 1.0)
    x, y = ((1 - (axis - (steps * way)[:, None]).abs()).clamp(min=0) for way in (angle.cos(), angle.sin()))
    return torch.einsum("n,ny,nx->yx", weights, y, x)  # every step divided among the four pixels around it


def _face_size(box: Tensor) -> Tensor:
    """(B,) pixels: geometric mean of the box's sides."""
    return (box[:, 2:] - box[:, :2]).prod(1).sqrt()


def _pixels(image: Tensor) -> Tensor:
    """(1, H, W, 2) places of the pixels."""
    rows, columns = (torch.arange(side, device=image.device, dtype=image.dtype) for side in image.shape[-2:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], -1)[None]


def _eight_bits(image: Tensor) -> Tensor:
    """What a file would keep: in float, an image that is almost black still shows everything to a network."""
    return (image.clamp(0, 1) * 255).round() / 255


def _uniform(seeds: Sequence[int], count: int) -> Tensor:
    """(B, count) numbers in [0, 1), each row from a generator of its own on the CPU."""
    return torch.stack([torch.rand(count, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def _seed(seed: int, name: str, key: str) -> int:
    """63 bits, the same in every process, which Python's own hash is not."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{name}|{key}".encode()).digest()[:8], "big") >> 1


@cache
def _facts() -> dict[str, Any]:
    text = resources.files("canthus.data").joinpath("corruptions.yaml").read_text(encoding="utf-8")
    facts: dict[str, Any] = parse_yaml(text)
    return facts
