"""canthus benchmark: every model trained and evaluated under one protocol, and a report of all; resumable."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus.commands import checks, launch, schemas
from canthus.commands.benchmark_plan import MODELS, SUITES, TEST_PART, Settings, plan
from canthus.runs import faults, folders
from canthus.runs.children import Ended, Step, run_steps
from canthus.utils.config import chosen
from canthus.utils.errors import ConfigError, RunError, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

AGAIN = "what is finished in {output} stays, stopped trainings go on from their last epoch: run the same command again"
LARGEST_SEED = (1 << 32) - 1


def benchmark(cfg: DictConfig) -> None:
    """Train and evaluate what is not done yet, and report on all of it.

    Args:
        cfg: composed from benchmark.yaml.

    Raises:
        ConfigError: a setting that cannot work.
        RunError: a step has failed; all others have been done.
    """
    checks.check(cfg, schemas.BenchmarkConfig)
    gpu = cfg.suite == "gpu"
    jobs = _count("jobs", cfg.jobs, 1 if gpu else 2)
    threads = _count("threads", cfg.threads, None if gpu else 1)
    settings = read_settings(cfg)
    steps = plan(settings)
    if settings.suite != "gpu" and not settings.tests:
        print(
            f"# {settings.faces / TEST_PART} is not there: all figures are of the validation faces, which choose the "
            "epochs"
        )
    if cfg.dry_run:
        show(steps, threads)
        return
    with (
        folders.held(settings.output, instead="wait for its end, or name another output"),
        faults.explained(lambda: AGAIN.format(output=settings.output)),
    ):
        run(settings, plan(settings), jobs or 1, threads)


def run(settings: Settings, steps: Sequence[Step], jobs: int, threads: int | None) -> None:
    """Do all steps, the report of whatever has succeeded last.

    Raises:
        RunError: naming the steps that have failed.
    """
    environment = dict(os.environ) | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    ended = run_steps(steps, jobs, environment)
    if ended.failed:
        raise RunError(_failures(ended, len(steps), settings.output))
    print(f"all {len(steps)} steps are done: {settings.page}")


def _failures(ended: Ended, total: int, output: Path) -> str:
    names = "; ".join(f"{step.name} ({step.log})" for step in ended.failed)
    left = f"; {len(ended.left_out)} that need them are left out" if ended.left_out else ""
    return f"{len(ended.failed)} of {total} steps failed: {names}{left}. Once that is mended, {AGAIN}".format(
        output=output
    )


def show(steps: Sequence[Step], threads: int | None) -> None:
    """Print every command as a line for a shell; what is done is a comment."""
    prefix = "" if threads is None else f"OMP_NUM_THREADS={threads} "
    for step in steps:
        command = f"{prefix}{shlex.join(step.command)} > {shlex.quote(str(step.log))} 2>&1"
        print(f"# {step.name}: {'done' if step.done else 'to do'}")
        print("\n".join(f"# {line}" for line in command.split("\n")) if step.done else command)


def read_settings(cfg: DictConfig) -> Settings:
    """What the config asks for.

    Raises:
        ConfigError: naming what cannot work.
    """
    if cfg.suite not in SUITES:
        raise ConfigError(f"suite={cfg.suite}: {suggest(cfg.suite, SUITES)}")
    places = {"data.root": cfg.data.root, "wider": cfg.wider, "celeba": cfg.celeba}
    found = {key: asked_folder(key, value) for key, value in places.items()}
    data = found["data.root"]
    if data is None:
        raise ConfigError("data.root=null: name the folder of 300-W, with helen/trainset and afw in it")
    if (found["wider"] is None) != (found["celeba"] is None):
        raise ConfigError("wider and celeba: full-size mtcnn learns from both; name both, or neither")
    return Settings(
        suite=cfg.suite,
        data=data,
        output=_output(cfg),
        models=_models(cfg.models, cfg.suite, found["wider"] is not None),
        seeds=asked_seeds(cfg.seeds, cfg.suite),
        corruptions=_corruptions(cfg.corruptions),
        options=_options(cfg.options, cfg.suite),
        wider=found["wider"],
        celeba=found["celeba"],
        yardsticks=_yardsticks(cfg.yardsticks, data),
    )


def _yardsticks(folder: str | None, data: Path) -> dict[str, Path]:
    """Predictions in a folder, by name.

    Raises:
        ConfigError: no such folder, none in it, or no test faces that they could be of.
    """
    place = asked_folder("yardsticks", folder)
    if place is None:
        return {}
    if not Settings("cpu", data, place).tests:
        raise ConfigError(f"yardsticks={folder}: they are scored on {TEST_PART}, which is not in data.root={data}")
    files = sorted(path for kind in ("csv", "json") for path in place.glob(f"*.predictions.{kind}"))
    if not files:
        raise ConfigError(f"yardsticks={folder}: no NAME.predictions.json or .csv there; see benchmarks/README.md")
    return {path.name.partition(".")[0]: path for path in files}


def _output(cfg: DictConfig) -> Path:
    if cfg.output is not None:
        return Path(cfg.output)
    return Path(cfg.paths.log_dir) / ("benchmark" if cfg.suite == "cpu" else f"benchmark-{cfg.suite}")


def _count(key: str, value: int | None, default: int | None) -> int | None:
    if value is not None and value < 1:
        raise ConfigError(f"{key}={value}: at least 1")
    return default if value is None else value


def asked_folder(key: str, value: str | None) -> Path | None:
    """A folder that is there; None for null.

    Raises:
        ConfigError: there is none.
    """
    if value is not None and not Path(value).is_dir():
        raise ConfigError(f"{key}={value}: no such folder")
    return None if value is None else Path(value)


def listed(words: Any) -> Any:
    """A list that was typed with blanks, as in a makefile's variable: ``models="dan mdm"``."""
    return words.split() if isinstance(words, str) and words != "all" else words


