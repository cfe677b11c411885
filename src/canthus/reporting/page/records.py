"""What run folders and folders of evaluations hold. They may be a stranger's: files are read, nothing in them is run.

Numbers are checked here, once, so that whatever draws or sorts them can rely on them; texts are escaped where they are
shown.
"""

import csv
import glob
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from canthus import zoo
from canthus.evaluation.files import Metrics, Prediction, read_metrics_json, read_predictions
from canthus.reporting.comparison import FaceKey, faces_by_key
from canthus.runs import weights
from canthus.runs.trust import Bounds, own_file, plain_yaml
from canthus.schemes import load_scheme
from canthus.utils import old_names
from canthus.utils.errors import ConfigError

__all__ = ["Record", "Training", "find_evaluations", "read_record", "recipe_of", "trained_epochs", "trained_seconds"]

SKIPPED = {"checkpoints", "overlays", "wandb", ".hydra", ".git"}
"""Folders that hold no evaluation and may hold many files."""

PLACES = {
    "data": ("root", "cache", "seed", "num_workers", "max_broken", "verify_store"),
    "trainer": ("default_root_dir", "devices", "accelerator", "enable_progress_bar"),
}
"""Keys of a config that say where and with which seed a run was made, and not how."""

MOST = {"subsets": 500, "regions": 500}
"""Entries of metrics.json that can be meant; a damaged or hostile file would make a page that nobody can open."""
STAGES = 50
"""Likewise."""
LONGEST = 300
"""Characters of a name."""

RECIPE = ("model", "data", "trainer", "normaliser", "init_from", "steps")
"""What makes two runs differ in more than their seed, beside the schedule of the stages."""


@dataclass(frozen=True)
class Training:
    """How the model of an evaluation came about.

    Attributes:
        folder: of the run; ``zoo/NAME`` or the file of an exported model.
        config: its config.yaml.
        provenance: its provenance.json.
        epochs: that were trained; None without metrics.csv.
        checkpoint: file that was evaluated; None if it is not there.
    """

    folder: Path
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    epochs: int | None
    checkpoint: Path | None

    @cached_property
    def recipe(self) -> str:
        """Hash of the settings without seeds and places; runs that share it are seeds of one recipe."""
        return recipe_of(self.config)

    @property
    def seed(self) -> int | None:
        """Of the run."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def seconds(self) -> float | None:
        """Wall time of all its processes, its evaluation included; None where the provenance has none."""
        return trained_seconds(self.provenance)


@dataclass(frozen=True, eq=False)
class Record:
    """One evaluation.

    Attributes:
        folder: where it lies.
        metrics: its metrics.json.
        config: its config.yaml; empty without one.
        provenance: its provenance.json; empty without one.
        training: of the model; None for predictions of another tool, or where the run is not at hand.
        predictions: a row per face; None where predictions.csv is not there or damaged.
        corruptions: corruptions.json; None without a suite.
        problems: what is missing or damaged, in words.
    """

    folder: Path
    metrics: Metrics
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    training: Training | None
    predictions: Mapping[FaceKey, Prediction] | None
    corruptions: Mapping[str, Any] | None
    problems: list[str] = field(default_factory=list)

    @property
    def by_tool(self) -> bool:
        """Whether another tool made the predictions."""
        return "predictions" in self.config

    @property
    def settings(self) -> tuple[str, ...]:
        """What was asked of the evaluation that changes its figures, beside the data."""
        words = []
        if (which := self.config.get("checkpoint", "best")) != "best":
            words.append(f"checkpoint {Path(str(which)).name}")
        if refine := self.config.get("refine"):
            words.append(f"refined {refine}")
        if self.config.get("flip_average"):
            words.append("flip average")
        if count := self.metrics.get("trained_on"):
            words.append(f"{count} faces trained on")
        return tuple(words)


def find_evaluations(runs: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Folders with a metrics.json, in and below the named ones.

    Args:
        runs: folders, or globs.

    Returns:
        The folders, sorted, each once; and, in words, folders of runs and evaluations that hold no result.

    Raises:
        ConfigError: a name that is no folder, or nothing evaluated anywhere.
    """
    found: dict[Path, Path] = {}
    without = []
    for name in runs:
        places = [Path(name)] if Path(name).is_dir() else [Path(match) for match in sorted(glob.glob(name))]
        places = [place for place in places if place.is_dir()]
        if not places:
            raise ConfigError(f"runs: {name} is no folder, and no glob that matches one")
        for place in places:
            for folder, below, files in os.walk(place):
                below[:] = sorted(set(below) - SKIPPED)
                if "metrics.json" in files:
                    found.setdefault(Path(folder).resolve(), Path(folder))
                elif "config.yaml" in files and "provenance.json" in files:
                    status = _read_json(Path(folder) / "provenance.json", []).get("status", "unknown")
                    without.append(f"{folder}: no metrics.json (status: {status}); it has not been evaluated")
    if not found:
        hint = f" ({'; '.join(without[:3])})" if without else ""
        raise ConfigError(f"runs={list(runs)}: no metrics.json there{hint}; evaluate first: canthus-eval run=RUN")
    return sorted(found.values()), list(dict.fromkeys(without))


