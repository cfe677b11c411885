"""Faces in images: the cascade of MTCNN, from a pyramid of images to boxes and five points.

Figure 1 of the paper. Everything stays on the device, and no step loops over windows: a batch of images, of any
sizes, goes through R- and O-Net together.

Legend: N windows of all images, M faces of one image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from canthus.geometry.windows import mirror_shares, ranks, square, suppress, suppress_nested
from canthus.models.mtcnn.arithmetic import Arithmetic, Clean, Published
from canthus.models.mtcnn.fused import FusedNetwork
from canthus.models.mtcnn.network import MTCNN, PNet
from canthus.models.mtcnn.pyramid import Octaves, Sheet, lay_out, pyramid_scales

__all__ = ["Detections", "Detector"]

FLIP = (1, 0, 2, 4, 3)
"""Eyes and corners of the mouth change places in a mirror."""
OVERLAPS = (0.5, 0.7, 0.7, 0.7)
"""Suppression in a level, over levels, after R-Net (intersection over union), after O-Net (over the smaller box)."""
LEVEL_CANDIDATES = 4
"""A level may propose so many times the windows that an image may keep."""


class _Budget(NamedTuple):
    """Pixels that run at once: enough to keep the device busy, little enough for its memory.

    Attributes:
        strip: of an image that P-Net reads.
        sheet: of the sheets that small levels share. A CPU loses nothing by reading large ones one by one.
        crops: of the windows that R- or O-Net sees.
    """

    strip: int
    sheet: int
    crops: int


# 113 windows of R-Net and 28 of O-Net: of O-Net, 12 at once cost 16 % more time each, and 84 cost 77 % more
CPU = _Budget(strip=2**17, sheet=2**15, crops=2**16)
ACCELERATOR = _Budget(strip=2**24, sheet=2**24, crops=2**23)


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in an image, the surest first.

    Attributes:
        boxes: (M, 4) ``xyxy``, in canthus' frame, or that of the published code under ``parity``.
        scores: (M,) probabilities of a face.
        points: (M, 5, 2) image-left and image-right eye, tip of the nose, corners of the mouth; None before O-Net.
    """

    boxes: Tensor
    scores: Tensor
    points: Tensor | None


class _Windows(NamedTuple):
    """Windows of all images. Log odds of a face order them, because probabilities near 1 are equal in float32."""

    boxes: Tensor
    evidence: Tensor
    owner: Tensor
    points: Tensor | None = None

    def take(self, index: Tensor) -> "_Windows":
        points = None if self.points is None else self.points[index]
        return _Windows(self.boxes[index], self.evidence[index], self.owner[index], points)


