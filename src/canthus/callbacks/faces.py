"""What a run remembers of its faces, and whether those that are evaluated are among them."""

from collections.abc import Iterator
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING

import lightning
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from canthus import zoo
from canthus.data.datamodule import FaceDataModule
from canthus.data.face import Face
from canthus.data.remembered import FaceList, Remembered, changes, some
from canthus.data.split import hold_out
from canthus.runs.faces import FILE, divided_alike, face_list, give_split, remembered, split_settings
from canthus.utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["EvaluatedFaces", "TrainingFaces"]

log = getLogger(__name__)


class TrainingFaces(lightning.Callback):
    """Keeps the faces of a training in a file, and refuses to go on with others.

    Args:
        path: of the file.
        before: what it holds of the run that goes on; None for a new run.
        earlier: what the run was trained on whose weights a new run starts from.
        allow_changes: go on with other faces. Those that were held out and are still there stay held out, new ones
            are trained on, and what was trained on before counts as such.
    """

    def __init__(
        self, path: Path, before: FaceList | None, earlier: Remembered | None, *, allow_changes: bool = False
    ) -> None:
        self.path, self.before, self.allow_changes = path, before, allow_changes
        self.earlier = before.earlier if before else earlier
        self._known: Remembered | None = None

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Compare, then write.

        Raises:
            ConfigError: a run that goes on, and whose faces have changed; or a part that trains and tests.
        """
        if stage != "fit":
            return
        data: FaceDataModule = trainer.datamodule  # type: ignore[attr-defined]
        if (both := set(data.train_parts) & set(data.test_parts)) and not data.include_test:
            raise ConfigError(
                f"{', '.join(sorted(both))} stands in data.train_parts and in data.test_parts: what tests a run may "
                "train and choose nothing of it; take it out of one of them"
            )
        faces = FaceList.of(data, self.earlier)
        found = changes(self.before, faces) if self.before else []
        if self.before and found:
            self._check(found)
            faces = FaceList.of(data, self.before.remembered())
        self._known = faces.remembered()
        self._warn(data)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            faces.write(self.path)

    def trained_on(self, data: "FaceDataModule", split: str) -> dict[str, int]:
        """How much of a split this run, or the one that it starts from, was trained on: ``faces``, ``images``."""
        assert self._known is not None
        return {kind: int(seen.sum()) for kind, seen, _ in _trained_on(self._known, data, split)}

    def _check(self, found: list[str]) -> None:
        text = f"the data of {self.path.parent} have changed since it began: {'; '.join(found)}"
        if not self.allow_changes:
            raise ConfigError(
                f"{text}. Put them back, or start another run from its weights, init_from={self.path.parent}; "
                "allow_changed_data=true goes on all the same"
            )
        log.warning("%s. It goes on, as allow_changed_data says: figures of its epochs do not compare", text)

    def _warn(self, data: "FaceDataModule") -> None:
        """Held-out faces on which the weights to start from were trained choose no epoch well."""
        assert self._known is not None
        for kind, seen, names in _trained_on(self._known, data, "val"):
            if seen.any():
                log.warning(
                    "%d of the %d %s to validate on (%s) were trained on by the run that this one starts from: errors "
                    "on them are too low; hold out those that it held out (data.validation, data.validation_seed)",
                    *(seen.sum(), len(seen), kind, names),
                )


class EvaluatedFaces(lightning.Callback):
    """Counts the evaluated faces that a run was trained on, and refuses to take them for held-out ones.

    Args:
        known: what the run remembers.
        own: whether the data are those of the run, so that their split ``val`` should hold none.
        allow: evaluate them all the same.
        unseen: refuse every face that the run was trained or chosen on, in any split of any data.

    Attributes:
        counts: ``faces``, and for methods that detect ``images``, that the run was trained on; empty at first.
    """

    def __init__(self, known: Remembered, *, own: bool, allow: bool, unseen: bool = False) -> None:
        self.known, self.own, self.allow, self.unseen = known, own, allow, unseen
        self.counts: dict[str, int] = {}

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Count.

        Raises:
            ConfigError: faces that were trained on in the split that should hold none; or that trained or chose the
                run, where only unseen ones may be evaluated.
        """
        if self.counts:
            return
        self.count(trainer.datamodule, "val" if stage == "validate" else "test")  # type: ignore[attr-defined]

    def count(self, data: "FaceDataModule", split: str) -> None:
        """Count the faces of a split; raises as `setup` does."""
        if self.unseen:
            self._refuse_known(data, split)
        own = {kind: seen.any() for kind, seen, _ in _trained_on(self.known, data, split, before=False)}
        for kind, seen, names in _trained_on(self.known, data, split):
            self.counts[kind] = int(seen.sum())
            text = f"{self.counts[kind]} of the {len(seen)} {kind} to evaluate ({names}) were trained on"
            if own[kind] and self.own and split == "val" and not self.allow:
                raise ConfigError(
                    f"{text}: leave out what divides the data anew (data.validation, data.validation_seed, ...), so "
                    "that they are those that the run held out, or add allow_trained_on=true to measure these"
                )
            if self.counts[kind]:
                log.warning("%s: figures on them say nothing about unseen faces", text)

    def _refuse_known(self, data: "FaceDataModule", split: str) -> None:
        for kind, trained, _ in _trained_on(self.known, data, split):
            faces = next(faces for name, faces, _ in data.lists(split) if name == kind)
            held = self.known.held_out([face.photo for face in faces], kind) if data.name == self.known.data else None
            met = trained if held is None else trained | held
            if met.any():
                names = some(face.image.name for face, one in zip(faces, met, strict=True) if one)
                raise ConfigError(
                    f"{int(met.sum())} of the {len(met)} {kind} to evaluate ({names}) trained or chose this run, and "
                    "unseen=true asks for none: take these images out of its training"
                )