def read_record(folder: Path, bounds: Bounds | None = None) -> Record:
    """Read one evaluation.

    Args:
        folder: that holds it.
        bounds: folders in which the run that it names is looked for, beside its own.

    Raises:
        ValueError: a damaged metrics.json; whatever else is missing or damaged is among the record's problems.
    """
    problems: list[str] = []
    bounds = replace(bounds or Bounds(), folders=(folder, *(bounds.folders if bounds else ())))
    metrics = read_metrics_json(own_file(folder / "metrics.json"))
    _check_numbers(metrics, folder / "metrics.json")
    config = _read_config(folder, problems)
    provenance = _read_json(folder / "provenance.json", problems)
    record = Record(
        folder,
        metrics,
        config,
        provenance,
        _training(folder, config, provenance, bounds, problems),
        _predictions(folder / "predictions.csv", metrics, problems),
        _corruptions(folder / "corruptions.json", problems),
        problems,
    )
    if not record.by_tool and record.training is None:
        problems.append("the run of this evaluation is not at hand: no parameters, cost or provenance of the training")
    return record


def recipe_of(config: Mapping[str, Any]) -> str:
    """Ten digits that two configs share when they differ in seeds and places only."""
    chosen: dict[str, Any] = {key: config.get(key) for key in RECIPE}
    for group, keys in PLACES.items():
        if isinstance(chosen[group], Mapping):
            chosen[group] = {key: value for key, value in chosen[group].items() if key not in keys}
    chosen = _without_step_folders(chosen)
    callbacks = config.get("callbacks")
    chosen["stages"] = callbacks.get("stages") if isinstance(callbacks, Mapping) else None
    return hashlib.sha256(json.dumps(_sorted(chosen), default=str).encode()).hexdigest()[:10]


def _without_step_folders(chosen: dict[str, Any]) -> dict[str, Any]:
    """With the name of a step in place of its folder, which may have another seed's name."""
    steps = chosen["steps"]
    folders = {
        step["folder"]: f"step {name}"
        for name, step in (steps.items() if isinstance(steps, Mapping) else ())
        if isinstance(step, Mapping) and isinstance(step.get("folder"), str)
    }

    def named(node: Any) -> Any:
        if isinstance(node, Mapping):
            return {key: named(value) for key, value in node.items()}
        if isinstance(node, list):
            return [named(value) for value in node]
        return folders.get(node, node) if isinstance(node, str) else node

    return cast(dict[str, Any], named(chosen))


def _sorted(node: Any) -> Any:
    """With keys in order, also where some are numbers."""
    if isinstance(node, Mapping):
        return {str(key): _sorted(node[key]) for key in sorted(node, key=str)}
    return [_sorted(each) for each in node] if isinstance(node, (list, tuple)) else node


def _training(
    folder: Path, config: Mapping[str, Any], provenance: Mapping[str, Any], bounds: Bounds, problems: list[str]
) -> Training | None:
    run = folder if "model" in config else _run_of(folder, config, bounds, problems)
    if run is None:
        return _stored(config, bounds, problems)
    if run != folder:
        config, which = _read_config(run, problems), str(config.get("checkpoint", "best"))
        provenance = _read_json(run / "provenance.json", problems)
    else:
        which = "best" if (run / "checkpoints/best.ckpt").is_file() else "last"
    own = which in ("best", "last")
    path = run / "checkpoints" / f"{which}.ckpt" if own else Path(which)
    if not own and path not in bounds:
        problems.append(f"checkpoint {which} lies outside of the named folders: trust=true opens it")
        return Training(run, config, provenance, trained_epochs(run / "metrics.csv"), None)
    if not path.is_file():
        problems.append(f"no checkpoint {path.name}: the model cannot be counted, timed or drawn again")
    return Training(run, config, provenance, trained_epochs(run / "metrics.csv"), path if path.is_file() else None)


