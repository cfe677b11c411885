"""What a file of ``conf/claim/`` may say. Kept free of torch."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from canthus.utils.errors import ConfigError, suggest
from canthus.utils.files import parse_yaml

__all__ = ["MEASURES", "ArmConfig", "ClaimConfig", "Contrast", "Quantity", "claim_files", "read_claim", "referred"]

MEASURES = {
    "error": ("lower", "% of {normaliser}"),
    "average_precision": ("higher", "%"),
    "recall": ("higher", "%"),
    "boxes": ("lower", "boxes an image"),
    "verification": ("higher", "%"),
    "rank_correlation": ("higher", ""),
    "gradient_norm": ("higher", ""),
    "milliseconds": ("lower", "ms"),
}
"""What can be measured -> the side that is better, and the unit."""
SIDES = ("lower", "higher")
OF_ARMS = ("error", "verification", "milliseconds")
"""Measures of single arms that a rank correlation may be of."""
NAME = re.compile(r"\w+")


@dataclass
class ArmConfig:
    """One training, or a yardstick that is trained elsewhere.

    Attributes:
        train: words of canthus-train; ``@NAME`` in a word is the run folder of another arm, with the same seed.
        run: a run that is there, such as ``zoo/dan``, in place of a training; the same for all seeds.
        minutes: of one core that the training takes, about; for ``--dry-run``.
    """

    train: list[str] = field(default_factory=list)
    run: str | None = None
    minutes: float | None = None


@dataclass
class Quantity:
    """What is measured of an arm. A claim's ``measure`` has what its quantities share.

    Attributes:
        arm: that is measured; of a verification also ``labels``, the ground truth.
        less: another arm, whose error is taken away: what is gained by changing one for the other.
        arms: that a rank correlation goes over.
        kind: of `MEASURES`.
        between: two of `OF_ARMS`: what a rank correlation is between, over the arms.
        normaliser: of an error.
        stage: from 1 on; null: the last.
        region: of an error; null: all points.
        part: of the data set, or an attribute of faces, that the figure is over; null: all test faces.
        yaw: lowest and highest absolute angle of the faces that the figure is over, degrees, by the labels.
        mouth: likewise the gap between the inner lips, percent of the eye distance.
        corruption: under which it is measured.
        severity: of the corruption, 1 to 5.
        style: in which it is measured.
        align_by: of a verification, ``points`` or ``pose``.
        epochs: of a gradient norm, the first ones that it is the mean over.
        value: a fixed number to compare with, in place of an arm.
        name: for tables; null: made of the rest.
    """

    arm: str | None = None
    less: str | None = None
    arms: list[str] = field(default_factory=list)
    kind: str = "error"
    between: list[str] = field(default_factory=list)
    normaliser: str = "inter_ocular"
    stage: int | None = None
    region: str | None = None
    part: str | None = None
    yaw: list[float] | None = None
    mouth: list[float] | None = None
    corruption: str | None = None
    severity: int = 3
    style: str | None = None
    align_by: str = "points"
    epochs: int = 3
    value: float | None = None
    name: str | None = None

    @property
    def label(self) -> str:
        """For tables."""
        if self.name:
            return self.name
        if self.value is not None:
            return f"{self.value:g}"
        words = [
            f"{self.arm} less {self.less}" if self.less else self.arm or " and ".join(self.between).replace("_", " ")
        ]
        words += [f"stage {self.stage}"] if self.stage else []
        words += [word.replace("_", " ") for word in (self.region, self.part) if word]
        words += [f"yaw {self.yaw[0]:g} to {self.yaw[1]:g}"] if self.yaw else []
        words += [f"mouth {self.mouth[0]:g} to {self.mouth[1]:g}"] if self.mouth else []
        words += [f"{self.corruption.replace('_', ' ')} {self.severity}"] if self.corruption else []
        words += [f"as {self.style}"] if self.style else []
        words += ["by pose"] if self.kind == "verification" and self.align_by == "pose" else []
        return ", ".join(words)


@dataclass
class Contrast:
    """Two quantities, of which the claim says that the first is better.

    Attributes:
        better: the one.
        worse: the other.
        effect: smallest difference worth naming; null: that of the claim.
        allowed: how much worse the first may be where the claim only says that it keeps up; then there is no effect.
    """

    better: Quantity
    worse: Quantity
    effect: float | None = None
    allowed: float = 0.0

    @property
    def kind(self) -> str:
        """What is measured."""
        return self.worse.kind if self.better.value is not None else self.better.kind

    @property
    def unit(self) -> str:
        """Of the figures and of ``effect``."""
        quantity = self.worse if self.better.value is not None else self.better
        return MEASURES[self.kind][1].format(normaliser=quantity.normaliser.replace("_", "-"))


@dataclass
class ClaimConfig:
    """One claim.

    Attributes:
        model: that it is about, or ``all``.
        paper: who says so.
        place: where in the paper.
        claim: what it says.
        measured: how it is tested, in words.
        arms: that are trained.
        measure: what the quantities share.
        contrasts: ``better`` and ``worse``, quantities each, and what else a `Contrast` has; the claim holds if all do.
        effect: smallest difference worth naming, in the unit of the measure.
        side: that is better; null: as usual for the measure.
        evaluate: words of canthus-eval that choose the faces; null: those of the command.
        study: words of canthus-eval study=... that choose the faces of verifications; null: those of the command.
        name: of the file.
    """

    model: str = MISSING
    paper: str = MISSING
    place: str = MISSING
    claim: str = MISSING
    measured: str = MISSING
    effect: float = MISSING
    arms: dict[str, ArmConfig] = field(default_factory=dict)
    measure: dict[str, Any] = field(default_factory=dict)
    contrasts: list[dict[str, Any]] = field(default_factory=list)
    side: str | None = None
    evaluate: list[str] | None = None
    study: list[str] | None = None
    name: str = ""

    @property
    def pairs(self) -> list[Contrast]:
        """The contrasts, with what they share."""
        return [
            Contrast(
                better=cast(Quantity, _typed(Quantity, self.measure | dict(one["better"]))),
                worse=cast(Quantity, _typed(Quantity, self.measure | dict(one["worse"]))),
                effect=self.effect if one.get("effect") is None else float(one["effect"]),
                allowed=float(one.get("allowed", 0)),
            )
            for one in self.contrasts
        ]

    def lower_is_better(self, contrast: Contrast) -> bool:
        """Of the figures of a contrast."""
        return (self.side or MEASURES[contrast.kind][0]) == "lower"

    @property
    def kinds(self) -> set[str]:
        """Of all that is measured, also of what a rank correlation is between."""
        return {kind for _, kind in self.wanted}

    @property
    def wanted(self) -> list[tuple[Quantity, str]]:
        """Every quantity of a single arm that has to be measured, with its kind."""
        found = []
        for quantity in (one for pair in self.pairs for one in (pair.better, pair.worse) if one.value is None):
            if quantity.kind == "rank_correlation":
                found += [(replace(quantity, arm=arm), kind) for arm in quantity.arms for kind in quantity.between]
            else:
                found.append((quantity, quantity.kind))
                found += [(replace(quantity, arm=quantity.less), quantity.kind)] if quantity.less else []
        return found


def claim_files(folders: Iterable[Path]) -> dict[str, Path]:
    """Name -> file of the claims in some folders of configs, each ``claim/NAME.yaml``; the first folder goes before."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted((folder / "claim").glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def referred(words: Sequence[str]) -> list[str]:
    """Arms that the words of a training name by ``@NAME``."""
    return [match[1] for word in words for match in re.finditer(r"=@(\w+)", word)]