def _models(words: Any, suite: str, mtcnn: bool) -> list[str]:
    """In the order of `MODELS`, so that the longest begin first."""
    possible = [model for model in MODELS if model != "mtcnn" or suite != "gpu" or mtcnn]
    names = chosen("models", listed(words), possible)
    for name in names:
        if name not in MODELS:
            raise ConfigError(f"models={name}: {suggest(str(name), MODELS)}")
        if name not in possible:
            raise ConfigError(f"models={name}: at full size it learns from WIDER FACE and CelebA: wider=DIR celeba=DIR")
    if not names:
        raise ConfigError("models=null: all, or some of them")
    return [model for model in MODELS if model in names]


def asked_seeds(words: Any, suite: str) -> list[int]:
    """Seeds, each once.

    Raises:
        ConfigError: other things than whole numbers, or several for the zoo.
    """
    values = listed(words)
    values = [values] if isinstance(values, (int, float)) else list(values or ())
    try:
        seeds = list(dict.fromkeys(int(str(value)) for value in values))
    except ValueError:
        seeds = []
    if not seeds or not all(0 <= seed <= LARGEST_SEED for seed in seeds):
        raise ConfigError(
            f"seeds={'null' if words is None else words}: whole numbers from 0 to {LARGEST_SEED}, as in [0,1,2]"
        )
    if suite == "zoo" and seeds != [0]:
        raise ConfigError(f"seeds={words}: suite=zoo trains nothing and has one set of weights of each model")
    return seeds


def _corruptions(words: Any) -> str:
    """As the value of canthus-eval's key."""
    words = listed(words)
    if words is None or words == "all":
        return "null" if words is None else "all"
    from canthus.evaluation.conditions import chosen_corruptions  # brings torch, which the usual call does without

    return f"[{','.join(chosen_corruptions(words))}]"


def _options(options: Any, suite: str) -> dict[str, list[str]]:
    """Model -> more words for its training: those for every model and its own.

    Raises:
        ConfigError: words that cannot be split, or that are for trainings which are none.
    """
    given = dict(options) if hasattr(options, "items") else {"all": options}
    for key in given:
        if key not in ("all", *MODELS):
            raise ConfigError(f"options.{key}: {suggest(str(key), ('all', *MODELS))}")
    words = {str(key): split_words(str(key), value) for key, value in given.items()}
    if suite == "zoo" and any(words.values()):
        raise ConfigError("options: suite=zoo trains nothing; leave them out")
    return {model: words.get("all", []) + words.get(model, []) for model in MODELS}


def split_words(key: str, value: Any) -> list[str]:
    """Words of canthus-train that an option holds, as one text or as a list.

    Raises:
        ConfigError: words that are no ``key=value``.
    """
    try:
        words = [] if value is None else shlex.split(value) if isinstance(value, str) else [str(one) for one in value]
    except (ValueError, TypeError) as error:
        raise ConfigError(f"options.{key}={value}: words as canthus-train takes them: {error}") from error
    for word in words:
        if "=" not in word and not word.startswith("~"):
            raise ConfigError(f"options.{key}={value}: {word!r} is no key=value")
    return words


def main() -> None:
    """Entry point of ``canthus-benchmark`` and ``python -m canthus.commands.benchmark``."""
    words = ["dry_run=true" if word == "--dry-run" else word for word in sys.argv[1:]]
    launch.launch(benchmark, "benchmark", words)


if __name__ == "__main__":
    main()
