"""canthus-eval predictions=...: score what any tool predicted, by the protocol of trained models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from canthus.commands import checks, schemas
from canthus.utils import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from omegaconf import DictConfig

    from canthus.data.face import Face
    from canthus.evaluation.external.predictions import Predictions
    from canthus.evaluation.files import MissingFaces
    from canthus.schemes import Scheme

MISSING = ("error", "failure", "skip")
SHOWN = 10
"""Images that a message names."""


def score(cfg: DictConfig) -> float:
    """Score predictions.

    Args:
        cfg: composed from score.yaml.

    Returns:
        NME over the faces that have a prediction, percent.

    Raises:
        ConfigError: a setting that cannot work, or faces without a prediction under ``missing=error``.
    """
    from canthus.data.batch import InputSpec
    from canthus.data.labels import reduced_face
    from canthus.data.making import build_data
    from canthus.data.orientations import warn_of_other_frame
    from canthus.evaluation.external.matching import place_predictions
    from canthus.evaluation.external.predictions import read_cost, read_predicted
    from canthus.evaluation.points import measured_points
    from canthus.geometry.boxes import centred_box
    from canthus.reporting.comparison import check_comparable, write_comparison
    from canthus.reporting.results import print_results, write_results
    from canthus.reporting.summary import refresh_summary
    from canthus.runs import record

    checks.check(cfg, schemas.ScoreConfig)
    for key, known in (("split", ("val", "test")), ("missing", MISSING), ("first_pixel", (None, 0, 1))):
        if cfg[key] not in known:
            raise errors.ConfigError(f"{key}={cfg[key]}: one of {', '.join(map(str, known))}")
    check_places(cfg)
    source, output = Path(cfg.predictions), Path(cfg.output)
    predictions, cost = read_predicted(source, cfg.first_pixel), read_cost(source)
    if cfg.compare:
        check_comparable(Path(cfg.compare))
    record.hush()
    with record.recorded(output, cfg, refresh_summary):
        # for tools as for models, the store decides which images can be used; small pictures cost little
        small = InputSpec(16, 1, centred_box(16, 0.5))
        data = build_data(cfg.data, small)
        data.setup("test" if cfg.split == "test" else "validate")
        if not data.faces(cfg.split):
            raise errors.ConfigError(f"split={cfg.split} of this data holds no face; choose another split")
        scheme = _scheme(cfg.scheme, predictions, data.scheme)
        faces = [reduced_face(face, data.scheme.name) for face in data.faces(cfg.split)]
        root = cfg.data.get("root")
        points = place_predictions(faces, predictions, scheme, Path(root) if root else None)
        warn_of_other_frame(data.reader, faces, points)
        missing = _check_missing(faces, points, cfg.missing)
        result = measured_points(
            data,
            cfg.split,
            faces,
            points[:, None],
            normaliser=cfg.normaliser,
            normalisers=cfg.normalisers,
            threshold=cfg.threshold,
            skip_missing=cfg.missing == "skip",
        )
        name = cfg.name or source.stem
        metrics = write_results(output, result, data, name, overlays=cfg.overlays, missing=missing, cost=cost)
        comparison = write_comparison(output, Path(cfg.compare)) if cfg.compare else None
        print_results(metrics, output, comparison)
        nme = metrics["subsets"]["full"]["nme"]
        return float("nan") if nme is None else nme


def check_places(cfg: DictConfig) -> None:
    """Refuse an output that would be written over what is read.

    Raises:
        ConfigError: naming both.
    """
    from canthus.utils import outputs

    compared = [Path(cfg.compare)] if cfg.compare else []
    places = {"predictions": [Path(cfg.predictions)], "compare": compared, "data": outputs.places_in(cfg.data)}
    outputs.check_folder(Path(cfg.output), places)


def _scheme(name: str | None, predictions: Predictions, wanted: Scheme) -> Scheme:
    """The scheme of the predictions: as the user says, else as the file says, else by the number of points.

    Raises:
        ConfigError: no such scheme, one with another number of points, or one that does not reduce to the data's.
    """
    from canthus.schemes import load_scheme

    same = str(predictions.num_points) == str(wanted.num_landmarks)
    chosen = name or predictions.scheme or (wanted.name if same else str(predictions.num_points))
    try:
        scheme = load_scheme(chosen)
    except ValueError as error:
        raise errors.ConfigError(
            f"scheme={chosen}: {error}; predictions with {predictions.num_points} points have to be brought to one of "
            "these first"
        ) from error
    if scheme.num_landmarks != predictions.num_points:
        raise errors.ConfigError(
            f"scheme={chosen} has {scheme.num_landmarks} points and the predictions {predictions.num_points}"
        )
    if scheme.name != wanted.name and wanted.name not in scheme.reductions:
        raise errors.ConfigError(
            f"the predictions follow scheme {scheme.name!r}, which does not reduce to data.scheme={wanted.name}; set "
            f"data.scheme={scheme.name} if the labels reduce to it, and a normaliser that it has"
        )
    return scheme


def _check_missing(faces: Sequence[Face], points: NDArray[np.float64], treated: str) -> MissingFaces | None:
    """What metrics.json says about faces without a prediction, None without any.

    Raises:
        ConfigError: there are some, and nothing was said about them; or there are no others.
    """
    import numpy as np

    from canthus.evaluation.files import MissingFaces

    names = [str(face.image) for face, row in zip(faces, points, strict=True) if not np.isfinite(row).all()]
    if not names:
        return None
    some = "\n  ".join(names[:SHOWN]) + (f"\n  and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    if len(names) == len(faces):
        raise errors.ConfigError(f"no prediction fits any of the {len(faces)} faces:\n  {some}")
    if treated == "error":
        raise errors.ConfigError(
            f"{len(names)} of {len(faces)} faces have no prediction:\n  {some}\nAdd missing=failure to count them as "
            "failures in AUC and FR (NME is then over the others), or missing=skip to leave them out"
        )
    return MissingFaces(treated=treated, faces=names)
