"""A training from its config to its figures: build, fit, conclude."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging import getLogger
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_class, instantiate
from lightning.pytorch.callbacks import LambdaCallback
from omegaconf import DictConfig, OmegaConf

from canthus import zoo
from canthus.callbacks import trackers
from canthus.callbacks.checkpoint import CheckpointFiles, kept
from canthus.callbacks.detection_evaluator import DetectionEvaluator
from canthus.callbacks.evaluator import Evaluator
from canthus.callbacks.faces import TrainingFaces, of_training
from canthus.callbacks.finite import Finite
from canthus.commands import pipeline, ranks
from canthus.data.making import build_data
from canthus.models.base import LandmarkModel
from canthus.reporting.results import print_results, write_results
from canthus.reporting.summary import refresh_summary
from canthus.runs import faults, loading
from canthus.runs.precision import AUTO, choose_precision
from canthus.runs.record import recorded
from canthus.runs.resume import checkpoint_to_continue, is_trained
from canthus.runs.tuning import tuning
from canthus.utils.errors import RunError

__all__ = ["Session"]

log = getLogger("canthus.train")


@dataclass
class Session:
    """One training in its folder.

    Attributes:
        cfg: composed and checked.
        last: checkpoint that it goes on from; None for a new one.
        trained: nothing is left to train, only to conclude.
    """

    cfg: DictConfig
    last: Path | None
    trained: bool
    record: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, cfg: DictConfig) -> "Session":
        """The session of a config.

        Raises:
            ConfigError: a run to go on with whose checkpoint is missing or damaged, or that has finished.
        """
        folder = Path(cfg.paths.output_dir)
        last = checkpoint_to_continue(folder, cfg) if cfg.resume else None
        return cls(cfg, last, trained=last is not None and is_trained(folder, cfg))

    @property
    def folder(self) -> Path:
        """Of the run."""
        return Path(self.cfg.paths.output_dir)

    def run(self) -> float | None:
        """Build, fit and conclude.

        Returns:
            Best validation value of the monitored metric; None where nothing was held out or kept.
        """
        reason = self._settle_precision()  # before the config is saved
        with self._recorded():
            self.record["precision"] = f"{self.cfg.trainer.get('precision')}, {reason}"
            if self.cfg.steps:
                self.record["steps"] = pipeline.records(self.cfg)
            self.build()
            self.fit()
            return self.conclude()

    def _settle_precision(self) -> str:
        """Put what ``trainer.precision=auto`` means here into the config; a run that goes on keeps what it began with.

        Returns:
            The reason.
        """
        trainer = self.cfg.trainer
        asked = trainer.get("precision")
        if self.cfg.resume:
            if asked == AUTO:  # a sweep's job, or one that SLURM has requeued, comes with its first command line
                trainer.precision = loading.load_config(self.folder).trainer.precision
            return "as this run began"
        method = str(getattr(get_class(self.cfg.model._target_), "name", ""))
        chosen, reason = choose_precision(asked, method, str(trainer.get("accelerator", AUTO)))
        if chosen != asked:
            trainer.precision = chosen
        return reason

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """What ends the training is explained and recorded; a job of a sweep stays one."""
        with (
            faults.explained(lambda: faults.how_to_resume(self.folder), faults.LESS_MEMORY),
            recorded(self.folder, self.cfg, refresh_summary) as self.record,
            ranks.nothing_left_behind(),
            trackers.one_run(),
        ):
            yield

    # -- build -------------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Make the model, the data, the callbacks, the loggers and the trainer."""
        cfg = self.cfg
        log.info("precision %s", self.record["precision"])
        log.info("%d threads; %s", torch.get_num_threads(), "; ".join(f"{key}: {how}" for key, how in tuning().items()))
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        self.model = instantiate(cfg.model, _convert_="all")
        self.data = build_data(cfg.data, self.model.input)
        if cfg.test:
            self.data.reader.faces(self.data.test_parts)  # a missing part should not wait until the training is over
        self.callbacks = {
            name: instantiate(node, _convert_="all") for name, node in (cfg.callbacks or {}).items() if node is not None
        }
        group = self.folder.parent.name if HydraConfig.get().mode == RunMode.MULTIRUN else cfg.task_name
        self.loggers, self.panels = trackers.open_loggers(cfg, self.folder, group, self.last)
        if cfg.init_from and self.last is None:
            self._start_from(cfg.init_from)
        self.faces: TrainingFaces = of_training(self.folder, cfg, self.data, resumed=self.last is not None)
        watching = [*self.callbacks.values(), Finite(), self.panels, self.faces]
        self.trainer: lightning.Trainer = instantiate(cfg.trainer, callbacks=watching, logger=self.loggers)
        self.trainer.strategy.checkpoint_io = CheckpointFiles()
        ranks.start_by_command(self.trainer, "train", cfg.resume)

    def _start_from(self, run: str) -> None:
        source = zoo.run_path(run)
        is_run = zoo.stored_file(source) or source.is_dir()
        loading.warm_start(self.model, loading.checkpoint_of(source, "best" if is_run else str(source)))
        if isinstance(self.model, LandmarkModel):
            self.model.train_stages(range(self.model.num_stages))  # not only those that the source had reached

    # -- fit ---------------------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Train, from the beginning or from the last checkpoint."""
        trainer = self.trainer
        if self.trained:  # an early stopping has ended it; Lightning would train one epoch more
            stop = LambdaCallback(on_fit_start=lambda *_: setattr(trainer, "should_stop", True))
            trainer.callbacks.append(stop)  # type: ignore[attr-defined]  # as Lightning has it
        trainer.fit(self.model, self.data, ckpt_path=self.last, weights_only=True)

    # -- conclude ----------------------------------------------------------------------------------------------------

    def conclude(self) -> float | None:
        """Evaluate the best epoch on the held-out images and, where that is asked for, on the test parts.

        Raises:
            RunError: the monitored value was finite in no epoch.
        """
        evaluator = self._callback(Evaluator)
        if evaluator is None or self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return None
        self.trainer.loggers = []  # what follows is no epoch of training
        best = self.callbacks.get("best")
        score: float | None = None
        chosen: dict[str, Any] = {}
        if best is not None and best.best_model_path:
            score = float(best.best_model_score)
            chosen = {"ckpt_path": best.best_model_path, "weights_only": True}
            self._note_best(best)
            self.trainer.validate(self.model, self.data, **chosen, verbose=False)
            self._write("val", self.folder)
        elif best is not None and best.monitor in self.trainer.callback_metrics:
            raise RunError(
                f"{best.monitor} was finite in no epoch: the training has diverged; lower model.optimizer.lr"
            )
        else:
            self.record["selected_on"] = "nothing: the last epoch"
            log.warning("nothing was held out or kept, so no epoch could be chosen: the last one stands")
        if self.cfg.test:
            self._test(chosen)
        return score

    def _note_best(self, best: Any) -> None:
        """Record which epoch was chosen, and by what."""
        holds = kept(best.best_model_path)
        self.record["best_epoch"], note = holds.epoch, holds.compared(self.model)
        if note:
            self.record["notes"] = [note]
            log.warning("%s", note)
        self.record["selected_on"] = f"{best.monitor} of held-out images"

    def _test(self, chosen: dict[str, Any]) -> None:
        """Evaluate on the test parts, in a folder of their own with a record of its own."""
        tested = self.folder / "evaluation" / f"{self.data.name}-test"
        with recorded(tested, self._as_evaluation(tested), refresh_summary) as record:
            record["selected_on"] = self.record["selected_on"]
            self.trainer.test(self.model, self.data, **chosen, verbose=False)
            self._write("test", tested)

    def _as_evaluation(self, folder: Path) -> DictConfig:
        """What canthus-eval would have been told."""
        whole = OmegaConf.to_container(self.cfg, resolve=True)
        assert isinstance(whole, dict)
        own = {"run": str(self.folder), "checkpoint": "best", "split": "test", "output": str(folder)}
        shared = ("data", "trainer", "normaliser", "normalisers", "threshold", "seed")
        return OmegaConf.create(own | {key: whole[key] for key in shared})

    def _write(self, split: str, folder: Path) -> None:
        """Write and show what the evaluators found."""
        trained_on = self.faces.trained_on(self.data, split)
        evaluator, detection = self._callback(Evaluator), self._callback(DetectionEvaluator)
        if not self.trainer.is_global_zero or evaluator is None or not evaluator.result:
            return
        found = detection.result if detection else None
        options: dict[str, Any] = {"detection": found, "trained_on": trained_on}
        metrics = write_results(folder, evaluator.result, self.data, self.model.name, **options)
        if split == "val":
            trackers.show_results(self.loggers, self.panels, folder, metrics, self.trainer.global_step - 1)
        print_results(metrics, folder)

    def _callback(self, kind: type) -> Any:
        """The callback of a kind, None without one."""
        return next((callback for callback in self.callbacks.values() if isinstance(callback, kind)), None)