def _stored(config: Mapping[str, Any], bounds: Bounds, problems: list[str]) -> Training | None:
    """Of a model of the zoo, or of another file that canthus-export wrote."""
    run = zoo.run_path(str(config.get("run")))
    try:
        path = zoo.stored_file(run)
        if path == run and path not in bounds:
            problems.append(
                f"run={run} of this evaluation lies outside of the named folders: name it, too, or trust=true"
            )
            return None
        header = weights.read_header(path) if path else None
        trained = plain_yaml(str(header.get("config")), f"{path}, config") if header else None
    except ConfigError as error:
        problems.append(f"{run}: {error}")
        return None
    if header is None or not isinstance(trained, dict):
        return None
    trained = old_names.renamed(trained, old_names.CONFIG, old_names.VALUES)
    made = header.get("provenance")
    made = made if isinstance(made, dict) else {}
    epochs = made.get("epochs")
    return Training(run, trained, made, epochs if isinstance(epochs, int) else None, path)


def _run_of(folder: Path, config: Mapping[str, Any], bounds: Bounds, problems: list[str]) -> Path | None:
    """The run that an evaluation lies in, so that it may be moved with it; or else the one that it names."""
    named = config.get("run")
    if not isinstance(named, str):
        return None
    around = folder.parent.parent
    if folder.parent.name == "evaluation" and (around / "config.yaml").is_file():
        return around
    place = zoo.run_path(named)
    if place not in bounds:
        if place.suffix != zoo.SUFFIX and not named.startswith("zoo/"):
            problems.append(
                f"run={named} of this evaluation lies outside of the named folders: name it, too, or trust=true"
            )
        return None
    return place if (place / "config.yaml").is_file() else None


def trained_epochs(path: Path) -> int | None:
    """Epochs that a metrics.csv tells of; None without one."""
    try:
        with own_file(path).open(newline="", encoding="utf-8") as file:
            return 1 + max(int(row["epoch"]) for row in csv.DictReader(file))
    except (OSError, KeyError, TypeError, ValueError):
        return None


def trained_seconds(provenance: Mapping[str, Any]) -> float | None:
    """Wall time of the process, those that it went on from, and its steps; None where a provenance.json has none."""
    earlier, steps = provenance.get("earlier"), provenance.get("steps")
    records = [provenance, *(earlier if isinstance(earlier, list) else [])]
    records += list(steps.values()) if isinstance(steps, Mapping) else []
    spent = [record.get("seconds") for record in records if isinstance(record, Mapping)]
    known = [float(seconds) for seconds in spent if isinstance(seconds, (int, float)) and math.isfinite(seconds)]
    return sum(known) if known else None


def _predictions(path: Path, metrics: Metrics, problems: list[str]) -> Mapping[FaceKey, Prediction] | None:
    if not path.exists():
        problems.append("no predictions.csv: no curve, no significance, no pictures; its faces cannot be compared")
        return None
    try:
        rows = read_predictions(own_file(path))
    except (ValueError, StopIteration, IndexError) as error:
        problems.append(f"predictions.csv is damaged ({error}): no curve, no significance, no pictures")
        return None
    whole = next(iter(metrics["subsets"].values()))
    if len(rows) != whole["faces"]:
        problems.append(f"predictions.csv has {len(rows)} faces and metrics.json {whole['faces']}; evaluate again")
        return None
    return faces_by_key(rows)


def _corruptions(path: Path, problems: list[str]) -> Mapping[str, Any] | None:
    """The suite, once all that is shown of it is there."""
    if not path.is_file():
        return None
    try:
        content = json.loads(own_file(path).read_text(encoding="utf-8"))
        clean = content["clean"]["subsets"]["full"]["nme"]
        # without a clean error there is nothing to be more than
        relative = [] if clean == 0 and content["relative_corruption_error"] is None else ["relative_corruption_error"]
        for value in (clean, *(content[key] for key in ("mean_corruption_error", *relative))):
            _number(value)
        for entry in content["corruptions"].values():
            for severity, level in entry["severities"].items():
                int(severity)
                for key in ("nme", "auc", "failure_rate"):
                    _number(level["subsets"]["full"][key])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problems.append(f"corruptions.json is damaged ({type(error).__name__}: {error})")
        return None
    return dict(content)


