"""What claims need: trainings, each recipe once, evaluations and studies, and which of them are done.

docs/claims.md explains it. Kept free of torch.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from canthus import zoo
from canthus.runs.children import Step
from canthus.runs.status import is_finished, read_provenance
from canthus.studies.claims.config import ArmConfig, ClaimConfig, Quantity, referred
from canthus.utils.config import quoted
from canthus.utils.errors import ConfigError

__all__ = ["ClaimPlaces", "Plan", "Recipe", "Settings", "core_hours", "plan"]

OF_THE_COMMAND = ("seed", "paths", "tags", "task_name", "resume", "logger", "trust", "sweep", "allow_changed_data")
"""Keys of a training's config that change nothing in its recipe."""
OF_THE_PLACE = ("root", "cache", "num_workers", "seed")
"""Likewise below ``data``."""
REFERENCE = re.compile(r"=@(\w+)")


@dataclass(frozen=True)
class Settings:
    """What the command is asked for, checked.

    Attributes:
        data: folder of 300-W.
        output: folder of everything.
        claims: that are judged.
        seeds: of the trainings.
        evaluate: words of canthus-eval that choose the test faces.
        study: words of canthus-eval that choose the faces of verifications; None where there are none.
        options: more words for every training.
        config_dirs: folders of one's own configs.
    """

    data: Path
    output: Path
    claims: Sequence[ClaimConfig]
    seeds: Sequence[int]
    evaluate: Sequence[str] = ()
    study: Sequence[str] | None = None
    options: Sequence[str] = ()
    config_dirs: Sequence[Path] = ()

    @property
    def faces(self) -> Path:
        """Folder of 300-W itself."""
        inside = self.data / "300w"
        return inside if inside.is_dir() else self.data

    def left_out(self, claim: ClaimConfig) -> str | None:
        """Why a claim cannot be measured with these settings; None if it can."""
        if "verification" in claim.kinds and claim.study is None and self.study is None:
            return "ytf68=DIR is needed, a folder of YouTube Faces frames"
        return None


@dataclass(frozen=True)
class Recipe:
    """One training, whatever its seed and whichever claims it serves.

    Attributes:
        key: its name and a hash of all its settings: the name of its run folders, without the seed.
        words: of canthus-train; ``@NAME`` refers to other arms of the claim that it was read from.
        after: names of those -> their keys.
        rooted: whether its data want a folder.
        minutes: of one core, estimated; None where nobody knows.
        run: a run that is there, in place of a training.
    """

    key: str
    words: tuple[str, ...] = ()
    after: Mapping[str, str] = field(default_factory=dict)
    rooted: bool = True
    minutes: float | None = None
    run: str | None = None


class ClaimPlaces:
    """Where the results of a claim's arms lie.

    Args:
        settings: of the command.
        claim: whose arms.
        recipes: of the claim's arms.
    """

    def __init__(self, settings: Settings, claim: ClaimConfig, recipes: Mapping[str, Recipe]) -> None:
        self.settings, self.claim, self.recipes = settings, claim, recipes

    def run(self, arm: str, seed: int) -> Path:
        """Folder of a training, or the name of a run that is there."""
        recipe = self.recipes[arm]
        return zoo.run_path(recipe.run) if recipe.run else _run_folder(self.settings, recipe.key, seed)

    def evaluation(self, arm: str, seed: int, quantity: Quantity) -> Path:
        """Folder of an evaluation: below its run, but for runs that are not this command's."""
        recipe = self.recipes[arm]
        inside = self.settings.output / "runs" / recipe.key if recipe.run else self.run(arm, seed)
        words = self.claim.evaluate if self.claim.evaluate is not None else self.settings.evaluate
        shown = "plain"
        if quantity.corruption:
            shown = f"{quantity.corruption}_{quantity.severity}"
        elif quantity.style:
            shown = f"as_{quantity.style}"
        return inside / "claims" / f"{shown}-{_hash(list(words))}"

    def study(self, kind: str, seed: int) -> Path:
        """Folder of a study."""
        runs = sorted(str(self.run(arm, seed)) for arm in self.of_study(kind))
        return self.settings.output / "studies" / f"{kind}-{_hash([runs, list(self.study_words(kind))])}"

    def study_words(self, kind: str) -> Sequence[str]:
        """That choose the faces of a study."""
        if kind == "verification":
            return self.claim.study if self.claim.study is not None else (self.settings.study or ())
        root = _word("data.root", self.settings.faces)
        return ["data=w300", root, "data.test_parts=[helen/testset]", "data.allow_partial=true"]

    def of_study(self, kind: str) -> list[str]:
        """Arms that are measured by a study."""
        named = {quantity.arm for quantity, one in self.claim.wanted if one == kind}
        return [arm for arm in self.recipes if arm in named]


