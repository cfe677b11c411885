"""canthus-train: compose, check, build, fit, evaluate the best epoch on held-out photographs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from canthus import config

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train(cfg: DictConfig) -> float | None:
    """Train one model.

    Args:
        cfg: composed from train.yaml.

    Returns:
        Best validation value of ``normaliser``'s NME, percent: what sweeps minimise. None without validation.
    """
    import lightning
    import torch
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from canthus import runtime
    from canthus.callbacks import Evaluator
    from canthus.reporting import print_metrics, write_results
    from canthus.resume import checkpoint_to_continue

    config.check(cfg)
    folder = Path(cfg.paths.output_dir)
    last = checkpoint_to_continue(folder, cfg) if cfg.resume else None
    runtime.hush()
    with runtime.recorded(folder, cfg), runtime.one_job_of_a_sweep():
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        torch.set_float32_matmul_precision("high")
        model = instantiate(cfg.model)
        data = instantiate(cfg.data, _partial_=True, _convert_="all")(input=model.input)
        callbacks = {
            name: instantiate(node, _convert_="all") for name, node in (cfg.callbacks or {}).items() if node is not None
        }
        loggers = [instantiate(node, _convert_="all") for node in (cfg.logger or {}).values() if node is not None]
        for logger in loggers:
            logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
        if cfg.init_from:
            source = Path(cfg.init_from)
            path = runtime.checkpoint_of(source, "best") if source.is_dir() else source
            model.load_state_dict(runtime.load_weights(path))
        trainer = instantiate(cfg.trainer, callbacks=list(callbacks.values()), logger=loggers)
        trainer.fit(model, data, ckpt_path=last, weights_only=True)
        best = callbacks.get("best")
        if best is None or not best.best_model_path or trainer.fast_dev_run:
            return None
        score = float(best.best_model_score)
        trainer.loggers = []  # what follows is no epoch of training
        trainer.validate(model, data, ckpt_path=best.best_model_path, weights_only=True, verbose=False)
        evaluator = next(callback for callback in callbacks.values() if isinstance(callback, Evaluator))
        if trainer.is_global_zero and evaluator.result:
            metrics = write_results(folder, evaluator.result, data, model)
            print_metrics(metrics, folder)
        if cfg.test:
            trainer.test(model, data, ckpt_path=best.best_model_path, weights_only=True, verbose=False)
            if trainer.is_global_zero and evaluator.result:
                tested = folder / "evaluation" / f"{data.name}-test"
                print_metrics(write_results(tested, evaluator.result, data, model), tested)
        return score


def main() -> None:
    """Entry point of ``canthus-train`` and ``python -m canthus.train``."""
    run = config.argument("resume")
    if run in (None, "null"):
        config.launch(train, "train")
        return
    from canthus.resume import register_run

    try:
        register_run(Path(run))
    except config.ConfigError as error:
        config.fail(error)
    sys.argv += [f"hydra.run.dir={run}", "hydra.output_subdir=null"]
    config.launch(train, "resumed")


if __name__ == "__main__":
    main()
