"""Faces of an evaluation with every stage drawn: the model runs once more on the images that its files name."""

import json
from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canthus.data import make_reader
from canthus.data.face import Face, Reader
from canthus.data.images import read_image
from canthus.data.labels import reduced_face
from canthus.data.store import box_fault
from canthus.evaluation.files import Prediction
from canthus.inference.predictor import LocatedFace, Predictor
from canthus.reporting.comparison import BOX_TOLERANCE
from canthus.reporting.page.measured import DrawnFace
from canthus.runs.trust import Bounds, check_trust
from canthus.schemes import load_scheme, reduce_points
from canthus.utils.errors import DataError
from canthus.visualization.drawing import stage_tiles
from canthus.visualization.images import encoded

__all__ = ["Images", "draw_face_stages"]

log = getLogger(__name__)

SIDE = 208
"""Pixels of a tile."""
MOST_RENDERED = 100_000
"""Rendered faces whose labels are made for the few that are drawn; a stranger's config may ask for any number."""
QUALITY = 82
"""Of the JPEGs."""
CLOSE = 0.01
"""Share of the box's side that a point may lie from where predictions.csv has it: the same estimate, from the
image itself instead of the stored crop, and in other batches."""


class Images:
    """Pixels and labels of evaluated faces, from the data that the evaluation's config names.

    Args:
        bounds: folders from which images are opened; with its ``trust`` from anywhere, also by readers from outside
            canthus.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._readers: dict[str, Reader | None] = {}
        self._labels: dict[tuple[str, str], dict[str, list[Face]]] = {}

    def pixels(self, row: Prediction, config: Mapping[str, Any], split: str) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB.

        Raises:
            DataError: the image is not at hand, or lies where nobody has allowed to look.
        """
        reader = self._reader(config)
        if (reader is None or not reader.renders) and Path(row.image) not in self.bounds:
            raise DataError(f"{row.image} lies outside of the named folders: images=DIR names its own")
        if reader is None:
            return read_image(Path(row.image), exif="ignore")
        self.label(row, config, split)  # what labels state about an image may decide which way up it is
        return reader.pixels(Path(row.image))

    def label(self, row: Prediction, config: Mapping[str, Any], split: str) -> Face | None:
        """The labelled face of a row; None where the data set is not available."""
        reader = self._reader(config)
        if reader is None:
            return None
        key = (_key(config), split)
        if reader.renders and getattr(reader, "size", 0) > MOST_RENDERED:
            return None
        if key not in self._labels:
            parts = config["data"].get("test_parts" if split == "test" else "train_parts") or []
            faces: dict[str, list[Face]] = {}
            try:
                for face in reader.faces(list(parts)):
                    faces.setdefault(str(face.image), []).append(face)
            except (DataError, TypeError, ValueError, LookupError, OSError):  # of a stranger's settings
                faces = {}
            self._labels[key] = faces
        box = np.asarray(row.box)
        alike = [face for face in self._labels[key].get(row.image, ()) if np.abs(face.box - box).max() < BOX_TOLERANCE]
        return alike[0] if alike else None

    def _reader(self, config: Mapping[str, Any]) -> Reader | None:
        key = _key(config)
        if key not in self._readers:
            data = config.get("data")
            self._readers[key] = None
            if isinstance(data, Mapping) and "reader" in data:
                try:
                    check_trust({"data": dict(data)}, Path(), trust=self.bounds.trust)
                    self._readers[key] = make_reader(str(data["reader"]), dict(data))
                except Exception as error:  # a stranger's values; the images may still be where predictions.csv says
                    log.debug("no reader for %s: %s", data.get("name"), error)
        return self._readers[key]


def draw_face_stages(
    row: Prediction,
    config: Mapping[str, Any],
    split: str,
    scheme: str,
    images: Images,
    model: Predictor | None,
) -> DrawnFace:
    """Draw every stage of one face; without a model the last one alone, from predictions.csv.

    Args:
        row: of predictions.csv.
        config: of the evaluation.
        split: val or test.
        scheme: of the points.
        images: where pixels and labels come from.
        model: of the run, if it is at hand.
    """
    errors = [float(value) if np.isfinite(value) else None for value in np.asarray(row.nme_per_stage)]
    name, notes = Path(row.image).name, []
    try:
        pixels = images.pixels(row, config, split)
    except (DataError, KeyError, OSError, ValueError) as error:
        return DrawnFace(name, notes=[f"the image is not at hand ({error})"])
    if fault := box_fault(np.asarray(row.box, dtype=np.float64), pixels.shape):
        return DrawnFace(name, notes=[f"cannot be drawn: {fault}"])
    face = images.label(row, config, split)
    try:
        truth = None if face is None else reduced_face(face, scheme)
    except DataError:
        truth = None
    if truth is None:
        notes.append("the labels are not at hand, so the estimate alone is drawn")
    located = _located(row, pixels, model)
    if located is None:
        stages, names, pose = [np.asarray(row.landmarks)], ["last stage"], None
        errors = errors[-1:]
        notes.append("the model is not at hand, so the last stage alone is drawn, from predictions.csv")
    else:
        assert model is not None
        own, pose = model.model.scheme, located.pose
        stages = list(located.stages if own.name == scheme else reduce_points(located.stages, own, scheme))
        names = [f"stage {number + 1}" for number in range(len(stages))]
        if len(stages) != len(errors):
            errors = [None] * len(stages)
        moved = _moved(stages[-1], row)
        if moved > CLOSE:
            notes.append(
                f"drawn anew from the image; the points are up to {100 * moved:.0f} % of the box from those of "
                "predictions.csv"
            )
    tiles = stage_tiles(
        pixels,
        stages,
        None if truth is None else truth.landmarks,
        row.box,
        load_scheme(scheme),
        side=SIDE,
        visibility=None if truth is None else truth.visibility,
        pose=pose,
    )
    return DrawnFace(name, errors, names, [encoded(tile, ".jpg", quality=QUALITY) for tile in tiles], notes)


def _located(row: Prediction, pixels: NDArray[np.uint8], model: Predictor | None) -> LocatedFace | None:
    if model is None:
        return None
    return model(pixels, np.asarray(row.box, dtype=np.float64)[None])[0]


def _moved(located: NDArray[np.float64], row: Prediction) -> float:
    """How far the furthest point lies from predictions.csv, in sides of the box."""
    box, points = np.asarray(row.box), np.asarray(row.landmarks)
    if points.shape != located.shape or not np.isfinite(points).all():
        return 0.0
    return float(np.abs(points - located).max() / (box[2:] - box[:2]).mean())


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(config.get("data"), sort_keys=False, default=str)
