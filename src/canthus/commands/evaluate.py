"""canthus-eval: run a trained model on its own held-out faces or on other data, by the shared protocol."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus import zoo
from canthus.commands import checks, launch, schemas
from canthus.utils import errors

if TYPE_CHECKING:
    from omegaconf import DictConfig


def evaluate(cfg: DictConfig) -> float:
    """Evaluate a run.

    Args:
        cfg: composed from eval.yaml.

    Returns:
        NME of the last stage over all faces with a finite estimate, percent; infinite if there are none.
    """
    # what evaluates takes seconds to import: completion and mistakes in the command line do not wait for it
    import lightning
    from hydra.core.hydra_config import HydraConfig

    from canthus.commands.evaluation import RunEvaluation
    from canthus.evaluation.conditions import chosen_corruptions, chosen_styles
    from canthus.reporting.comparison import check_comparable
    from canthus.reporting.summary import refresh_summary
    from canthus.runs import loading, record

    _checked_settings(cfg)  # before anything that imports what it names
    checks.check(cfg, schemas.EvalConfig)
    _complete(cfg, loading.load_config(zoo.run_path(cfg.run)))
    own_data = HydraConfig.get().runtime.choices["data"] == "of_run"
    split = ("val" if own_data else "test") if cfg.split == "auto" else cfg.split
    if split not in ("val", "test"):
        raise errors.ConfigError(f"split={cfg.split}: one of auto, val, test")
    corruptions, styles = chosen_corruptions(cfg.corruptions), chosen_styles(cfg.styles)
    check_detector(cfg, bool(corruptions or styles))
    if corruptions and cfg.data.get("corruption"):
        raise errors.ConfigError("corruptions= begins with clean faces; leave out data.corruption and data.severity")
    check_places(cfg)
    if cfg.compare:
        check_comparable(Path(cfg.compare))
    record.hush()
    with record.recorded(Path(cfg.output), cfg, refresh_summary):
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        evaluation = RunEvaluation(cfg, _checked_settings(cfg), split, own_data=own_data)
        if cfg.detector:
            return evaluation.in_whole_images()
        clean = evaluation.measure()
        evaluation.write(clean)
        evaluation.under_conditions(clean, corruptions, styles)
        nme = clean.summaries()["full"]["nme"]
        return float("inf") if nme is None else float(nme)


def _complete(cfg: DictConfig, trained: DictConfig) -> None:
    """Take what the command line leaves open from the run.

    Raises:
        ConfigError: a threshold that is none.
    """
    from omegaconf import open_dict

    with open_dict(cfg):
        cfg.normaliser = cfg.normaliser or trained.normaliser
        cfg.normalisers = trained.get("normalisers") if cfg.normalisers is None else cfg.normalisers
        cfg.threshold = trained.threshold if cfg.threshold is None else cfg.threshold
        cfg.seed = trained.seed if cfg.seed is None else cfg.seed
    if cfg.threshold <= 0:
        raise errors.ConfigError(f"threshold={cfg.threshold}: of failure rate and AUC, percent, above 0")


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


def check_detector(cfg: DictConfig, conditions: bool) -> None:
    """Refuse what does not go together with, or without, a detector.

    Raises:
        ConfigError: naming it.
    """
    if cfg.refine < 0:
        raise errors.ConfigError(f"refine={cfg.refine}: further passes, 0 or more")
    if cfg.refine and not cfg.detector:
        raise errors.ConfigError(f"refine={cfg.refine} is of the boxes that a detector finds: add detector=zoo/mtcnn")
    if cfg.detector and conditions:
        raise errors.ConfigError("detector= looks at whole images as they are; leave out corruptions and styles")
    if cfg.detector and cfg.data.get("corruption"):
        raise errors.ConfigError("detector= looks at whole images as they are; leave out data.corruption")


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


def detector_words(words: list[str]) -> list[str]:
    """``detector=RUN`` as ``detector=mtcnn detector.run=RUN``; choices of the group stay as they are.

    Args:
        words: of the command line.
    """
    from canthus.utils.files import conf_path

    choices = {path.stem for path in (Path(conf_path()) / "detector").glob("*.yaml")}
    found: list[str] = []
    for word in words:
        key, _, value = word.partition("=")
        run = key == "detector" and value and value not in choices
        found += ["detector=mtcnn", f"detector.run={value}"] if run else [word]
    return found


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
            if not launch.asks_for_help():
                _register_run()
            sys.argv[1:] = detector_words(sys.argv[1:])
            task, name, check = evaluate, "eval", check_places
    launch.launch(task, name, check=check)


if __name__ == "__main__":
    main()