def _check_numbers(metrics: Metrics, path: Path) -> None:
    """Everything that is drawn or sorted is a number.

    Raises:
        ValueError: no subset, or something else in a number's place.
    """
    if not isinstance(metrics["subsets"], Mapping) or not metrics["subsets"]:
        raise ValueError(f"{path}: no subsets")
    _check_names(metrics, path)
    try:
        _number(metrics["threshold"])
        for subset in metrics["subsets"].values():
            values: list[Any] = [subset["faces"], subset["auc"], subset["failure_rate"]]
            values += [value for value in (subset["nme"], *subset["nme_per_stage"]) if value is not None]
            if interval := subset.get("nme_interval"):
                low, high = interval
                values += [low, high]
            values += [visible["nme"]] if (visible := subset.get("visible_only")) and visible["nme"] is not None else []
            values += [subset[key] for key in ("nme_initial", "missing") if key in subset]
            for other in subset.get("other_normalisers", {}).values():
                values += [other["nme"]] if other["nme"] is not None else []
            if pose := subset.get("pose"):
                values += [
                    pose["faces"],
                    *(value for key, value in pose.items() if key not in ("truth", "mae_interval")),
                ]
            for value in values:
                _number(value)
        for errors in metrics.get("regions", {}).values():
            for value in errors:
                _number(value)
        for key, value in metrics.get("cost", {}).items():
            if key != "remark":
                _number(value)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: {error}; evaluate the run again") from error


def _check_names(metrics: Metrics, path: Path) -> None:
    """Names are texts, as many and as long as a page can show, and the scheme is one that is known.

    Raises:
        ValueError: others.
    """
    content: Mapping[str, Any] = metrics
    for key in ("model", "data", "normaliser", "split", "scheme", "corruption"):
        name = content.get(key)
        if name is not None and not isinstance(name, str):
            raise ValueError(f"{path}: {key} is {str(name)[:40]!r}, not a name; evaluate the run again")
    for key, most in MOST.items():
        if len(content.get(key) or ()) > most:
            raise ValueError(f"{path}: {len(content[key])} {key}; a report takes up to {most}")
    stages = max(len(subset["nme_per_stage"]) for subset in content["subsets"].values())
    if stages > STAGES:
        raise ValueError(f"{path}: {stages} stages; a report takes up to {STAGES}")
    longest = max((content["model"], content["data"], content["normaliser"], *content["subsets"]), key=len)
    if len(longest) > LONGEST:
        raise ValueError(f"{path}: the name {longest[:40]!r}... has {len(longest)} characters; up to {LONGEST}")
    if scheme := content.get("scheme"):
        load_scheme(scheme)


def _number(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]!r} stands where a number has to be")


def _read_config(folder: Path, problems: list[str]) -> Mapping[str, Any]:
    """As plain values: an interpolation of a stranger's config stays the text that it is."""
    path = folder / "config.yaml"
    content = _read(path, partial(plain_yaml, place=str(path)), "data, boxes and settings", problems)
    return old_names.renamed(content, old_names.CONFIG, old_names.VALUES)


def _read_json(path: Path, problems: list[str]) -> Mapping[str, Any]:
    return _read(path, json.loads, "commit, versions and cost", problems)


def _read(path: Path, parse: Callable[[str], Any], about: str, problems: list[str]) -> Mapping[str, Any]:
    try:
        content = parse(own_file(path).read_text(encoding="utf-8"))
    except OSError:
        problems.append(f"no {path.name} in {path.parent}: {about} are unknown")
        return {}
    except (ValueError, RecursionError) as error:
        problems.append(f"{path} is damaged ({str(error).splitlines()[0]})")
        return {}
    return content if isinstance(content, dict) else {}


def names_of(paths: Iterable[Path]) -> dict[Path, str]:
    """The shortest ends of paths that tell them apart."""
    wanted = {path: path.resolve().parts for path in paths}
    ends = Counter(parts[-count:] for parts in wanted.values() for count in range(1, len(parts) + 1))
    names = {}
    for path, parts in wanted.items():
        tails = (parts[-count:] for count in range(1, len(parts) + 1))
        names[path] = "/".join(next((tail for tail in tails if ends[tail] == 1), parts))
    return names