def _trained_on(
    known: Remembered, data: "FaceDataModule", split: str, *, before: bool = True
) -> Iterator[tuple[str, NDArray[np.bool_], str]]:
    """Per list of a split: its name, which of it was trained on, and some names of those."""
    for kind, faces, reader in data.lists(split):
        seen = known.trained_on(faces, reader, str(data.name), before=before)
        yield kind, seen, some(face.image.name for face, one in zip(faces, seen, strict=True) if one)


log = getLogger(__name__)


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
    before = face_list(folder) if resumed else None
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
        ConfigError: a damaged list; or none, where only unseen faces may be evaluated.
    """
    known = remembered(zoo.run_path(cfg.run))
    if known is None:
        if cfg.unseen:
            raise ConfigError(f"unseen=true, and {cfg.run} keeps no list of the faces that it was trained on")
        if cfg.data.get("name") != trained.data.get("name") or divided_alike(cfg.data, trained.data):
            return None
        try:
            known = _reconstructed(data, trained.data)
        except DataError as error:  # its training parts need not be available
            log.warning("which faces %s was trained on is not known: %s", cfg.run, error)
            return None
    elif own:
        give_split(data, cfg.data, trained.data, known)
    return EvaluatedFaces(known, own=own, allow=cfg.allow_trained_on, unseen=cfg.unseen)


def _reconstructed(data: FaceDataModule, trained: DictConfig) -> Remembered:
    """What a run without a list was trained on if its data are as they were: its settings divide the same parts."""
    faces = data.reader.faces([*trained.get("train_parts", ())])
    held = hold_out(faces, *split_settings(trained).values())
    sides: dict[bool, list[Face]] = {False: [], True: []}
    for face, out in zip(faces, held.tolist(), strict=True):
        sides[out].append(face)
    return FaceList.of_faces(str(data.name), data.reader, train=sides[False], val=sides[True]).remembered()
