"""Faces for `canthus-predict`: a detector's boxes, as the landmark models expect them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from canthus import zoo
from canthus.data.store import box_fault
from canthus.geometry.windows import decode
from canthus.models.mtcnn.detect import Detector
from canthus.models.mtcnn.network import MTCNN
from canthus.models.mtcnn.weights import from_state, load_weights
from canthus.runs import loading
from canthus.utils.errors import ConfigError, DataError

__all__ = ["TIGHT", "FaceFinder", "FoundFace"]

TIGHT = (0.012, 0.250, 0.041, 0.028)
"""From the boxes that published weights find to the tight boxes of 68 labelled points: medians over 445 faces of 300-W
(AFW and an eighth of HELEN's training faces). The median overlap with the tight box rises from 0.68 to 0.87."""


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face that was found.

    Attributes:
        box: (4,) tight box of the landmarks to be expected, for landmark models.
        detected: (4,) the detector's own box.
        score: probability of a face.
        points: (5, 2) eyes, tip of the nose, corners of the mouth.
    """

    box: NDArray[np.float64]
    detected: NDArray[np.float64]
    score: float
    points: NDArray[np.float64]


class FaceFinder:
    """MTCNN, and how its boxes become those on which landmark models are trained.

    Args:
        run: run folder of ``canthus-train model=mtcnn ...``; by default, and without weights, that of the zoo.
        checkpoint: of the run: ``best`` or ``last``, or a file.
        weights: published weights in place of a run, see `canthus.models.mtcnn.weights`.
        layout: of the weights; None to tell from the files.
        tight: differences from the detector's x1, y1, x2, y2 to those of the tight box of the landmarks, in widths and
            heights of the former. None: `TIGHT` for published weights; for a run nothing, because its boxes are what
            its training labels called a box.
        device: where it runs.
        min_size: see `Detector`.
        factor: likewise.
        thresholds: likewise.
        mirror: likewise.
        parity: likewise.

    Raises:
        ConfigError: both run and weights, or settings that cannot work.
    """

    def __init__(
        self,
        run: str | None = None,
        checkpoint: str = "best",
        weights: str | None = None,
        layout: str | None = None,
        tight: Sequence[float] | None = None,
        device: torch.device | None = None,
        min_size: float = 20.0,
        factor: float = 0.709,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        mirror: bool = False,
        parity: bool = False,
    ) -> None:
        if run is not None and weights is not None:
            raise ConfigError(
                f"detector.run={run}, detector.weights={weights}: give one of them, a run of "
                "canthus-train model=mtcnn, or a folder with published weights"
            )
        run = zoo.MTCNN if run is None and weights is None else run
        tight = tight if tight is not None else TIGHT if run is None else (0.0,) * 4
        if len(tight) != 4 or tight[2] - tight[0] <= -1 or tight[3] - tight[1] <= -1:
            raise ConfigError(f"detector.tight={list(tight)}: four differences that leave a box its width and height")
        self.tight = torch.tensor(tight)
        network = self._network(run, checkpoint, weights, layout).to(device or torch.device("cpu"))
        try:
            self.detector = Detector(
                network, min_size=min_size, factor=factor, thresholds=thresholds, mirror=mirror, parity=parity
            )
        except ValueError as error:
            raise ConfigError(f"detector: {error}") from error

    @staticmethod
    def _network(run: str | None, checkpoint: str, weights: str | None, layout: str | None) -> MTCNN:
        try:
            if run is None:
                return load_weights(Path(str(weights)), layout)
            path = loading.checkpoint_of(zoo.run_path(run), checkpoint)
            return from_state(path, loading.load_weights(path))
        except (DataError, ValueError) as error:
            raise ConfigError(f"detector.{'weights' if run is None else 'run'}: {error}") from error

    def __call__(self, pixels: NDArray[np.uint8]) -> list[FoundFace]:
        """Find the faces of an image, (H, W, 3) uint8 RGB, the surest first.

        Faces of which only the edge of the detector's box is in the image are left out.

        Raises:
            ValueError: an array that is no such image.
        """
        found = self.detector([torch.from_numpy(np.ascontiguousarray(pixels))])[0]
        assert found.points is not None
        tight = decode(found.boxes.cpu(), self.tight)
        values = (values.cpu().double().numpy() for values in (tight, found.boxes, found.scores, found.points))
        faces = [FoundFace(box, own, float(score), points) for box, own, score, points in zip(*values, strict=True)]
        return [face for face in faces if box_fault(face.box, pixels.shape) is None]
