"""canthus-train: compose, check, build, fit, evaluate the best epoch on held-out photographs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus import command_line, config, processes, sweeps, zoo

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train(cfg: DictConfig) -> float | None:
    """Train one model.

    Args:
        cfg: composed from train.yaml.

    Returns:
        Best validation value of ``normaliser``'s NME, percent: what sweeps minimise. None without validation.
    """
    from logging import getLogger

    import lightning
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from hydra.utils import instantiate
    from lightning.pytorch.callbacks import LambdaCallback

    from canthus import faults, run_faces, runtime, steps, tracking
    from canthus.callbacks import DetectionEvaluator, Evaluator, Finite
    from canthus.callbacks.checkpoint import CheckpointFiles, kept
    from canthus.models.base import LandmarkModel
    from canthus.reporting import print_detection, print_results, write_detection, write_results
    from canthus.resume import checkpoint_to_continue, is_trained

    log = getLogger("canthus.train")
    config.check(cfg)
    if cfg.data.get("corruption"):
        raise config.ConfigError(
            f"data.corruption={cfg.data.corruption} is for canthus-eval; here the best epoch would be chosen on such "
            "faces. data.augmentation changes those to train on"
        )
    for key in ("callbacks", "logger"):
        if cfg.trainer.get(key) is not None:
            raise config.ConfigError(f"trainer.{key}={cfg.trainer[key]}: name them in the group {key}, not for trainer")
    folder = Path(cfg.paths.output_dir)
    if not cfg.resume and list((folder / "checkpoints").glob("*.ckpt")):
        if not processes.requeued():
            raise config.ConfigError(
                f"{folder} holds a run already; go on with it by resume={folder}, or name another hydra.run.dir"
            )
        cfg.resume = str(folder)
    last = checkpoint_to_continue(folder, cfg) if cfg.resume else None
    trained = last is not None and is_trained(folder, cfg)
    runtime.hush()
    if cfg.steps and not cfg.resume:  # a run that has begun had its steps
        steps.prepare(cfg, train)
    if cfg.step:
        return None
    with (
        faults.explained(lambda: faults.how_to_resume(folder), faults.LESS_MEMORY),
        runtime.recorded(folder, cfg) as record,
        runtime.one_job_of_a_sweep(cfg.resume),
        tracking.one_run(),
    ):
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        model = instantiate(cfg.model, _convert_="all")
        data = instantiate(cfg.data, _partial_=True, _convert_="all")(input=model.input)
        if cfg.test:
            data.reader.faces(data.test_parts)  # a missing part should not wait until the training is over
        callbacks = {
            name: instantiate(node, _convert_="all") for name, node in (cfg.callbacks or {}).items() if node is not None
        }
        group = folder.parent.name if HydraConfig.get().mode == RunMode.MULTIRUN else cfg.task_name
        loggers, panels = tracking.open_loggers(cfg, folder, group, last)
        if cfg.init_from and last is None:
            source = zoo.run_path(cfg.init_from)
            is_run = zoo.stored_file(source) or source.is_dir()
            path = runtime.checkpoint_of(source, "best" if is_run else str(source))
            runtime.warm_start(model, path)
            if isinstance(model, LandmarkModel):
                model.train_stages(range(model.num_stages))  # not only those that the source had reached
        faces = run_faces.of_training(folder, cfg, data, resumed=last is not None)
        trainer = instantiate(cfg.trainer, callbacks=[*callbacks.values(), Finite(), panels, faces], logger=loggers)
        trainer.strategy.checkpoint_io = CheckpointFiles()
        if trained:  # an early stopping has ended it; Lightning would train one epoch more
            trainer.callbacks.append(LambdaCallback(on_fit_start=lambda *_: setattr(trainer, "should_stop", True)))
        trainer.fit(model, data, ckpt_path=last, weights_only=True)
        best = callbacks.get("best")
        evaluator = next((callback for callback in callbacks.values() if isinstance(callback, Evaluator)), None)
        detection = next(
            (callback for callback in callbacks.values() if isinstance(callback, DetectionEvaluator)), None
        )
        if evaluator is None or trainer.fast_dev_run:
            return None
        trainer.loggers = []  # what follows is no epoch of training
        chosen: dict[str, Any] = {}
        score = None
        if best is not None and best.best_model_path:
            score = float(best.best_model_score)
            holds = kept(best.best_model_path)
            record["best_epoch"], note = holds.epoch, holds.compared(model)
            if note:
                record["notes"] = [note]
                log.warning("%s", note)
            chosen = {"ckpt_path": best.best_model_path, "weights_only": True}
            record["selected_on"] = f"{best.monitor} of held-out photographs"
            trainer.validate(model, data, **chosen, verbose=False)
            trained_on = faces.trained_on(data, "val")
            if trainer.is_global_zero and evaluator.result:
                metrics = write_results(folder, evaluator.result, data, model.name, trained_on=trained_on["faces"])
                tracking.show_results(loggers, panels, folder, metrics, trainer.global_step - 1)
                print_results(metrics, folder)
            if trainer.is_global_zero and detection and detection.result:
                print_detection(write_detection(folder, detection.result, data, trained_on=trained_on.get("images")))
        elif best is not None and best.monitor in trainer.callback_metrics:
            raise config.RunError(
                f"{best.monitor} was finite in no epoch: the training has diverged; lower model.optimizer.lr"
            )
        else:
            record["selected_on"] = "nothing: the last epoch"
            log.warning("nothing was held out or kept, so no epoch could be chosen: the last one stands")
        if cfg.test:
            trainer.test(model, data, **chosen, verbose=False)
            trained_on = faces.trained_on(data, "test")
            if trainer.is_global_zero and evaluator.result:
                tested = folder / "evaluation" / f"{data.name}-test"
                metrics = write_results(tested, evaluator.result, data, model.name, trained_on=trained_on["faces"])
                print_results(metrics, tested)
            if trainer.is_global_zero and detection and detection.result:
                tested = folder / "evaluation" / f"{data.name}-test"
                print_detection(write_detection(tested, detection.result, data, trained_on=trained_on.get("images")))
        return score


def main() -> None:
    """Entry point of ``canthus-train`` and ``python -m canthus.train``."""
    with command_line.prepared():
        run, sweep = command_line.argument("resume"), command_line.argument("sweep.resume")
        if sweep not in (None, "null"):
            sys.argv[1:] = sweeps.resumed_arguments(Path(sweep), sys.argv[1:])
        if run not in (None, "null"):
            from canthus.resume import register_run, resumed_arguments

            register_run(zoo.run_path(run), trust=command_line.trusted())
            sys.argv[1:] = resumed_arguments(run, sys.argv[1:])
    command_line.launch(train, "train" if run in (None, "null") else "resumed")


if __name__ == "__main__":
    main()
