"""canthus-eval: run a trained model on its own held-out faces or on other data, by the shared protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus import command_line, config, config_schemas, zoo

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from canthus.callbacks import Evaluation


def evaluate(cfg: DictConfig) -> float:
    """Evaluate a run.

    Args:
        cfg: composed from eval.yaml.

    Returns:
        NME of the last stage over all faces with a finite estimate, percent; infinite if there are none.
    """
    import lightning
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    from canthus import run_faces, runtime
    from canthus.callbacks import DetectionEvaluator, Evaluator
    from canthus.data.corruptions import in_training
    from canthus.renderings import chosen_styles, evaluate_styles, forget_styles
    from canthus.reporting import (
        check_comparable,
        print_detection,
        print_results,
        write_comparison,
        write_detection,
        write_results,
    )
    from canthus.robustness import chosen_difficulties, evaluate_corrupted, forget_corruptions

    run = zoo.run_path(cfg.run)
    _checked_settings(cfg)  # before anything that imports what it names
    config.check(cfg, config_schemas.EvalConfig)
    trained = runtime.load_config(run)
    own_data = HydraConfig.get().runtime.choices["data"] == "of_run"
    split = ("val" if own_data else "test") if cfg.split == "auto" else cfg.split
    if split not in ("val", "test"):
        raise config.ConfigError(f"split={cfg.split}: one of auto, val, test")
    with open_dict(cfg):
        cfg.normaliser = cfg.normaliser or trained.normaliser
        cfg.normalisers = trained.get("normalisers") if cfg.normalisers is None else cfg.normalisers
        cfg.threshold = trained.threshold if cfg.threshold is None else cfg.threshold
        cfg.seed = trained.seed if cfg.seed is None else cfg.seed
    if cfg.threshold <= 0:
        raise config.ConfigError(f"threshold={cfg.threshold}: of failure rate and AUC, percent, above 0")
    difficulties = chosen_difficulties(cfg.corruptions)
    if difficulties and cfg.data.get("corruption"):
        raise config.ConfigError("corruptions= begins with clean faces; leave out data.corruption and data.severity")
    styles = chosen_styles(cfg.styles)
    check_places(cfg)
    output = Path(cfg.output)
    if cfg.compare:
        check_comparable(Path(cfg.compare))
    runtime.hush()
    with runtime.recorded(output, cfg):
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        model = runtime.load_model(run, trained, cfg.checkpoint, trust=cfg.trust)
        if cfg.flip_average is not None:
            model.flip_average = cfg.flip_average
        settings = _checked_settings(cfg)
        data = runtime.built(settings["data"], "data", input=model.input)
        evaluator = Evaluator(cfg.normaliser, cfg.threshold, cfg.normalisers or ())
        detection = DetectionEvaluator()
        seen = run_faces.of_evaluation(cfg, trained, data, own=own_data)
        quiet = {"logger": False, "enable_checkpointing": False, "default_root_dir": str(output)}
        watching = [evaluator, detection, *([seen] if seen else [])]
        trainer = runtime.built(settings["trainer"] | quiet, "trainer", callbacks=watching)
        run_split = trainer.validate if split == "val" else trainer.test
        run_split(model, data, verbose=False)
        if evaluator.result is None:
            raise config.ConfigError(f"split={split} of this data holds no face; choose another split, or other data")
        if trainer.is_global_zero:
            forget_corruptions(output)
            forget_styles(output)
            counts = seen.counts if seen else {}
            count = {"overlays": cfg.overlays, "trained_on": counts.get("faces")}
            metrics = write_results(output, evaluator.result, data, model.name, **count)
            comparison = write_comparison(output, Path(cfg.compare)) if cfg.compare else None
            print_results(metrics, output, comparison)
            if detection.result is not None:
                print_detection(write_detection(output, detection.result, data, trained_on=counts.get("images")))
        clean = evaluator.result
        if (difficulties or styles) and trainer.progress_bar_callback:
            trainer.progress_bar_callback.disable()  # one bar for all passes instead of one each

        def again() -> Evaluation:
            run_split(model, data, verbose=False)
            assert evaluator.result is not None
            return evaluator.result

        if difficulties:
            context = {"model": model.name, "in_training": in_training(trained.data.get("augmentation"))}
            evaluate_corrupted(difficulties, clean, again, data, output, write=trainer.is_global_zero, **context)
        if styles:
            context = {"model": model.name, "trained_on": list(trained.data.get("styles") or ["original"])}
            evaluate_styles(styles, clean, again, data, output, write=trainer.is_global_zero, **context)
        nme = clean.summaries()["full"]["nme"]
        return float("inf") if nme is None else float(nme)


def _checked_settings(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """Data and trainer as plain containers, in which nothing is left to resolve: what is checked is what is built.

    Raises:
        ConfigError: they are the run's own and name code from outside canthus, without ``trust``.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from canthus.trust import check_trust

    settings: dict[str, Any] = {
        group: OmegaConf.to_container(cfg[group], resolve=True) for group in ("data", "trainer")
    }
    choices = HydraConfig.get().runtime.choices
    own = {group: node for group, node in settings.items() if choices[group] == "of_run"}
    check_trust(own, zoo.run_path(cfg.run), trust=cfg.trust)
    return settings


def check_places(cfg: DictConfig) -> None:
    """Refuse an output that would be written over what is read.

    Raises:
        ConfigError: naming both.
    """
    from canthus import outputs

    compared = [Path(cfg.compare)] if cfg.compare else []
    places = {"run": [zoo.run_path(cfg.run)], "compare": compared, "data": outputs.places_in(cfg.data)}
    outputs.check_folder(Path(cfg.output), places)


def _register_run() -> None:
    """Make the run's own data and trainer the groups' choice ``of_run``, so that single keys can be overridden."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import MISSING, OmegaConf

    from canthus.runtime import load_config
    from canthus.trust import as_reader, own_cache

    run = command_line.argument("run")
    nodes: dict[str, Any] = {"data": {"name": MISSING}, "trainer": {}}
    if run:
        path = zoo.run_path(run)
        trained = as_reader(load_config(path), path, trust=command_line.trusted())
        nodes = {group: OmegaConf.to_container(trained[group]) for group in nodes}
        if nodes["data"].get("cache") == own_cache():
            nodes["data"]["cache"] = "${paths.cache}"  # of this command, which may name another
    for group, node in nodes.items():
        ConfigStore.instance().store(group=group, name="of_run", node=node)


def main() -> None:
    """Entry point of ``canthus-eval`` and ``python -m canthus.evaluate``."""
    with command_line.prepared():
        predictions, run = command_line.argument("predictions"), command_line.argument("run")
        if predictions is not None:
            if run is not None:
                raise config.ConfigError("give run=... or predictions=..., not both; compare=... compares two")
            from canthus.score import check_places as check
            from canthus.score import score as task

            name = "score"
        elif command_line.argument("study") is not None:
            from canthus.study import check_places as check
            from canthus.study import study as task  # type: ignore[assignment]

            name = "study"
        else:
            _register_run()
            task, name, check = evaluate, "eval", check_places
    command_line.launch(task, name, check=check)


if __name__ == "__main__":
    main()