@dataclass(frozen=True)
class Plan:
    """Everything that has to be done.

    Attributes:
        steps: trainings, evaluations and studies.
        needs: claim -> the names of its steps.
        places: claim -> where its results are.
        minutes: step -> estimated minutes of one core; None where nobody knows.
        runs: claim -> folders of its trainings.
    """

    steps: Sequence[Step]
    needs: Mapping[str, Sequence[str]]
    places: Mapping[str, ClaimPlaces]
    minutes: Mapping[str, float | None]
    runs: Mapping[str, Sequence[Path]]


def plan(settings: Settings, composed: Callable[[Sequence[str]], DictConfig]) -> Plan:
    """Read from the records of the runs what is done, and say what is not. Nothing is written.

    Args:
        settings: of the command.
        composed: gives the config that words of canthus-train compose.

    Raises:
        ConfigError: an arm whose words compose no config; naming both.
    """
    trainings: dict[str, Step] = {}
    others: dict[str, Step] = {}
    needs: dict[str, list[str]] = {}
    places: dict[str, ClaimPlaces] = {}
    runs: dict[str, list[Path]] = {}
    minutes: dict[str, float | None] = {}
    for claim in settings.claims:
        recipes = _recipes(settings, claim, composed)
        place = places[claim.name] = ClaimPlaces(settings, claim, recipes)
        mine: list[Step] = []
        if settings.left_out(claim) is None:
            for seed in settings.seeds:
                made = [_training(settings, recipe, place, seed) for recipe in recipes.values() if not recipe.run]
                for recipe, step in zip([one for one in recipes.values() if not one.run], made, strict=True):
                    trainings.setdefault(step.name, step)
                    minutes[step.name] = max(filter(None, (minutes.get(step.name), recipe.minutes)), default=None)
                measured = [*_evaluations(settings, place, seed), *_studies(settings, place, seed)]
                others |= {step.name: step for step in measured}
                mine += [*made, *measured]
        needs[claim.name] = list(dict.fromkeys(step.name for step in mine))
        runs[claim.name] = list(dict.fromkeys(step.log.parent for step in mine if step.module == "train"))
    longest = sorted(trainings.values(), key=lambda step: -(minutes[step.name] or 0))
    done = {step.name for step in [*longest, *others.values()] if step.done}
    later = [step for step in others.values() if not step.done or set(step.after) <= done]
    redone = [_undone(step) for step in others.values() if step not in later]
    return Plan([*longest, *later, *redone], needs, places, minutes, runs)


def _undone(step: Step) -> Step:
    """An evaluation whose training is not finished any more."""
    return Step(step.name, step.module, step.words, step.log, step.after)


def core_hours(folders: Sequence[Path], threads: int) -> float:
    """That the trainings in some folders took, stopped ones included."""
    total = 0.0
    for folder in folders:
        record = read_provenance(folder)
        total += sum(float(one.get("seconds") or 0) for one in [record, *record.get("earlier", [])])
    return round(threads * total / 3600, 2)


def _recipes(
    settings: Settings, claim: ClaimConfig, composed: Callable[[Sequence[str]], DictConfig]
) -> dict[str, Recipe]:
    """Of every arm, those that others begin with first."""
    made: dict[str, Recipe] = {}

    def make(name: str) -> None:
        if name in made:
            return
        arm = claim.arms[name]
        if arm.run:
            made[name] = Recipe(re.sub(r"\W+", "-", arm.run), run=arm.run)
            return
        after = referred(arm.train)
        for other in after:
            make(other)
        keys = {other: made[other].key for other in after}
        made[name] = _recipe(settings, claim, name, arm, keys, composed)

    for name in claim.arms:
        make(name)
    return {name: made[name] for name in claim.arms}


