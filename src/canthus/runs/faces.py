"""The faces that a run remembers: kept beside its checkpoints, or in the header of its file of weights."""

import json
from logging import getLogger
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from canthus import zoo
from canthus.data.datamodule import FaceDataModule
from canthus.data.remembered import FaceList, Remembered
from canthus.runs import weights
from canthus.runs.trust import own_file
from canthus.utils.errors import ConfigError

__all__ = ["FILE", "HEADER", "give_split", "remembered"]

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


def face_list(run: Path) -> FaceList | None:
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
        content = weights.read_header(stored).get(HEADER) or _of_zoo(stored)
        try:
            return Remembered.from_header(content) if content else None
        except ValueError as error:
            raise ConfigError(f"{stored}: {error}; export the run again") from error
    if run.suffix == ".ckpt":
        run = run.parent.parent
    found = face_list(run)
    return found.remembered() if found else None


def give_split(data: FaceDataModule, cfg: DictConfig, trained: DictConfig, known: Remembered | None) -> None:
    """Let a data module hold out what a run held out, unless its settings ask for another split.

    Args:
        data: not set up yet.
        cfg: of the data.
        trained: of the run's data.
        known: what the run remembers.
    """
    if divided_alike(cfg, trained):
        data.remembered = known


def divided_alike(cfg: DictConfig, trained: DictConfig) -> bool:
    return split_settings(cfg) == split_settings(trained)


def split_settings(cfg: DictConfig) -> dict[str, Any]:
    return {key: cfg.get(key, default) for key, default in SPLIT.items()}
