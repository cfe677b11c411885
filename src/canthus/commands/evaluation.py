"""One evaluation of a run: build, measure, and the same faces under other conditions."""

from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from canthus import zoo
from canthus.callbacks.detection_evaluator import DetectionEvaluator
from canthus.callbacks.evaluator import Evaluator
from canthus.callbacks.faces import of_evaluation
from canthus.commands.ranks import start_by_command
from canthus.data.corruptions import in_training
from canthus.data.making import build_data
from canthus.evaluation.conditions import run_corruptions, run_styles
from canthus.evaluation.evaluation import Evaluation
from canthus.evaluation.whole_images import find_faces, measure_whole_images
from canthus.inference.face_detector import FaceFinder
from canthus.inference.predictor import Predictor
from canthus.models.base import LandmarkModel
from canthus.reporting.comparison import write_comparison
from canthus.reporting.corruptions import forget_corruptions
from canthus.reporting.results import print_results, write_box_noise, write_results
from canthus.reporting.styles import forget_styles
from canthus.reporting.suites import write_corruption_suite, write_style_suite
from canthus.runs.loading import building, built, open_run
from canthus.runs.precision import AUTO, FULL
from canthus.utils.errors import ConfigError

__all__ = ["RunEvaluation"]


class RunEvaluation:
    """A run on a split of some data.

    Args:
        cfg: of canthus-eval, complete.
        settings: its ``data`` and ``trainer`` as plain containers, checked.
        split: ``val`` or ``test``.
        own_data: whether the data are the run's own.

    Raises:
        ConfigError: a run that cannot be opened, or settings with which nothing can be built.
    """

    def __init__(self, cfg: DictConfig, settings: dict[str, dict[str, Any]], split: str, *, own_data: bool) -> None:
        self.cfg, self.split, self.output = cfg, split, Path(cfg.output)
        self.run = open_run(cfg.run, cfg.checkpoint, trust=cfg.trust, flip_average=cfg.flip_average, module=True)
        with building("data"):
            self.data = build_data(settings["data"], self.run.model.input)
        self.evaluator = Evaluator(cfg.normaliser, cfg.threshold, cfg.normalisers or ())
        self.detection = DetectionEvaluator()
        self.seen = of_evaluation(cfg, self.run.config, self.data, own=own_data)
        quiet = {"logger": False, "enable_checkpointing": False, "default_root_dir": str(self.output)}
        watching = [self.evaluator, self.detection, *([self.seen] if self.seen else [])]
        if settings["trainer"].get("precision") == AUTO:  # for trainings; figures are measured in full precision
            quiet["precision"] = FULL
        self.trainer: lightning.Trainer = built(settings["trainer"] | quiet, "trainer", callbacks=watching)
        start_by_command(self.trainer, "evaluate")

    def measure(self) -> Evaluation:
        """Run the model over the faces once.

        Raises:
            ConfigError: the split holds none.
        """
        run_split = self.trainer.validate if self.split == "val" else self.trainer.test
        run_split(cast(LandmarkModel, self.run.model), self.data, verbose=False)
        if self.evaluator.result is None:
            raise ConfigError(f"split={self.split} of this data holds no face; choose another split, or other data")
        return self.evaluator.result

    def write(self, result: Evaluation) -> None:
        """Write and show what a pass found, in place of what an earlier evaluation left; on the main process."""
        if not self.trainer.is_global_zero:
            return
        forget_corruptions(self.output)
        forget_styles(self.output)
        metrics = write_results(
            self.output,
            result,
            self.data,
            self.run.model.name,
            overlays=self.cfg.overlays,
            detection=self.detection.result,
            trained_on=self.seen.counts if self.seen else None,
        )
        comparison = write_comparison(self.output, Path(self.cfg.compare)) if self.cfg.compare else None
        print_results(metrics, self.output, comparison)

    def in_whole_images(self) -> float:
        """Find the faces with ``detector``, place their points, measure and write both.

        Returns:
            NME of the faces that were found, percent.
        """
        cfg, data = self.cfg, self.data
        data.setup("validate" if self.split == "val" else "test")
        if not data.faces(self.split):
            raise ConfigError(f"split={self.split} of this data holds no face; choose another split, or other data")
        if self.seen:
            self.seen.count(data, self.split)
        predictor = Predictor.of(self.run, device=str(self.trainer.strategy.root_device))
        finder: FaceFinder = instantiate(cfg.detector, device=predictor.device, _convert_="all")
        detector = str(cfg.detector.get("run") or cfg.detector.get("weights") or zoo.MTCNN)
        found = find_faces(data, self.split, predictor, finder, cfg.refine)
        settings = {key: cfg[key] for key in ("normaliser", "normalisers", "threshold")}
        whole = measure_whole_images(data, self.split, found, detector, cfg.refine, **settings)
        metrics = write_results(
            self.output,
            whole.evaluation,
            data,
            self.run.model.name,
            overlays=cfg.overlays,
            trained_on=self.seen.counts if self.seen else None,
            end_to_end=whole.report,
            sought=np.where(found.found[:, None], found.boxes, found.labels),
        )
        write_box_noise(self.output, found.box_noise(), detector)
        print_results(metrics, self.output, write_comparison(self.output, Path(cfg.compare)) if cfg.compare else None)
        return float(whole.report["nme"])

    def under_conditions(self, clean: Evaluation, corruptions: list[str], styles: list[str]) -> None:
        """Measure the same faces again under corruptions and in styles; write what was found.

        Args:
            clean: of the faces as they are.
            corruptions: to go through, each at every severity.
            styles: to go through.
        """
        main, trained = self.trainer.is_global_zero, self.run.config.data
        bar = self.trainer.progress_bar_callback
        if (corruptions or styles) and bar:
            bar.disable()  # one bar for all passes instead of one each
        if corruptions:
            suite = run_corruptions(corruptions, clean, self.measure, self.data, draw=main)
            if main:
                context = {"model": self.run.model.name, "in_training": in_training(trained.get("augmentation"))}
                write_corruption_suite(self.output, suite, clean, self.data, **context)
        if styles:
            in_styles = run_styles(styles, clean, self.measure, self.data, draw=main)
            if main:
                context = {"model": self.run.model.name, "trained_on": list(trained.get("styles") or ["original"])}
                write_style_suite(self.output, in_styles, self.data, **context)
