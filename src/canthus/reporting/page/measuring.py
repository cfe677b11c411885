"""The models behind a page, one after the other in memory: what they cost, and what they make of some faces."""

import json
from collections.abc import Iterator, Sequence
from logging import getLogger
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.progress import track

from canthus.evaluation.cost import Cost, measure_cost
from canthus.inference.predictor import Predictor
from canthus.reporting.page.gallery import Images, draw_face_stages
from canthus.reporting.page.measured import Measured, Picture
from canthus.reporting.page.protocols import Group, Row
from canthus.runs.loading import open_run
from canthus.runs.trust import Bounds
from canthus.utils.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from canthus.reporting.page.records import Record

__all__ = ["chosen_faces", "measure_models"]

log = getLogger(__name__)

MEASURED, DRAWN = 40, 20
"""Models of a page that are counted and timed, and whose faces are drawn: the best of each protocol in turn."""
OWN, COMMON = ("best", "median", "worst"), ("easy", "middling", "hard")

Subject = tuple[Group, Row]


def measure_models(groups: Sequence[Group], cfg: "DictConfig", bounds: Bounds) -> Measured:
    """Count, time and draw.

    Args:
        groups: of the page.
        bounds: folders from which images may be shown.
        cfg: ``measure``, ``latency``, ``threads``, ``device``, ``faces``, ``trust`` of report.yaml.

    Raises:
        ConfigError: no such device.
    """
    measured = Measured()
    if not (cfg.measure or cfg.faces):
        return measured
    try:
        device = torch.device(cfg.device)
    except RuntimeError as error:
        raise ConfigError(f"device={cfg.device}: {error}") from error
    images, before = Images(bounds), torch.get_num_threads()
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    try:
        drawn = set(_best(groups, DRAWN)) if cfg.faces else set()
        known: dict[str, Cost] = {}
        for group, row in track(_best(groups, MEASURED), description="models", transient=True):
            record = row.records[0]
            alike = _architecture(record)
            if (group, row) not in drawn and alike in known:  # what it costs does not depend on its weights
                assert record.training is not None
                measured.costs[record.training.checkpoint or record.folder] = known[alike]
                continue
            model = _predictor(record, device, measured, trust=cfg.trust)
            if cfg.measure and model is not None:
                assert record.training is not None
                assert record.training.checkpoint is not None
                path = record.training.checkpoint
                if path not in measured.costs:
                    measured.costs[path] = measure_cost(model.model, model, cfg.latency)
                known.setdefault(alike, measured.costs[path])
            if (group, row) in drawn:
                _draw(group, row, model, images, measured)
    finally:
        torch.set_num_threads(before)
    for pictures in measured.common.values():
        if not any(picture.face.pictures for picture in pictures):
            measured.missing += [f"{picture.row.label}: {note}" for picture in pictures for note in picture.face.notes][
                :1
            ]
    return measured


def _best(groups: Sequence[Group], most: int) -> list[Subject]:
    """Of each protocol the best row, then the second, and so on, up to ``most``; in the order of the page."""
    ranked = [(place, number) for number, group in enumerate(groups) for place in range(len(group.rows))]
    chosen = sorted((number, place) for place, number in sorted(ranked)[:most])
    return [(groups[number], groups[number].rows[place]) for number, place in chosen]


def _architecture(record: "Record") -> str:
    """What the cost of a model depends on."""
    settings = record.training.config if record.training else {}
    return json.dumps([settings.get(key) for key in ("model", "data")] + [record.settings], default=str)


def _predictor(record: "Record", device: torch.device, measured: Measured, *, trust: bool) -> Predictor | None:
    """The model of an evaluation, if it is at hand; why it is not is among what is missing."""
    training = record.training
    if training is None or training.checkpoint is None:
        return None
    try:
        flip = record.config.get("flip_average")
        opened = open_run(
            training.folder,
            str(training.checkpoint),
            trust=trust,
            flip_average=None if flip is None else bool(flip),
        )
        return Predictor.of(opened, device=str(device))
    except Exception as error:  # a stranger's config leads anywhere; the page goes on without this model
        log.debug("%s", training.folder, exc_info=True)
        measured.missing.append(f"{training.folder}: its model cannot be loaded ({str(error).splitlines()[0]})")
        return None


def _draw(group: Group, row: Row, model: Predictor | None, images: Images, measured: Measured) -> None:
    record = row.records[0]
    if record.predictions is None:
        return
    if group.protocol.shown != "as they are":
        measured.missing.append(
            f"{row.label} in protocol {group.name}: no pictures, its faces were shown {group.protocol.shown}"
        )
        return
    for rank, number in chosen_faces(group, row):
        prediction = record.predictions[group.keys[number]]
        try:
            face = draw_face_stages(
                prediction, record.config, group.protocol.split, group.protocol.scheme, images, model
            )
        except Exception as error:  # a stranger's boxes, points and settings may be anything
            log.debug("%s", record.folder, exc_info=True)
            reason = str(error).partition("\n")[0] or type(error).__name__
            measured.missing.append(f"{row.label}: its {rank} face cannot be drawn ({reason})")
            continue
        common = rank in COMMON
        kept = measured.common if common else measured.own
        kept.setdefault(group, []).append(Picture(rank, row, face.last if common else face))


def chosen_faces(group: Group, row: Row) -> Iterator[tuple[str, int]]:
    """Rank and place of the faces to draw: of a row's own errors, and of the mean rank among all rows."""
    yield from zip(OWN, _by_rank(row.first_errors(group.keys)), strict=False)
    yield from zip(COMMON, _by_rank(group.hardness), strict=False)


def _by_rank(values: "np.typing.NDArray[np.float64] | None") -> list[int]:
    """Places of the lowest, the middle and the highest finite value."""
    if values is None:
        return []
    order = [int(place) for place in values.argsort() if np.isfinite(values[place])]
    return [order[0], order[(len(order) - 1) // 2], order[-1]] if order else []
