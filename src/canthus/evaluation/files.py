"""The files of an evaluation: metrics.json and predictions.csv, each with one writer and one reader."""

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from canthus.utils.escaping import csv_value, writing_csv
from canthus.utils.files import read_json, replacing
from canthus.utils.old_names import METRICS, renamed

__all__ = [
    "DetectionMetrics",
    "Metrics",
    "MissingFaces",
    "NormaliserMetrics",
    "PoseMetrics",
    "Prediction",
    "SubsetMetrics",
    "VisibleMetrics",
    "read_errors",
    "read_metrics_json",
    "read_predictions",
    "write_errors",
    "write_metrics_json",
    "write_predictions",
]

FACE_COLUMNS = ("index", "image", "photo", "part", "attributes", "box_x1", "box_y1", "box_x2", "box_y2")


REQUIRED = ("model", "data", "normaliser", "threshold", "subsets")


REQUIRED_OF_SUBSET = ("faces", "nme", "nme_per_stage", "auc", "failure_rate")


@dataclass(frozen=True, eq=False)
class Prediction:
    """One face of ``predictions.csv``.

    Attributes:
        index: place of the face in the data set.
        image: path of the image.
        photo: key of the image.
        part: folder or list of the data set that the face comes from.
        attributes: names of the conditions that hold.
        box: (4,) ``xyxy``, original-image pixels.
        nme_per_stage: (S,) errors in percent, coarse to fine; NaN without labels, infinite when the estimate failed.
        landmarks: (K, 2) estimate of the last stage, original-image pixels, centres at integers.
    """

    index: int
    image: str
    photo: str
    part: str
    attributes: frozenset[str]
    box: ArrayLike
    nme_per_stage: ArrayLike
    landmarks: ArrayLike


class VisibleMetrics(TypedDict):
    """NME of the last stage over the visible points alone, percent, and the number of faces that have any."""

    faces: int
    nme: float | None


class NormaliserMetrics(TypedDict):
    """NME under another normaliser than the one of the file, percent of that one."""

    nme: float | None
    nme_per_stage: list[float | None]


class PoseMetrics(TypedDict):
    """Head poses against ``labels`` or ``pnp``: mean errors in degrees over ``faces`` that have a true pose.

    ``nme_bound`` is the NME in percent of the generic face under its true pose.
    """

    truth: str
    faces: int
    yaw: NotRequired[float]
    pitch: NotRequired[float]
    roll: NotRequired[float]
    mae: NotRequired[float]
    geodesic: NotRequired[float]
    vectors: NotRequired[float]
    mae_interval: NotRequired[list[float]]
    nme_bound: NotRequired[float]


class SubsetMetrics(TypedDict):
    """Numbers of one subset of faces: percent, except counts of faces.

    ``missing`` counts the faces without an estimate: they are failures in ``auc`` and ``failure_rate``, and every NME
    is over the others (None if there are no others). ``nme_interval`` is the 95 % bootstrap interval of ``nme`` over
    faces. ``nme_initial`` is the error of the shape that the cascade started from, the floor to leave behind.
    ``visible_only`` is there where some points are labelled as occluded, ``pose`` where the method estimates one.
    """

    faces: int
    nme: float | None
    nme_per_stage: list[float | None]
    auc: float
    failure_rate: float
    missing: NotRequired[int]
    nme_interval: NotRequired[list[float]]
    nme_initial: NotRequired[float]
    visible_only: NotRequired[VisibleMetrics]
    other_normalisers: NotRequired[dict[str, NormaliserMetrics]]
    pose: NotRequired[PoseMetrics]


class MissingFaces(TypedDict):
    """Faces of the split without an estimate: ``treated`` as ``failure`` (counted as such) or ``skip`` (left out)."""

    treated: str
    faces: list[str]


class DetectionMetrics(TypedDict):
    """Boxes that a method finds itself, against the faces of whole images; percent, except counts and ``iou``.

    ``ap`` (average precision as WIDER FACE computes it) and ``recall`` are of the last stage; a box is true from an
    overlap of ``iou`` on. ``boxes_per_stage`` is of an image, on average. ``subsets`` is about the faces with an
    attribute, ``rate_at_false_positives`` is FDDB's discrete curve at some counts of false positives, and
    ``trained_on`` counts the images that the model was trained on.
    """

    images: int
    faces: int
    iou: float
    ap: float
    recall: float
    ap_per_stage: list[float]
    recall_per_stage: list[float]
    boxes_per_stage: list[float]
    subsets: dict[str, dict[str, float]]
    rate_at_false_positives: dict[str, float]
    trained_on: NotRequired[int]


