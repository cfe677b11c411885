"""Landmarks on images: boxes in, points in the image's own pixels out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from canthus.data.batch import Batch, input_to_store, scale_pixels
from canthus.data.store import StoreSpec, box_fault, crop
from canthus.geometry import affine
from canthus.geometry.warp import warp
from canthus.inference.face_detector import FoundFace
from canthus.models.cascade import Cascade
from canthus.runs.loading import LoadedRun
from canthus.utils.errors import ConfigError, DataError

__all__ = ["Answers", "LocatedFace", "Predictor", "answers", "chosen_device", "input_batch"]

Face = tuple[NDArray[np.uint8], NDArray[np.float64]]
"""An image, (H, W, 3) uint8 RGB, and the (4,) box of a face in it."""


@dataclass(frozen=True)
class LocatedFace:
    """A face in an image.

    Attributes:
        box: (4,) ``xyxy`` that was given, original pixels.
        stages: (S, K, 2) every stage's points, original pixels.
        scores: (K,) confidences, if the model has them.
        pose: (3,) yaw, pitch, roll in radians, if the model estimates it.
        scheme: name of the landmark scheme.
        detection: what the detector said of it, if one found it.
    """

    box: NDArray[np.float64]
    stages: NDArray[np.float64]
    scores: NDArray[np.float64] | None
    pose: NDArray[np.float64] | None
    scheme: str
    detection: FoundFace | None = None

    @property
    def landmarks(self) -> NDArray[np.float64]:
        """(K, 2) of the last stage."""
        last: NDArray[np.float64] = self.stages[-1]
        return last

    @property
    def detection_score(self) -> float | None:
        """Probability of a face, if a detector found it."""
        return None if self.detection is None else self.detection.score

    @property
    def found(self) -> bool:
        """Whether every point of the last stage is a finite number."""
        return bool(np.isfinite(self.landmarks).all())


class Predictor:
    """Runs a model on boxes of images, along the same path as evaluation: store crop, then one warp.

    Args:
        model: trained.
        extent: see `StoreSpec.for_input`; the run's.
        oversample: likewise.
        device: where the model runs.
        batch_size: faces at once.

    Raises:
        ConfigError: ``batch_size`` below 1.
    """

    def __init__(
        self,
        model: Cascade,
        *,
        extent: float,
        oversample: float,
        device: torch.device,
        batch_size: int = 32,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}: at least 1 face at once")
        self.model = model.to(device).eval()
        self.spec = StoreSpec.for_input(model.input, extent=extent, oversample=oversample)
        self.device, self.batch_size = device, batch_size

    @classmethod
    def of(cls, run: LoadedRun, *, device: str = "auto", batch_size: int = 32) -> "Predictor":
        """The predictor of a run that is open.

        Args:
            run: see `canthus.runs.loading.open_run`.
            device: ``auto``, ``cpu``, ``cuda``, ``mps``.
            batch_size: faces at once.

        Raises:
            ConfigError: no such device, or a run whose config does not say what its crops were.
        """
        extent, oversample = run.crops
        return cls(run.model, extent=extent, oversample=oversample, device=chosen_device(device), batch_size=batch_size)

    def __call__(self, pixels: NDArray[np.uint8], boxes: NDArray[np.float64]) -> list[LocatedFace]:
        """Locate the landmarks in every box.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            boxes: (N, 4) ``xyxy``.

        Raises:
            DataError: a box by which nothing can be cut out, see `canthus.data.store.box_fault`.
        """
        return self.locate([pixels], [boxes])[0]

    @torch.inference_mode()
    def locate(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.float64]]
    ) -> list[list[LocatedFace]]:
        """Locate the landmarks of several images, ``batch_size`` faces at once, whichever image they are of.

        Args:
            images: (H, W, 3) uint8 RGB each.
            boxes: (N, 4) ``xyxy`` of each.

        Returns:
            The faces of each image, in the order of its boxes.

        Raises:
            DataError: a box by which nothing can be cut out, see `canthus.data.store.box_fault`.
        """
        pairs = [(pixels, box) for pixels, some in zip(images, boxes, strict=True) for box in some]
        if fault := next(filter(None, (box_fault(box, pixels.shape) for pixels, box in pairs)), None):
            raise DataError(f"{fault}; give boxes of faces in this image")
        begins = range(0, len(pairs), self.batch_size)
        faces = (face for begin in begins for face in self._faces(pairs[begin : begin + self.batch_size]))
        return [list(islice(faces, len(some))) for some in boxes]

    def _faces(self, pairs: Sequence[Face]) -> list[LocatedFace]:
        batch = self._inputs(pairs)
        found = answers(self.model, batch["image"])
        points = affine.apply(batch["to_original"][:, None].to(found.points), found.points)
        stages = points.cpu().double().numpy()
        scores, poses = (
            [None] * len(pairs) if values is None else values.cpu().double().numpy()
            for values in (found.scores, found.pose)
        )
        # the crop is upright, so that its pose is the image's
        return [
            LocatedFace(box, stages[row], scores[row], poses[row], self.model.scheme.name)
            for row, (_, box) in enumerate(pairs)
        ]

    def inputs(self, pixels: NDArray[np.uint8], boxes: NDArray[np.float64]) -> Batch:
        """What the network sees of (N, 4) boxes of an image, (H, W, 3) uint8 RGB."""
        return self._inputs([(pixels, box) for box in boxes])

    def _inputs(self, pairs: Sequence[Face]) -> Batch:
        maps = np.stack([self.spec.to_original(box) for _, box in pairs])
        crops = np.stack([crop(pixels, matrix, self.spec) for (pixels, _), matrix in zip(pairs, maps, strict=True)])
        spec, to_original = self.model.input, torch.from_numpy(maps)
        boxes = torch.from_numpy(np.stack([box for _, box in pairs]))
        corners = affine.apply(affine.invert(to_original), boxes.unflatten(1, (2, 2)))
        to_store = input_to_store(corners.flatten(1).float(), spec)
        images = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float()
        image = warp(images, to_store.to(self.device), spec.size, padding="zeros") / 255
        return input_batch(
            self.model, scale_pixels(image, spec.scaling), affine.compose(to_original.float(), to_store).to(self.device)
        )


class Answers(NamedTuple):
    """What a model says of B faces, in tensors alone.

    Attributes:
        points: (B, S, K, 2) of every stage, pixels of the crop.
        scores: (B, K), if the model has them.
        pose: (B, 3), radians, if the model estimates it.
    """

    points: Tensor
    scores: Tensor | None = None
    pose: Tensor | None = None


def answers(model: Cascade, image: Tensor) -> Answers:
    """Run a model on (B, C, H, W) crops as evaluation runs it, flip test included."""
    estimates = model.final_estimates(input_batch(model, image))
    points = torch.stack([points.float() for points in estimates.points], 1)
    return Answers(points, estimates.scores, estimates.pose)


def input_batch(model: Cascade, image: Tensor, to_original: Tensor | None = None) -> Batch:
    """Inputs without labels as a batch: (B, C, H, W) pictures, scaled, and (B, 2, 3) maps to the image if any."""
    count, device = image.shape[0], image.device
    points = model.scheme.num_landmarks
    return Batch(
        image=image,
        landmarks=torch.zeros(count, points, 2, device=device),
        visibility=torch.zeros(count, points, dtype=torch.uint8, device=device),
        box=model.input.reference.to(device).expand(count, 4),
        to_original=affine.identity(count, device=device) if to_original is None else to_original,
        index=torch.arange(count, device=device),
    )


def chosen_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is an accelerator if there is one, else the CPU.

    Raises:
        ConfigError: no device has this name, or none is there.
    """
    if name != "auto":
        try:
            device = torch.device(name)
            torch.empty(1, device=device).cpu()  # a name may be right where there is no such device
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"device={name} is not there ({reason}); auto takes what is, cpu always works") from error
        return device
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")