class Detector:
    """Finds faces with the weights that a network has now; it copies them.

    Args:
        network: trained, on the device where detection is to run.
        min_size: side of the smallest face, pixels.
        factor: from one level of the pyramid to the next; the default halves the area.
        thresholds: least probability of a face after P-, R- and O-Net.
        candidates: windows of an image that P- or R-Net may hand on, the surest first; None for all of them.
        mirror: run O-Net on mirrored crops, too, and average the points, as the authors' first release does.
        parity: compute as the published code does (see `Published`), to compare boxes with it. It knows no
            ``candidates``, which seldom matter: None to be sure.

    Raises:
        ValueError: a setting outside its range.
    """

    def __init__(
        self,
        network: MTCNN,
        *,
        min_size: float = 20.0,
        factor: float = 0.709,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        candidates: int | None = 2000,
        mirror: bool = False,
        parity: bool = False,
    ) -> None:
        if not (min_size > 0 and 0 < factor < 1 and (candidates is None or candidates > 0)):
            raise ValueError(
                f"min_size={min_size}, factor={factor}, candidates={candidates}: need min_size > 0, 0 < factor < 1, "
                "and at least one candidate"
            )
        if len(thresholds) != 3 or not all(0 < threshold < 1 for threshold in thresholds):
            raise ValueError(f"thresholds={list(thresholds)}: need three probabilities between 0 and 1")
        self.min_size, self.factor, self.candidates, self.mirror = min_size, factor, candidates, mirror
        self.evidence = [math.log(threshold / (1 - threshold)) for threshold in thresholds]
        self.arithmetic: Arithmetic = Published() if parity else Clean()
        self.networks = [FusedNetwork(stage, partial_cells=self.arithmetic.partial_cells) for stage in network.stages]

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.networks[0].face_weight.device

    def __call__(self, images: Sequence[Tensor]) -> list[Detections]:
        """Find the faces.

        Args:
            images: (H, W, 3) uint8 RGB each, of any sizes, also different ones.

        Returns:
            One entry an image; an empty one where there is no face.

        Raises:
            ValueError: a tensor that is no such image.
        """
        return self.cascade(images)[-1]

    @torch.inference_mode()
    def cascade(self, images: Sequence[Tensor], stages: int = 3) -> list[list[Detections]]:
        """Find the faces and keep what each network said, to measure the stages and to mine hard examples.

        Args:
            images: see `__call__`.
            stages: networks to run, 1 to 3.

        Returns:
            Per network, an entry an image. Boxes are calibrated, but not yet the squares that the next network
            sees (`canthus.geometry.windows.square`).
        """
        for number, image in enumerate(images):
            if not isinstance(image, Tensor):
                raise ValueError(
                    f"image {number} is a {type(image).__name__}: need tensors, of an array torch.from_numpy makes one"
                )
            if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(
                    f"image {number} is {tuple(image.shape)} {image.dtype}: need a list of (H, W, 3) "
                    "uint8 RGB; repeat grey, drop alpha, reduce 16 bit"
                )
        if not 1 <= stages <= 3:
            raise ValueError(f"stages={stages}: there are three networks")
        octaves = [Octaves(image, self.device) for image in images]
        windows = self._propose(octaves)
        found = [self._per_image(windows, len(octaves))]
        for stage in range(1, stages):
            windows = self._refine(windows, octaves, stage)
            found.append(self._per_image(windows, len(octaves)))
        return found

    # -- P-Net -------------------------------------------------------------------------------------------------------

    def _propose(self, images: list[Octaves]) -> _Windows:
        """Windows of all levels in which P-Net sees a face."""
        scales = [pyramid_scales(*octaves.shape, self.min_size, self.factor) for octaves in images]
        owners = torch.tensor([number for number, own in enumerate(scales) for _ in own], device=self.device)
        pictures, exact = [], []
        for octaves, own in zip(images, scales, strict=True):
            for scale in own:
                picture, both = self.arithmetic.level(octaves, scale)
                pictures.append(picture)
                exact.append(both)
        shared = 0 if self.arithmetic.partial_cells else self._budget.sheet
        found = [self._cells(sheet, pictures, exact) for sheet in lay_out(pictures, shared=shared)]
        if not found:
            nothing = torch.empty(0, device=self.device)
            return _Windows(nothing.view(0, 4), nothing, nothing.long())
        level, windows, evidence, offsets = (torch.cat(parts) for parts in zip(*found, strict=True))
        kept = self._surest(torch.arange(len(level), device=self.device), evidence, level, LEVEL_CANDIDATES)
        kept = kept[suppress(windows[kept], evidence[kept], level[kept], OVERLAPS[0])]
        owner = owners[level]
        kept = kept[suppress(windows[kept], evidence[kept], owner[kept], OVERLAPS[1])]
        kept = self._surest(kept, evidence, owner, 1)
        boxes = self.arithmetic.calibrate(windows[kept], offsets[kept], 0)
        return _Windows(boxes, evidence[kept], owner[kept])

    def _cells(
        self, sheet: Sheet, pictures: list[Tensor], exact: list[tuple[float, float]]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Cells with a face: numbers of their images, windows, evidence, offsets."""
        network, stride = self.networks[0], PNet.stride
        height, width = sheet.pixels.shape[-2:]
        # which member of the sheet a cell belongs to; one more for cells that see two images, or none
        nobody = len(sheet.members)
        label = torch.full((height // stride, width // stride), nobody, device=self.device)
        for place, (number, (top, left)) in enumerate(zip(sheet.members, sheet.corners, strict=True)):
            rows, columns = (self.arithmetic.cells(side) for side in pictures[number].shape[-2:])
            label[top // stride : top // stride + rows, left // stride : left // stride + columns] = place
        members = torch.tensor(sheet.members, device=self.device)
        corners = torch.tensor(sheet.corners, device=self.device) // stride
        scales = torch.tensor([exact[number] for number in sheet.members], device=self.device)
        step = max(self._budget.strip // width // stride * stride, network.window)
        found = []
        last = height - network.window + (stride - 1 if self.arithmetic.partial_cells else 0)
        for top in range(0, last + 1, step):  # strips, which overlap by what a cell sees
            features = network(sheet.pixels[:, :, top : top + step + network.window - stride])[0]
            evidence = network.evidence(features)
            row, column = (evidence >= self.evidence[0]).nonzero().unbind(1)
            member = label[row + top // stride, column]
            inside = member < nobody
            row, column, member = row[inside], column[inside], member[inside]
            seen, sure = features[row, column], evidence[row, column]
            begin = corners[member]
            windows = self.arithmetic.windows(column - begin[:, 1], row + top // stride - begin[:, 0], scales[member])
            found.append((members[member], windows, sure, network.offsets(seen)))
        level, windows, sure, offsets = (torch.cat(parts) for parts in zip(*found, strict=True))
        return level, windows, sure, offsets

    # -- R-Net and O-Net ---------------------------------------------------------------------------------------------

    def _refine(self, candidates: _Windows, images: list[Octaves], stage: int) -> _Windows:
        """Windows that R-Net (stage 1) or O-Net (stage 2) keeps, calibrated."""
        # in the order of images and sizes, so that crops that are read together come from few images
        order = (candidates.boxes[:, 2] - candidates.boxes[:, 0]).argsort()
        candidates = candidates.take(order[candidates.owner[order].argsort(stable=True)])
        squares = square(candidates.boxes)
        network = self.networks[stage]
        budget = max(self._budget.crops // network.window**2, 1)
        final = stage == len(self.networks) - 1
        parts = []
        for begin in range(0, max(len(squares), 1), budget):
            some = slice(begin, begin + budget)
            crops, index = self.arithmetic.crops(images, candidates.owner[some], squares[some], network.window)
            parts.append(self._judge(network, crops, index + begin, self.evidence[stage], final))
        index, evidence, offsets, shares = (torch.cat(part) for part in zip(*parts, strict=True))
        squares, owner = squares[index], candidates.owner[index]
        boxes = self.arithmetic.calibrate(squares, offsets, stage)
        if final:
            kept = suppress_nested(boxes, evidence, owner, OVERLAPS[3], border=self.arithmetic.border)
            points = self.arithmetic.points(squares, shares)
            return _Windows(boxes, evidence, owner, points).take(kept)
        kept = self._surest(suppress(squares, evidence, owner, OVERLAPS[2]), evidence, owner, 1)
        return _Windows(boxes, evidence, owner).take(kept)

    def _judge(
        self, network: FusedNetwork, crops: Tensor, index: Tensor, least: float, final: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Index, evidence, offsets and, of the final network, landmarks of the windows with a face."""
        features = network(crops)
        evidence = network.evidence(features)
        kept = (evidence >= least).nonzero()[:, 0]
        seen = features[kept]
        shares = network.landmarks(seen) if final else seen.new_zeros(len(seen), 0)
        if final and self.mirror:
            mirrored = network.landmarks(network(crops[kept].flip(-1)))
            shares = (shares + mirror_shares(mirrored, FLIP)) / 2
        return index[kept], evidence[kept], network.offsets(seen), shares

    # -- both --------------------------------------------------------------------------------------------------------

    @property
    def _budget(self) -> _Budget:
        return CPU if self.device.type == "cpu" else ACCELERATOR

    def _surest(self, index: Tensor, evidence: Tensor, groups: Tensor, factor: int) -> Tensor:
        """Those of the index that are among the ``candidates`` times ``factor`` surest of their group."""
        if self.candidates is None or len(index) <= self.candidates * factor:
            return index
        return index[ranks(evidence[index], groups[index]) < self.candidates * factor]

    def _per_image(self, windows: _Windows, count: int) -> list[Detections]:
        order = windows.evidence.argsort(descending=True, stable=True)
        order = order[windows.owner[order].argsort(stable=True)]
        windows = windows.take(order)
        sizes = torch.bincount(windows.owner, minlength=count).tolist()
        points = [None] * count if windows.points is None else windows.points.split(sizes)
        parts = zip(windows.boxes.split(sizes), windows.evidence.sigmoid().split(sizes), points, strict=True)
        return [Detections(*part) for part in parts]