class ToolCost(TypedDict, total=False):
    """What another tool cost: minutes of training, milliseconds of a face, megabytes of its file; and a remark."""

    minutes: float
    milliseconds: float
    megabytes: float
    remark: str


class Metrics(TypedDict):
    """``metrics.json``. NME, AUC and failure rate are percent, ``threshold`` too.

    ``split`` is ``val`` or ``test``, ``scheme`` that of the landmarks; ``corruption`` and ``severity`` are there where
    the faces were not shown as they are, see `canthus.data.corruptions`; ``regions`` maps a landmark region to its NME
    per stage over the first subset; ``stages`` names the stages. ``trained_on`` counts the faces on images that the
    model was trained on; it is absent where nobody knows. ``incomplete`` maps a part of which not all faces were at
    hand to how many were, and how many there are. ``cost`` is what another tool says of itself. ``end_to_end`` is
    what a detector did where the faces were sought in whole images, see `canthus.evaluation.whole_images`.
    ``detection`` is there for methods that find faces.
    """

    model: str
    data: str
    normaliser: str
    threshold: float
    subsets: dict[str, SubsetMetrics]
    split: NotRequired[str]
    scheme: NotRequired[str]
    corruption: NotRequired[str]
    severity: NotRequired[int]
    missing: NotRequired[MissingFaces]
    trained_on: NotRequired[int]
    incomplete: NotRequired[dict[str, tuple[int, int]]]
    cost: NotRequired[ToolCost]
    end_to_end: NotRequired[dict[str, Any]]
    regions: NotRequired[dict[str, list[float]]]
    stages: NotRequired[list[str]]
    detection: NotRequired[DetectionMetrics]


def write_predictions(path: Path, rows: Iterable[Prediction]) -> Path:
    """Write ``predictions.csv``, numbers rounded to 4 decimals.

    The header is ``index, image, photo, part, attributes, box_x1, box_y1, box_x2, box_y2``, then ``nme_stage_1`` to
    ``nme_stage_S`` and ``x0, y0`` to ``x(K-1), y(K-1)``. Attributes are sorted and separated by ``;``. Texts that a
    spreadsheet would run begin with an apostrophe, see `canthus.utils.escaping.csv_cell`.

    Args:
        path: the file; folders on the way are made.
        rows: at least one face, all with the same S and K.

    Returns:
        ``path``.

    Raises:
        ValueError: no rows, rows of different lengths, or an attribute with a semicolon.
    """
    sizes: tuple[int, int] | None = None
    with writing_csv(path) as write:
        for row in rows:
            box, nme, points = (np.asarray(a, dtype=np.float64) for a in (row.box, row.nme_per_stage, row.landmarks))
            if box.shape != (4,) or nme.ndim != 1 or points.shape != (len(points), 2):
                raise ValueError(
                    f"face {row.index}: box {box.shape}, nme_per_stage {nme.shape} and landmarks {points.shape} "
                    "do not have the shapes (4,), (S,) and (K, 2)"
                )
            if sizes is None:
                sizes = (len(nme), len(points))
                write(_header(*sizes))
            if sizes != (len(nme), len(points)):
                raise ValueError(f"face {row.index} has {len(nme)} stages and {len(points)} points, not {sizes}")
            if any(";" in name for name in row.attributes):
                raise ValueError(f"face {row.index}: an attribute of {sorted(row.attributes)} holds the separator ';'")
            texts = [row.index, row.image, row.photo, row.part, ";".join(sorted(row.attributes))]
            write(texts + [f"{value:.4f}" for value in (*box, *nme, *points.reshape(-1))])
        if sizes is None:
            raise ValueError(f"{path}: no predictions to write")
    return path


