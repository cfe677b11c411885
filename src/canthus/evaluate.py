"""canthus-eval: run a trained model on its own held-out faces or on other data, by the shared protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from canthus import config

if TYPE_CHECKING:
    from omegaconf import DictConfig


def evaluate(cfg: DictConfig) -> float:
    """Evaluate a run.

    Args:
        cfg: composed from eval.yaml.

    Returns:
        NME of the last stage over all faces, percent.
    """
    import lightning
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate
    from omegaconf import OmegaConf, open_dict

    from canthus import runtime
    from canthus.callbacks import Evaluator
    from canthus.reporting import print_metrics, write_results

    run = Path(cfg.run)
    for group in ("data", "trainer"):  # before anything that imports what they name
        if HydraConfig.get().runtime.choices[group] == "of_run":
            runtime.check_trust(OmegaConf.create({group: cfg[group]}), run, trust=cfg.trust)
    config.check(cfg, config.EvalConfig)
    trained = runtime.load_config(run)
    own_data = HydraConfig.get().runtime.choices["data"] == "of_run"
    split = ("val" if own_data else "test") if cfg.split == "auto" else cfg.split
    if split not in ("val", "test"):
        raise config.ConfigError(f"split={cfg.split}: one of auto, val, test")
    with open_dict(cfg):
        cfg.normaliser = cfg.normaliser or trained.normaliser
        cfg.threshold = cfg.threshold or trained.threshold
        cfg.seed = trained.seed
    output = Path(cfg.output)
    if output.resolve() == run.resolve():
        raise config.ConfigError(f"output={output} is the run itself, whose records would be lost; name another folder")
    runtime.hush()
    with runtime.recorded(output, cfg):
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        model = runtime.load_model(run, trained, cfg.checkpoint, trust=cfg.trust)
        if cfg.flip_average is not None:
            model.flip_average = cfg.flip_average
        data = instantiate(cfg.data, _partial_=True, _convert_="all")(input=model.input)
        evaluator = Evaluator(cfg.normaliser, cfg.threshold)
        settings = OmegaConf.to_container(cfg.trainer, resolve=True)
        assert isinstance(settings, dict)
        settings |= {"logger": False, "enable_checkpointing": False, "default_root_dir": str(output)}
        trainer = instantiate(settings, callbacks=[evaluator])
        run_split = trainer.validate if split == "val" else trainer.test
        run_split(model, data, verbose=False)
        if evaluator.result is None:
            raise config.ConfigError(f"split={split} of this data holds no face; choose another split, or other data")
        if trainer.is_global_zero:
            metrics = write_results(output, evaluator.result, data, model, overlays=cfg.overlays)
            print_metrics(metrics, output)
        return float(evaluator.result.summaries()["full"]["nme"])


def _register_run() -> None:
    """Make the run's own data and trainer the groups' choice ``of_run``, so that single keys can be overridden."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import MISSING, OmegaConf

    from canthus.runtime import load_config

    run = config.argument("run")
    trained = load_config(Path(run)) if run else OmegaConf.create({"data": {"name": MISSING}, "trainer": {}})
    for group in ("data", "trainer"):
        node = OmegaConf.create(OmegaConf.to_container(trained[group], resolve=True))
        ConfigStore.instance().store(group=group, name="of_run", node=node)


def main() -> None:
    """Entry point of ``canthus-eval`` and ``python -m canthus.evaluate``."""
    try:
        _register_run()
    except config.ConfigError as error:
        config.fail(error)
    config.launch(evaluate, "eval")


if __name__ == "__main__":
    main()
