"""Training windows out of images: negatives, positives and parts of faces (section 3 of the paper, "Training").

Windows are drawn for the whole batch at once: many squares, their overlaps with every face, then as many of each kind
as wanted. All of that is done on the host, where a batch's labels stay; only what the network sees and learns goes to
its device. Draws come from the CPU's global generator, so the same seed gives the same windows on every device.

Legend: W windows, F faces, B images, S side of a window in pixels.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from canthus.data.detection.datamodule import ImageBatch
from canthus.data.detection.pyramids import Pyramids
from canthus.geometry import affine, boxes
from canthus.geometry.boxes import overlaps
from canthus.geometry.windows import crop_maps, encode, mirror_offsets

__all__ = ["KINDS", "MinedBoxes", "Squares", "Windows", "cut", "draw", "label"]

KINDS = NEGATIVE, POSITIVE, PART, LANDMARK = range(4)

NEGATIVE_BELOW, PART_FROM, POSITIVE_FROM = 0.3, 0.4, 0.65
"""Overlaps of the paper; what lies between 0.3 and 0.4 is not used."""

SMALLEST = 12.0
"""Side of the smallest negative, pixels: what P-Net sees at full size."""


@dataclass(frozen=True)
class Squares:
    """Square windows in images.

    Attributes:
        box: (W, 4) stored pixels.
        owner: (W,) place of the image in the batch.
    """

    box: Tensor
    owner: Tensor

    def __len__(self) -> int:
        return len(self.box)

    def __getitem__(self, chosen: Tensor) -> "Squares":
        return Squares(self.box[chosen], self.owner[chosen])

    def and_then(self, other: "Squares") -> "Squares":
        """These, then others."""
        return Squares(torch.cat([self.box, other.box]), torch.cat([self.owner, other.owner]))


@dataclass(frozen=True)
class Windows:
    """What a network trains on.

    Attributes:
        image: (W, 3, S, S) in [0, 1].
        kind: (W,) int64, of `KINDS`.
        offsets: (W, 4) of the true box's corners from the window's, in windows; zero where there is none.
        landmarks: (W, 10) x of the five points, then y, in windows; zero where there are none.
        weight: (W,) 0 leaves a window out.
    """

    image: Tensor
    kind: Tensor
    offsets: Tensor
    landmarks: Tensor
    weight: Tensor


@dataclass(frozen=True)
class MinedBoxes:
    """What earlier networks took for faces in the training images; N images, M boxes.

    Attributes:
        box: (M, 4) squares, stored pixels, by image.
        begin: (N + 1,) int64, first box of each image.
    """

    box: Tensor
    begin: Tensor

    @classmethod
    def of(cls, per_image: list[Tensor]) -> "MinedBoxes":
        """From a (n, 4) tensor per image."""
        counts = torch.tensor([0, *(len(some) for some in per_image)])
        return cls(torch.cat([*per_image, torch.zeros(0, 4)]), counts.cumsum(0))

    def among(self, photo: Tensor) -> Squares:
        """The boxes of a batch's images, on the CPU."""
        begin, end = self.begin[photo], self.begin[photo + 1]
        owner = torch.arange(len(photo)).repeat_interleave(end - begin)
        place = torch.arange(len(owner)) - (end - begin).cumsum(0).sub(end - begin)[owner]
        return Squares(self.box[begin[owner] + place], owner)