def read_predictions(path: Path) -> list[Prediction]:
    """Read what ``write_predictions`` wrote; boxes, errors and points come back as float64 arrays.

    Raises:
        ValueError: the header is not that of predictions.csv, or a row is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:  # an empty file has no header
        raise ValueError(
            f"{path}: not the predictions.csv of an evaluation ({error}); evaluate the run again"
        ) from error
    stages = sum(name.startswith("nme_stage_") for name in header)
    first = len(FACE_COLUMNS)
    points = (len(header) - first - stages) // 2
    if header != _header(stages, points):
        raise ValueError(f"{path}: the header {header[:12]} ... is not that of predictions.csv; evaluate the run again")
    rows = []
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise ValueError(f"{path}: row {number} has {len(line)} fields and the header {len(header)}")
        image, photo, part, attributes = map(csv_value, line[1:5])
        try:
            values, index = np.array(line[5:], dtype=np.float64), int(line[0])
        except ValueError as error:
            raise ValueError(f"{path}: row {number}: {error}; evaluate the run again") from error
        rows.append(
            Prediction(
                index=index,
                image=image,
                photo=photo,
                part=part,
                attributes=frozenset(filter(None, attributes.split(";"))),
                box=values[:4],
                nme_per_stage=values[4 : 4 + stages],
                landmarks=values[4 + stages :].reshape(-1, 2),
            )
        )
    return rows


def write_errors(path: Path, index: ArrayLike, columns: Mapping[str, ArrayLike]) -> Path:
    """Write ``errors.csv``: what is known of every face besides its predictions, numbers rounded to 4 decimals.

    Args:
        path: the file.
        index: (N,) places of the faces in the data set.
        columns: name -> (N,), or (N, S) of the stages, which become ``name_stage_1`` to ``name_stage_S``.
    """
    header, values = ["index"], [np.asarray(index, dtype=np.float64)[:, None]]
    for name, column in columns.items():
        array = np.asarray(column, dtype=np.float64)
        header += [name] if array.ndim == 1 else [f"{name}_stage_{stage + 1}" for stage in range(array.shape[1])]
        values.append(array.reshape(len(array), -1))
    with writing_csv(path) as write:
        write(header)
        for number, *row in np.concatenate(values, axis=1).tolist():
            write([int(number), *(f"{value:.4f}" for value in row)])
    return path


def read_errors(path: Path) -> dict[str, NDArray[np.float64]]:
    """Column -> (N,) of what `write_errors` wrote.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
        values = np.array([[float(cell) for cell in line] for line in lines]).reshape(len(lines), len(header))
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ValueError(f"{path}: not the errors.csv of an evaluation ({error}); evaluate the run again") from error
    return dict(zip(header, values.T, strict=True))


def write_metrics_json(
    path: Path,
    *,
    model: str,
    data: str,
    normaliser: str,
    threshold: float,
    subsets: Mapping[str, Mapping[str, Any]],
    **others: Any,
) -> Path:
    """Write ``metrics.json`` as `Metrics` describes it. Array and tensor scalars are welcome as numbers.

    Args:
        path: the file; folders on the way are made.
        model: name of the model.
        data: name of the data set.
        normaliser: what the errors are divided by.
        threshold: of AUC and failure rate, percent.
        subsets: subset name to the fields of `SubsetMetrics`, the most general subset first.
        **others: further keys of `Metrics`; those that are None are left out.

    Returns:
        ``path``.

    Raises:
        ValueError: a missing field, or a number that is NaN or infinite; the message names its place.
    """
    content: dict[str, Any] = {
        "model": model,
        "data": data,
        "normaliser": normaliser,
        "threshold": threshold,
        "subsets": subsets,
    }
    content |= {key: value for key, value in others.items() if value is not None}
    metrics = _checked(_plain(content, str(path)), path)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read_metrics_json(path: Path) -> Metrics:
    """Read and check ``metrics.json``.

    Raises:
        ValueError: not JSON, a missing field, or a number that is NaN or infinite.
    """
    content = read_json(path, "evaluate the run again")
    if isinstance(content, dict):
        content = renamed(content, METRICS)
    return _checked(_plain(content, str(path)), path)


def _header(stages: int, points: int) -> list[str]:
    """The header of ``predictions.csv`` for S stages and K points."""
    errors = [f"nme_stage_{i + 1}" for i in range(stages)]
    return [*FACE_COLUMNS, *errors, *(f"{axis}{k}" for k in range(points) for axis in "xy")]


def _plain(value: Any, place: str) -> Any:
    """Mappings, sequences, array and tensor scalars as what JSON knows; numbers that are not finite raise."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}: {key}") for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(
            f"{place} is {value}; a metric must be a finite number: a face without labels, or a diverged model?"
        )
    return value


def _checked(content: Any, path: Path) -> Metrics:
    """The content, once every field of the contract is there."""
    if not isinstance(content, dict):
        raise ValueError(f"{path}: the top level is a {type(content).__name__}, not an object")
    missing = [key for key in REQUIRED if key not in content]
    subsets = content.get("subsets", {})
    if not isinstance(subsets, dict) or not all(isinstance(subset, dict) for subset in subsets.values()):
        raise ValueError(f"{path}: subsets are no objects by their names; evaluate the run again")
    for name, subset in subsets.items():
        missing += [f"subsets.{name}.{key}" for key in REQUIRED_OF_SUBSET if key not in subset]
    if missing:
        raise ValueError(f"{path}: {', '.join(missing)} missing")
    return cast(Metrics, content)