def _recipe(
    settings: Settings,
    claim: ClaimConfig,
    name: str,
    arm: ArmConfig,
    keys: Mapping[str, str],
    composed: Callable[[Sequence[str]], DictConfig],
) -> Recipe:
    words = (*arm.train, *settings.options)
    standing = [REFERENCE.sub(lambda match: f"={quoted(keys[match[1]])}", word) for word in words]
    try:
        cfg = composed(standing)
    except ConfigError as error:
        raise ConfigError(f"claim {claim.name}: arm {name}: {error}") from error
    content: Any = OmegaConf.to_container(cfg, resolve=False)
    rooted = content["data"].get("root", "") == "???"
    for key in OF_THE_COMMAND:
        content.pop(key, None)
    for key in OF_THE_PLACE:
        content["data"].pop(key, None)
    first = next((word.partition("=")[2] for word in words if word.startswith(("experiment=", "model="))), "run")
    key = f"{re.sub(r'[^A-Za-z0-9_]', '', first)}-{_hash(content)}"
    return Recipe(key, words, keys, rooted, arm.minutes)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:10]


def _word(key: str, value: Path | str) -> str:
    return f"{key}={quoted(str(value))}"


def _run_folder(settings: Settings, key: str, seed: int) -> Path:
    return settings.output / "runs" / f"{key}-seed{seed}"


def _own(settings: Settings) -> list[str]:
    """Words by which a child finds one's own configs."""
    return [word for folder in settings.config_dirs for word in ("--config-dir", str(folder))]


def _training(settings: Settings, recipe: Recipe, place: ClaimPlaces, seed: int) -> Step:
    folder = _run_folder(settings, recipe.key, seed)
    if (folder / "config.yaml").is_file():
        words = [_word("resume", folder)]
    else:
        begun = {name: quoted(str(place.run(name, seed))) for name in recipe.after}
        words = [REFERENCE.sub(lambda match: f"={begun[match[1]]}", word) for word in recipe.words]
        words += [f"seed={seed}", *([_word("data.root", settings.faces)] if recipe.rooted else [])]
        words += [_word("hydra.run.dir", folder), _word("paths.log_dir", settings.output / "steps"), *_own(settings)]
    after = tuple(f"{key} seed {seed} train" for key in recipe.after.values())
    name = f"{recipe.key} seed {seed} train"
    return Step(name, "train", tuple(words), folder / "train.txt", after, done=is_finished(folder))


def _evaluations(settings: Settings, place: ClaimPlaces, seed: int) -> list[Step]:
    """One for every arm and condition that something is measured under."""
    steps: dict[str, Step] = {}
    for quantity, kind in place.claim.wanted:
        if kind in ("verification", "milliseconds", "gradient_norm"):
            continue
        assert quantity.arm is not None
        recipe, folder = place.recipes[quantity.arm], place.evaluation(quantity.arm, seed, quantity)
        run = recipe.run if recipe.run else quoted(str(place.run(quantity.arm, seed)))
        chosen = place.claim.evaluate if place.claim.evaluate is not None else settings.evaluate
        words = [f"run={run}", _word("output", folder), "overlays=0", "normalisers=all", *chosen]
        words += [_word("data.root", settings.faces)] if recipe.run and recipe.run.startswith("zoo/") else []
        if quantity.corruption:
            words += [f"data.corruption={quantity.corruption}", f"data.severity={quantity.severity}"]
        if quantity.style:
            words += [f"data.styles=[{quantity.style}]"]
        name = f"{folder.parent.parent.name} evaluate {folder.name}"
        after = () if recipe.run else (f"{recipe.key} seed {seed} train",)
        log = folder.with_suffix(".txt")
        steps[name] = Step(name, "evaluate", tuple(words), log, after, done=is_finished(folder))
    return list(steps.values())


def _studies(settings: Settings, place: ClaimPlaces, seed: int) -> list[Step]:
    steps = []
    for kind in ("verification", "milliseconds"):
        if kind not in place.claim.kinds:
            continue
        folder, arms = place.study(kind, seed), place.of_study(kind)
        runs = ",".join(place.recipes[a].run or quoted(str(place.run(a, seed))) for a in arms)
        words = [f"study={'alignment' if kind == 'verification' else 'critique'}", f"runs=[{runs}]"]
        words += [_word("output", folder), *(["corruptions=[]"] if kind == "verification" else [])]
        words += place.study_words(kind)
        after = tuple(f"{place.recipes[a].key} seed {seed} train" for a in arms if not place.recipes[a].run)
        name, log = f"{folder.name} seed {seed}", folder.with_suffix(".txt")
        steps.append(Step(name, "evaluate", tuple(words), log, after, done=is_finished(folder)))
    return steps
