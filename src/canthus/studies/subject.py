"""What studies are about: the faces of a data set, and what trained models say about them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.progress import track
from torch import Tensor

from canthus.data.batch import InputSpec
from canthus.data.corruptions import Corruption, in_training
from canthus.data.datamodule import FaceDataModule
from canthus.data.face import Face, Reader
from canthus.data.labels import reduced_face
from canthus.data.making import build_data
from canthus.geometry import affine
from canthus.geometry.boxes import box_of_points, centred_box
from canthus.geometry.generic_face import SCHEME
from canthus.metrics import normaliser_distance
from canthus.runs.loading import open_run
from canthus.schemes import Scheme, load_scheme
from canthus.studies.alignment.faces import StudyFaces
from canthus.utils.errors import ConfigError, DataError

__all__ = ["Run", "Subject"]


@dataclass(frozen=True, eq=False)
class Subject:
    """The N faces of a study.

    Attributes:
        faces: with moved boxes.
        reader: of their images.
        labels: (N, 68, 2) image pixels.
        scheme: of the labels.
        distances: normaliser -> (N,) image pixels.
    """

    faces: Sequence[Face]
    reader: Reader
    labels: Tensor
    scheme: Scheme
    distances: dict[str, Tensor]

    @classmethod
    def of(cls, cfg: DictConfig) -> "Subject":
        """Read the faces; small stored pictures cost little.

        Raises:
            DataError: a face that is not labelled in full.
        """
        data = _module(cfg, InputSpec(16, 1, centred_box(16, 0.5)), SCHEME)
        faces = [reduced_face(face, SCHEME) for face in data.faces("test")]
        bare = [face for face in faces if not face.visibility.all()]
        if bare:
            raise DataError(
                f"{len(bare)} of {len(faces)} faces have unlabelled points, {bare[0].image} for one; "
                "studies need parts that are labelled in full: set data.test_parts"
            )
        labels = torch.from_numpy(np.stack([face.landmarks for face in faces]))
        seen, box, index = torch.ones(labels.shape[:2]), box_of_points(labels), torch.arange(len(faces))
        scheme = load_scheme(SCHEME)
        distances = {
            name: normaliser_distance(labels, seen, box, name, scheme, index) for name in ("inter_ocular", "box")
        }
        return cls(faces, data.reader, labels, scheme, distances)

    @property
    def clips(self) -> list[str]:
        """The video, or else the image, of every face."""
        return [f"{face.identity}/{face.extra.get('video', face.photo)}" for face in self.faces]

    @property
    def groups(self) -> list[str]:
        """The person, or else the image, of every face."""
        return [face.identity or face.photo for face in self.faces]

    def pictures(self) -> list[NDArray[np.uint8]]:
        """The images of all faces."""
        return [self.reader.pixels(face.image) for face in track(self.faces, description="images", transient=True)]


class Run:
    """A trained model and what it says about the study's faces.

    Args:
        folder: of the run.
        cfg: of the study.

    Attributes:
        gives_poses: whether its points are those of a pose; known after `points`.
        milliseconds: processor time a face without the crop; likewise.
        augmented: corruptions that it met in training.
    """

    def __init__(self, folder: Path, cfg: DictConfig) -> None:
        opened = open_run(folder, cfg.checkpoint, trust=cfg.trust)
        self.name, self._cfg, self.model = folder.name, cfg, opened.model
        self.augmented = in_training(opened.config.data.get("augmentation"))
        self.gives_poses, self.milliseconds = False, float("nan")
        self._data: FaceDataModule | None = None

    def points(
        self, faces: Sequence[Face], rows: Sequence[int] | None = None, corruption: Corruption | None = None
    ) -> Tensor:
        """(N, K, 2) image pixels.

        Args:
            faces: of the study.
            rows: places of the N faces among them; all if None.
            corruption: of the pictures.

        Raises:
            ConfigError: its store holds other faces.
        """
        self._data = data = self._data or _module(self._cfg, self.model.input, self.model.scheme.name)
        if [face.image for face in data.faces("test")] != [face.image for face in faces]:
            raise ConfigError(f"{self.name}: its store holds other faces than the study; clear {self._cfg.data.cache}")
        data.corruption = corruption
        places = list(range(len(faces)) if rows is None else rows)
        found, spent = [], 0.0
        with torch.inference_mode():
            for first in range(0, len(places), data.batch_size):
                batch = data.inputs_of("test", places[first : first + data.batch_size])
                begin = time.process_time()
                estimates = self.model.final_estimates(batch)
                spent += time.process_time() - begin
                self.gives_poses = estimates.pose is not None
                found.append(affine.apply(batch["to_original"], estimates.points[-1].float()).double())
        self.milliseconds = 1000 * spent / len(places)
        return torch.cat(found)


def _module(cfg: DictConfig, spec: InputSpec, scheme: str) -> FaceDataModule:
    """The study's faces as a model wants to see them."""
    data = build_data(cfg.data, spec, scheme=scheme)
    data.reader = StudyFaces(data.reader, cfg.persons, cfg.box_noise, cfg.seed)
    data.setup("test")
    return data
