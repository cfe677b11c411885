"""canthus-eval: run a trained model on its own held-out faces or on other data, by the shared protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus import zoo
from canthus.commands import checks, launch, schemas
from canthus.utils import errors

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from canthus.evaluation.evaluation import Evaluation


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

    from canthus.callbacks import faces
    from canthus.callbacks.detection_evaluator import DetectionEvaluator
    from canthus.callbacks.evaluator import Evaluator
    from canthus.data.corruptions import in_training
    from canthus.evaluation.conditions import chosen_corruptions, chosen_styles, run_corruptions, run_styles
    from canthus.reporting.comparison import check_comparable, write_comparison
    from canthus.reporting.corruptions import forget_corruptions
    from canthus.reporting.detection import print_detection, write_detection
    from canthus.reporting.results import print_results, write_results
    from canthus.reporting.styles import forget_styles
    from canthus.reporting.suites import write_corruption_suite, write_style_suite
    from canthus.reporting.summary import refresh_summary
    from canthus.runs import loading, record

    run = zoo.run_path(cfg.run)
    _checked_settings(cfg)  # before anything that imports what it names
    checks.check(cfg, schemas.EvalConfig)
    trained = loading.load_config(run)
    own_data = HydraConfig.get().runtime.choices["data"] == "of_run"
    split = ("val" if own_data else "test") if cfg.split == "auto" else cfg.split
    if split not in ("val", "test"):
        raise errors.ConfigError(f"split={cfg.split}: one of auto, val, test")
    with open_dict(cfg):
        cfg.normaliser = cfg.normaliser or trained.normaliser
        cfg.normalisers = trained.get("normalisers") if cfg.normalisers is None else cfg.normalisers
        cfg.threshold = trained.threshold if cfg.threshold is None else cfg.threshold
        cfg.seed = trained.seed if cfg.seed is None else cfg.seed
    if cfg.threshold <= 0:
        raise errors.ConfigError(f"threshold={cfg.threshold}: of failure rate and AUC, percent, above 0")
    difficulties = chosen_corruptions(cfg.corruptions)
    if difficulties and cfg.data.get("corruption"):
        raise errors.ConfigError("corruptions= begins with clean faces; leave out data.corruption and data.severity")
    styles = chosen_styles(cfg.styles)
    check_places(cfg)
    output = Path(cfg.output)
    if cfg.compare:
        check_comparable(Path(cfg.compare))
    record.hush()
    with record.recorded(output, cfg, refresh_summary):
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        model = loading.load_model(run, trained, cfg.checkpoint, trust=cfg.trust)
        if cfg.flip_average is not None:
            model.flip_average = cfg.flip_average
        settings = _checked_settings(cfg)
        data = loading.built(settings["data"], "data", input=model.input)
        evaluator = Evaluator(cfg.normaliser, cfg.threshold, cfg.normalisers or ())
        detection = DetectionEvaluator()
        seen = faces.of_evaluation(cfg, trained, data, own=own_data)
        quiet = {"logger": False, "enable_checkpointing": False, "default_root_dir": str(output)}
        watching = [evaluator, detection, *([seen] if seen else [])]
        trainer = loading.built(settings["trainer"] | quiet, "trainer", callbacks=watching)
        run_split = trainer.validate if split == "val" else trainer.test
        run_split(model, data, verbose=False)
        if evaluator.result is None:
            raise errors.ConfigError(f"split={split} of this data holds no face; choose another split, or other data")
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
            suite = run_corruptions(difficulties, clean, again, data, draw=trainer.is_global_zero)
            if trainer.is_global_zero:
                write_corruption_suite(output, suite, clean, data, **context)
        if styles:
            context = {"model": model.name, "trained_on": list(trained.data.get("styles") or ["original"])}
            in_styles = run_styles(styles, clean, again, data, draw=trainer.is_global_zero)
            if trainer.is_global_zero:
                write_style_suite(output, in_styles, data, **context)
        nme = clean.summaries()["full"]["nme"]
        return float("inf") if nme is None else float(nme)


def _checked_settings(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """Data and trainer as plain containers, in which nothing is left to resolve: what is checked is what is built.

    Raises:
        ConfigError: they are the run's own and name code from outside canthus, without ``trust``.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from canthus.runs.trust import check_trust

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
    from canthus.utils import outputs

    compared = [Path(cfg.compare)] if cfg.compare else []
    places = {"run": [zoo.run_path(cfg.run)], "compare": compared, "data": outputs.places_in(cfg.data)}
    outputs.check_folder(Path(cfg.output), places)


def _register_run() -> None:
    """Make the run's own data and trainer the groups' choice ``of_run``, so that single keys can be overridden."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import MISSING, OmegaConf

    from canthus.runs.loading import load_config
    from canthus.runs.trust import as_reader, own_cache

    run = launch.argument("run")
    nodes: dict[str, Any] = {"data": {"name": MISSING}, "trainer": {}}
    if run:
        path = zoo.run_path(run)
        trained = as_reader(load_config(path), path, trust=launch.trusted())
        nodes = {group: OmegaConf.to_container(trained[group]) for group in nodes}
        if nodes["data"].get("cache") == own_cache():
            nodes["data"]["cache"] = "${paths.cache}"  # of this command, which may name another
    for group, node in nodes.items():
        ConfigStore.instance().store(group=group, name="of_run", node=node)


def main() -> None:
    """Entry point of ``canthus-eval`` and ``python -m canthus.commands.evaluate``."""
    with launch.prepared():
        predictions, run = launch.argument("predictions"), launch.argument("run")
        if predictions is not None:
            if run is not None:
                raise errors.ConfigError("give run=... or predictions=..., not both; compare=... compares two")
            from canthus.commands.score import check_places as check
            from canthus.commands.score import score as task

            name = "score"
        elif launch.argument("study") is not None:
            from canthus.commands.study import check_places as check
            from canthus.commands.study import study as task  # type: ignore[assignment]

            name = "study"
        else:
            _register_run()
            task, name, check = evaluate, "eval", check_places
    launch.launch(task, name, check=check)


if __name__ == "__main__":
    main()