def read_claim(path: Path) -> ClaimConfig:
    """Read and check a claim.

    Raises:
        ConfigError: naming the file, the key and what is wrong with it.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a claim has keys: {', '.join(_names(ClaimConfig))}")
    try:
        claim = cast(ClaimConfig, _typed(ClaimConfig, content | {"name": path.stem}))
        _check(claim)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return claim


def _names(schema: type) -> list[str]:
    return [one.name for one in fields(schema)]


def _typed(schema: type, content: Mapping[str, Any]) -> Any:
    """A dataclass of plain values, names and types checked.

    Raises:
        ConfigError: naming the key.
    """
    for key in content:
        if key not in _names(schema):
            raise ConfigError(f"unknown key '{key}': {suggest(str(key), _names(schema))}")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.create(dict(content)))
        plain = cast(dict[str, Any], OmegaConf.to_container(merged))  # words keep their interpolations
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if getattr(error, "full_key", None) else ""
        raise ConfigError(f"{key}{str(error).splitlines()[0]}") from error
    missing = [key for key, value in plain.items() if value == MISSING]
    if missing:
        raise ConfigError(f"needed but not given: {', '.join(missing)}")
    if "arms" in plain and schema is ClaimConfig:
        plain["arms"] = {name: ArmConfig(**arm) for name, arm in plain["arms"].items()}
    return schema(**plain)


def _check(claim: ClaimConfig) -> None:
    """What types do not tell.

    Raises:
        ConfigError: naming the key.
    """
    if not claim.arms or not claim.contrasts:
        raise ConfigError("arms and contrasts: a claim has at least one of each")
    if claim.effect < 0:
        raise ConfigError(f"effect={claim.effect:g}: the smallest difference worth naming, 0 or more")
    if claim.side not in (None, *SIDES):
        raise ConfigError(f"side={claim.side}: {suggest(str(claim.side), SIDES)}")
    for name, arm in claim.arms.items():
        _check_arm(name, arm, claim.arms)
    for number, one in enumerate(claim.contrasts):
        place = f"contrasts[{number}]"
        for key in ("better", "worse"):
            if not isinstance(one.get(key), dict):
                raise ConfigError(f"{place}.{key}={one.get(key)}: a quantity, such as {{arm: NAME}}")
        for key in one:
            if key not in _names(Contrast):
                raise ConfigError(f"{place}: unknown key '{key}': {suggest(str(key), _names(Contrast))}")
        for key in ("effect", "allowed"):
            if not isinstance(one.get(key, 0), int | float) or one.get(key, 0) < 0:
                raise ConfigError(f"{place}.{key}={one[key]}: a number, 0 or more")
    for number, pair in enumerate(claim.pairs):
        quantities = {"better": pair.better, "worse": pair.worse}
        for key, quantity in quantities.items():
            try:
                _check_quantity(quantity, claim.arms)
            except ConfigError as error:
                raise ConfigError(f"contrasts[{number}].{key}: {error}") from error
        kinds = sorted({quantity.kind for quantity in quantities.values() if quantity.value is None})
        if len(kinds) != 1:
            raise ConfigError(f"contrasts[{number}]: {' and '.join(kinds) or 'two numbers'} cannot be compared")


def _check_arm(name: str, arm: ArmConfig, arms: Mapping[str, ArmConfig]) -> None:
    if not NAME.fullmatch(name) or name == "labels":
        raise ConfigError(f"arms.{name}: a name has letters, digits and _, and is not 'labels'")
    if bool(arm.train) == bool(arm.run):
        raise ConfigError(f"arms.{name}: either train, the words of canthus-train, or run")
    seen, waiting = {name}, list(referred(arm.train))
    while waiting:
        other = waiting.pop()
        if other not in arms:
            raise ConfigError(f"arms.{name}: @{other}: {suggest(other, arms)}")
        if other in seen:
            raise ConfigError(f"arms.{name}: begins with its own end, by way of @{other}")
        seen.add(other)
        waiting += referred(arms[other].train)
    for word in arm.train:
        if word.partition("=")[0] in ("seed", "resume", "hydra.run.dir", "data.root") or word.startswith("-"):
            raise ConfigError(f"arms.{name}: {word!r} is the command's own; leave it out")


def _check_quantity(quantity: Quantity, arms: Mapping[str, ArmConfig]) -> None:
    if quantity.value is not None:
        return
    if quantity.kind not in MEASURES:
        raise ConfigError(f"kind={quantity.kind}: {suggest(quantity.kind, MEASURES)}")
    known = [*arms, "labels"] if quantity.kind == "verification" else list(arms)
    if quantity.kind == "rank_correlation":
        if len(quantity.between) != 2 or not set(quantity.between) <= set(OF_ARMS):
            raise ConfigError(f"between={quantity.between}: two of {', '.join(OF_ARMS)}")
        if len(quantity.arms) < 3:
            raise ConfigError(f"arms={quantity.arms}: ranks want three or more")
    named = quantity.arms if quantity.kind == "rank_correlation" else [quantity.arm]
    for name in named:
        if name not in known:
            raise ConfigError(f"arm={name}: {suggest(str(name), known)}")
    if quantity.less is not None and (quantity.kind != "error" or quantity.less not in arms):
        raise ConfigError(f"less={quantity.less}: of errors, {suggest(quantity.less, arms)}")
    if quantity.stage is not None and quantity.stage < 1:
        raise ConfigError(f"stage={quantity.stage}: counted from 1; null for the last")
    if not 1 <= quantity.severity <= 5:
        raise ConfigError(f"severity={quantity.severity}: 1 to 5")
    if quantity.corruption and quantity.style:
        raise ConfigError("corruption and style: one of them")
    for key, ends in (("yaw", quantity.yaw), ("mouth", quantity.mouth)):
        if ends is not None and (len(ends) != 2 or ends[0] >= ends[1]):
            raise ConfigError(f"{key}={ends}: the lower and the higher end")
