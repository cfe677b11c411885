"""The faces that a run remembers: kept beside its checkpoints, or in the header of its file of weights."""

import json
from logging import getLogger
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from canthus import packing, zoo
from canthus.callbacks.faces import EvaluatedFaces, TrainingFaces
from canthus.config import ConfigError
from canthus.data.datamodule import FaceDataModule
from canthus.data.face import DataError, Face
from canthus.data.remembered import FaceList, Remembered
from canthus.data.split import hold_out
from canthus.trust import own_file

__all__ = ["FILE", "HEADER", "give_split", "of_evaluation", "of_training", "remembered"]

log = getLogger(__name__)

FILE = "faces.json.gz"
HEADER = "faces"
"""Key in the header of a file of weights."""
SPLIT = {"validation": 0.1, "validation_seed": 0, "validation_rule": "draw"}
"""Settings of the data that divide them, and what a config means that does not have them."""


def _of_zoo(stored: Path) -> Any:
    """What a file of the zoo was trained on; None for other files."""
    path = zoo.FOLDER / zoo.FACES
    if stored.resolve().parent != zoo.FOLDER.resolve() or not path.is_file():
        return None
    entries = json.loads(path.read_text(encoding="utf-8"))
    return next((entry[HEADER] for entry in entries if stored.stem in entry["models"]), None)


def of_training(folder: Path, cfg: DictConfig, data: FaceDataModule, *, resumed: bool) -> TrainingFaces:
    """What keeps the faces of a training, and compares them with those that a resumed run began with.

    Args:
        folder: of the run.
        cfg: of the run.
        data: not set up yet; a resumed run holds out what it held out.
        resumed: from a checkpoint.

    Raises:
        ConfigError: a damaged list.
    """
    before = _face_list(folder) if resumed else None
    if before is not None:
        data.remembered = before.remembered()
    elif resumed:
        log.warning(
            "%s keeps no list of its faces, like runs of older versions: whether its data are the same is not checked",
            folder,
        )
    earlier = remembered(zoo.run_path(cfg.init_from)) if cfg.init_from and not resumed else None
    return TrainingFaces(folder / FILE, before, earlier, allow_changes=cfg.allow_changed_data)


def of_evaluation(cfg: DictConfig, trained: DictConfig, data: FaceDataModule, *, own: bool) -> EvaluatedFaces | None:
    """What counts the evaluated faces that the run was trained on; None where nothing is known about these.

    Args:
        cfg: of the evaluation.
        trained: config of the run.
        data: not set up yet; the run's own are divided as the run divided them, unless their settings say otherwise.
        own: whether they are the run's own.

    Raises:
        ConfigError: a damaged list.
    """
    known = remembered(zoo.run_path(cfg.run))
    if known is None:
        if cfg.data.get("name") != trained.data.get("name") or _divided_alike(cfg.data, trained.data):
            return None
        try:
            known = _reconstructed(data, trained.data)
        except DataError as error:  # its training parts need not be at hand
            log.warning("which faces %s was trained on is not known: %s", cfg.run, error)
            return None
    elif own:
        give_split(data, cfg.data, trained.data, known)
    return EvaluatedFaces(known, own=own, allow=cfg.allow_trained_on)


def _face_list(run: Path) -> FaceList | None:
    """The list of a run folder; None for a run that was made before there was one.

    Raises:
        ConfigError: a damaged file.
    """
    try:
        return FaceList.read(own_file(run / FILE))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def remembered(run: Path) -> Remembered | None:
    """What a run folder, a model of the zoo, a file of weights or a checkpoint in a run folder remembers.

    Raises:
        ConfigError: a damaged file.
    """
    if stored := zoo.stored_file(run):
        content = packing.read_header(stored).get(HEADER) or _of_zoo(stored)
        try:
            return Remembered.from_header(content) if content else None
        except ValueError as error:
            raise ConfigError(f"{stored}: {error}; export the run again") from error
    if run.suffix == ".ckpt":
        run = run.parent.parent
    found = _face_list(run)
    return found.remembered() if found else None


def give_split(data: FaceDataModule, cfg: DictConfig, trained: DictConfig, known: Remembered | None) -> None:
    """Let a data module hold out what a run held out, unless its settings ask for another split.

    Args:
        data: not set up yet.
        cfg: of the data.
        trained: of the run's data.
        known: what the run remembers.
    """
    if _divided_alike(cfg, trained):
        data.remembered = known


def _divided_alike(cfg: DictConfig, trained: DictConfig) -> bool:
    return _split_settings(cfg) == _split_settings(trained)


def _split_settings(cfg: DictConfig) -> dict[str, Any]:
    return {key: cfg.get(key, default) for key, default in SPLIT.items()}


def _reconstructed(data: FaceDataModule, trained: DictConfig) -> Remembered:
    """What a run without a list was trained on if its data are as they were: its settings divide the same parts."""
    faces = data.reader.faces([*trained.get("train_parts", ())])
    held = hold_out(faces, *_split_settings(trained).values())
    sides: dict[bool, list[Face]] = {False: [], True: []}
    for face, out in zip(faces, held.tolist(), strict=True):
        sides[out].append(face)
    return FaceList.of_faces(str(data.name), data.reader, train=sides[False], val=sides[True]).remembered()
