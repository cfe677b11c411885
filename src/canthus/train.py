"""canthus-train: compose, check, build, fit, evaluate the best epoch on held-out photographs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from logging import getLogger

    import lightning
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from canthus import runtime, tracking
    from canthus.callbacks import Evaluator
    from canthus.reporting import print_metrics, write_results
    from canthus.resume import checkpoint_to_continue

    log = getLogger("canthus.train")
    config.check(cfg)
    folder = Path(cfg.paths.output_dir)
    last = checkpoint_to_continue(folder, cfg) if cfg.resume else None
    runtime.hush()
    with runtime.recorded(folder, cfg) as record, runtime.one_job_of_a_sweep(), tracking.one_run():
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        model = instantiate(cfg.model, _convert_="all")
        data = instantiate(cfg.data, _partial_=True, _convert_="all")(input=model.input)
        if cfg.test:
            data.reader.faces(data.test_parts)  # a missing part should not wait until the training is over
        callbacks = {
            name: instantiate(node, _convert_="all") for name, node in (cfg.callbacks or {}).items() if node is not None
        }
        nodes = [node for node in (cfg.logger or {}).values() if node is not None]
        group = folder.parent.name if HydraConfig.get().mode == RunMode.MULTIRUN else cfg.task_name
        loggers = [instantiate(n, **tracking.identified(n, folder, group), _convert_="all") for n in nodes]
        for logger in loggers:
            logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
        if cfg.init_from:
            source = Path(cfg.init_from)
            path = runtime.checkpoint_of(source, "best") if source.is_dir() else source
            model.load_state_dict(runtime.load_weights(path))
            model.train_stages(range(model.num_stages))  # not only those that the source had reached
        trainer = instantiate(cfg.trainer, callbacks=list(callbacks.values()), logger=loggers)
        trainer.fit(model, data, ckpt_path=last, weights_only=True)
        best = callbacks.get("best")
        evaluator = next((callback for callback in callbacks.values() if isinstance(callback, Evaluator)), None)
        if evaluator is None or trainer.fast_dev_run:
            return None
        trainer.loggers = []  # what follows is no epoch of training
        chosen: dict[str, Any] = {}
        score = None
        if best is not None and best.best_model_path:
            score = float(best.best_model_score)
            chosen = {"ckpt_path": best.best_model_path, "weights_only": True}
            record["selected_on"] = f"{best.monitor} of held-out photographs"
            trainer.validate(model, data, **chosen, verbose=False)
            if trainer.is_global_zero and evaluator.result:
                print_metrics(write_results(folder, evaluator.result, data, model), folder)
        else:
            record["selected_on"] = "nothing: the last epoch"
            log.warning("nothing was held out or kept, so no epoch could be chosen: the last one stands")
        if cfg.test:
            trainer.test(model, data, **chosen, verbose=False)
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