def label(squares: Squares, batch: ImageBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Compare squares with the faces of their own images.

    Returns:
        (W,) the largest overlap with any face, (W,) the face of it, and (W,) bool whether the square may be a positive
        or part (that face is not ignored).
    """
    if not len(batch["boxes"]):
        nothing = squares.box.new_zeros(len(squares))
        return nothing, nothing.long(), nothing.bool()
    overlap = overlaps(squares.box, batch["boxes"].to(squares.box))
    overlap = torch.where(squares.owner[:, None] == batch["owner"].to(squares.owner), overlap, 0)
    largest, face = overlap.max(1)
    return largest, face, ~batch["ignored"].to(face.device)[face]


def draw(
    batch: ImageBatch, negatives: int, positives: int, parts: int, mined: MinedBoxes | None = None
) -> tuple[Squares, Tensor]:
    """Draw squares of the three kinds; fewer where a batch of images has not enough.

    Without mined boxes half of the negatives lie near faces and half anywhere (only near ones were found to cost
    recall, only distant ones precision). With them, they come first, moved a little, and random draws fill up.

    Args:
        batch: images.
        negatives: wanted.
        positives: wanted.
        parts: wanted.
        mined: what earlier networks took for faces.

    Returns:
        The squares and their (W,) kinds, on the CPU.
    """
    sizes = batch["sizes"].cpu().float()
    faces, owner = batch["boxes"].cpu(), batch["owner"].cpu()
    eligible = torch.nonzero(~batch["ignored"].cpu()).flatten()
    near = _near_faces(faces, owner, sizes, negatives) if len(faces) else _anywhere(sizes, negatives)
    random = near.and_then(_anywhere(sizes, negatives))[torch.randperm(len(near) + negatives)]
    around = _around_faces(faces[eligible], owner[eligible], 4 * (positives + parts))
    candidates = random.and_then(around)
    if mined is not None:
        found = mined.among(batch["index"].cpu())
        candidates = _moved(found[torch.randperm(len(found))]).and_then(candidates)
    overlap, _, allowed = label(candidates, batch)
    chosen, kinds = [], []
    for kind, wanted, fits in (
        (NEGATIVE, negatives, overlap < NEGATIVE_BELOW),
        (POSITIVE, positives, (overlap >= POSITIVE_FROM) & allowed),
        (PART, parts, (overlap >= PART_FROM) & (overlap < POSITIVE_FROM) & allowed),
    ):
        rows = torch.nonzero(fits).flatten()[:wanted]
        chosen.append(rows)
        kinds.append(torch.full_like(rows, kind))
    return candidates[torch.cat(chosen)], torch.cat(kinds)


def _uniform(count: int, low: float = 0.0, high: float = 1.0, columns: int | None = None) -> Tensor:
    shape = (count,) if columns is None else (count, columns)
    return low + (high - low) * torch.rand(shape)


def _anywhere(sizes: Tensor, count: int) -> Squares:
    """Squares with sides from 12 pixels to half the image."""
    owner = torch.randint(len(sizes), (count,))
    side = _sides(sizes[owner])
    corner = _uniform(count, columns=2) * (sizes[owner] - side[:, None]).clamp_min(0)
    return _squares(corner, side, owner)


def _near_faces(faces: Tensor, owner: Tensor, sizes: Tensor, count: int) -> Squares:
    """The same sizes, with the top-left corner between one side before a face's own corner and the face's other end."""
    face = torch.randint(len(faces), (count,))
    side = _sides(sizes[owner[face]])
    before = torch.minimum(side[:, None], faces[face, :2].clamp_min(0))
    extent = faces[face, 2:] - faces[face, :2]
    corner = faces[face, :2] - before + _uniform(count, columns=2) * (before + extent)
    return _squares(corner, side, owner[face])


def _around_faces(faces: Tensor, owner: Tensor, count: int) -> Squares:
    """Squares of 0.8 times the shorter to 1.25 times the longer side, shifted by up to a fifth of the face."""
    if not len(faces):
        return Squares(faces.new_zeros(0, 4), owner.new_zeros(0))
    face = torch.randint(len(faces), (count,))
    extent = faces[face, 2:] - faces[face, :2]
    low, high = 0.8 * extent.amin(1), 1.25 * extent.amax(1)
    side = low + _uniform(count) * (high - low)
    centre = boxes.centre(faces[face]) + extent * _uniform(count, -0.2, 0.2, columns=2)
    return _squares(centre - side[:, None] / 2, side, owner[face])


def _moved(squares: Squares) -> Squares:
    """Mined squares come from cells and would repeat in every epoch: another twentieth of their side each time."""
    count, side = len(squares), squares.box[:, 2] - squares.box[:, 0]
    centre = boxes.centre(squares.box) + side[:, None] * _uniform(count, -0.05, 0.05, columns=2)
    side = side * _uniform(count, 0.95, 1.05)
    return _squares(centre - side[:, None] / 2, side, squares.owner)


def _sides(sizes: Tensor) -> Tensor:
    largest = (sizes.amin(1) / 2).clamp_min(SMALLEST)
    return SMALLEST + _uniform(len(sizes)) * (largest - SMALLEST)


def _squares(corner: Tensor, side: Tensor, owner: Tensor) -> Squares:
    return Squares(torch.cat([corner, corner + side[:, None]], 1), owner)


def cut(batch: ImageBatch, squares: Squares, kind: Tensor, size: int) -> Windows:
    """Read the pixels of squares, half of them mirrored, and what there is to learn from each.

    Args:
        batch: images.
        squares: of `draw`.
        kind: (W,) likewise.
        size: S.
    """
    mirror = torch.rand(len(squares)) < 0.5
    offsets = _offsets(batch, squares, kind, mirror)
    image = _read(batch["pixels"], squares, mirror, size)
    device = image.device
    return Windows(
        image=image,
        kind=kind.to(device, non_blocking=True),
        offsets=offsets.to(device, non_blocking=True),
        landmarks=torch.zeros(len(squares), 10, device=device),
        weight=torch.ones(len(squares), device=device),
    )


def _offsets(batch: ImageBatch, squares: Squares, kind: Tensor, mirror: Tensor) -> Tensor:
    """(W, 4) what boxes of faces differ from their squares, zero for negatives; on the host."""
    _, face, _ = label(squares, batch)
    offsets = torch.zeros(len(squares), 4)
    rows = kind != NEGATIVE
    if rows.any():
        offsets[rows] = encode(squares.box[rows], batch["boxes"].cpu()[face[rows]])
        offsets = torch.where((rows & mirror)[:, None], mirror_offsets(offsets), offsets)
    return offsets


def _read(pixels: Pyramids, squares: Squares, mirror: Tensor, size: int) -> Tensor:
    """(W, 3, S, S) in [0, 1]; zero outside the images."""
    maps = affine.compose(crop_maps(squares.box, size), affine.mirror(mirror, (size - 1) / 2))
    place = pixels.places.device
    return pixels.windows(squares.owner.to(place, non_blocking=True), maps.to(place, non_blocking=True), size)


def joined(first: Windows, second: Windows) -> Windows:
    """Both, in one batch."""
    return replace(
        first,
        **{
            name: torch.cat([getattr(first, name), getattr(second, name)])
            for name in ("image", "kind", "offsets", "landmarks", "weight")
        },
    )
