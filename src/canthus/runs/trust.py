"""What the files of a run may say. Whoever wrote them may be a stranger: they are data and never code.

One way leads from a file to a config: bounded reading to plain values, no interpolation, the shape of a training's
config. What `check_trust` then checks is what is built. Kept free of torch, so that commands can refuse a run at once.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from logging import getLogger
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader  # as OmegaConf.save writes numbers, they are read

from canthus.utils import old_names
from canthus.utils.errors import ConfigError

__all__ = [
    "Bounds",
    "as_reader",
    "check_sizes",
    "check_trust",
    "check_writes",
    "config_of",
    "own_cache",
    "own_file",
    "plain_yaml",
    "read_plain",
    "regular_file",
    "shown",
]

log = getLogger(__name__)

MOST_BYTES, MOST_NODES, MOST_DEPTH, MOST_LETTERS = 1_000_000, 20_000, 24, 8_192
"""Of a config: bytes, nodes, levels of nesting, and characters of one value. Real ones have about 6 kB, 250 and 7."""
MOST_LETTERS_OF_A_KEY = 200
LARGEST_INTEGER = 2**63 - 1
MOST_OF_ANYTHING = 1_000_000
NEEDED = ("model", "data")
"""Groups without which nothing can be loaded."""
KINDS: dict[str, tuple[type, ...]] = {"seed": (int,), "normaliser": (str,), "threshold": (int, float)}
"""Values of a training that an evaluation takes over."""
DEFAULTS = {"seed": 0, "normaliser": "inter_ocular", "threshold": 8.0}
PORTABLE = {"data.cache": "${paths.cache}", "paths.cache": "${oc.env:CANTHUS_CACHE,'~/.cache/canthus'}"}
"""The interpolations that canthus-export writes: both mean the cache of whoever reads the file."""
MACHINE = ("accelerator", "devices", "num_nodes", "strategy", "default_root_dir")
"""Keys of a trainer that say where it runs and not what it computes."""
SPECIAL = ("_args_", "_convert_", "_recursive_")
"""Keys with which a config says how Hydra should call something; canthus says that itself."""
FOLDERS = ("default_root_dir", "dir", "dirpath", "folder", "log_dir", "root_dir", "save_dir")
"""Keys of callbacks, loggers and trainers that name a folder to write to."""


# -- reading ---------------------------------------------------------------------------------------------------------


def own_file(path: Path, folder: Path | None = None) -> Path:
    """A file of a folder that may be a stranger's, once it is known to be one.

    Args:
        path: of the file; it need not exist.
        folder: that may not be left by links; by default the one that the file lies in.

    Returns:
        ``path``.

    Raises:
        ConfigError: a link that leads out of the folder, or a pipe, a device or a folder in the file's place.
    """
    folder = path.parent if folder is None else folder
    real = _resolved(path)
    if not real.is_relative_to(_resolved(folder)):
        raise ConfigError(f"{path} leads out of {folder}, to {real}: name that file itself, or copy it there")
    return regular_file(path)


def regular_file(path: Path) -> Path:
    """A file that the user has named, if it is one or is not there.

    Raises:
        ConfigError: a pipe, a device or a folder, which would stop whoever reads it.
    """
    real = _resolved(path)
    if real.exists() and not real.is_file():
        raise ConfigError(f"{path} is no regular file")
    return path


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL
        raise ConfigError(f"{shown(path)} cannot be opened: {error}") from error


def read_plain(path: Path) -> Any:
    """Plain values of a YAML file, see `plain_yaml`.

    Raises:
        ConfigError: not such a file, or one that `own_file` refuses.
    """
    try:
        with own_file(path).open("rb") as file:
            return plain_yaml(file.read(MOST_BYTES + 1), str(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def plain_yaml(text: str | bytes, place: str) -> Any:
    """Parse YAML to dictionaries, lists, texts, numbers, booleans and None. An interpolation stays the text it is.

    Args:
        text: the YAML.
        place: where it stands, for messages.

    Raises:
        ConfigError: not YAML, tags, aliases, or more than a config can sensibly have.
    """
    try:
        content = text.decode() if isinstance(text, bytes) else text
        if len(text) > MOST_BYTES:
            raise ConfigError(f"{place} has more than {MOST_BYTES:,} bytes: no config of canthus is that long")
        plain = _built(content, place)
        _check_values(plain, place)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place} is not a text in UTF-8 (byte {error.start} is none)") from error
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{place} is not YAML{line}: {shown(error.problem)}") from error
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        raise ConfigError(
            f"{place} is not YAML: {shown(str(error).splitlines()[0] if str(error) else error)}"
        ) from error
    return plain


def _built(text: str, place: str) -> Any:
    """Plain values, as libyaml reads them: ten times as fast, which counts for a report of hundreds of runs.

    What libyaml refuses, PyYAML's own parser decides, so that messages do not depend on how PyYAML was built.
    """
    if yaml.__with_libyaml__:
        with suppress(yaml.YAMLError, UnicodeEncodeError):
            _check_size(text, place, yaml.CSafeLoader)
            return yaml.load(text, Loader=_quick_loader())
    _check_size(text, place, yaml.SafeLoader)
    return yaml.load(text, Loader=_loader())


@cache
def _loader() -> Any:
    return get_yaml_loader()  # a subclass of SafeLoader


@cache
def _quick_loader() -> Any:
    """The same values from libyaml's parser, which refuses what is nested more than a thousand deep."""
    parser: Any = yaml.cyaml.CParser  # type: ignore[attr-defined]

    class Loader(parser, _loader()):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            parser.__init__(self, stream)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    return Loader


def _check_size(text: str, place: str, loader: Any) -> None:
    """Follow the parser's events, which cost no memory, before anything is built of them.

    Raises:
        ConfigError: something that no saved config has.
    """
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=loader)):
        line = (event.start_mark.line if event.start_mark else 0) + 1
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{place}, line {line}: *{shown(event.anchor)} is an alias; write its value there")
        if isinstance(event, (yaml.CollectionStartEvent, yaml.ScalarEvent)) and event.tag is not None:
            raise ConfigError(f"{place}, line {line}: {shown(event.tag)} is a tag; a config holds plain values")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > MOST_LETTERS:
            raise ConfigError(
                f"{place}, line {line}: a value of {len(event.value):,} characters; up to {MOST_LETTERS:,}"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise ConfigError(f"{place}, line {line}: nested more than {MOST_DEPTH} deep; no config of canthus is")
        if number > MOST_NODES:
            raise ConfigError(f"{place} holds more than {MOST_NODES:,} values; no config of canthus does")


def _check_values(plain: Any, place: str) -> None:
    """Keys and values that every part of canthus can use, print and save.

    Raises:
        ConfigError: others.
    """
    for where, value in _walk(plain):
        keys = list(value) if isinstance(value, dict) else []
        for key in keys:
            long = isinstance(key, str) and (len(key) > MOST_LETTERS_OF_A_KEY or not key.isprintable())
            if long or not isinstance(key, (str, int, float)):
                raise ConfigError(f"{place}: {where or 'its first level'} has the key {shown(key)}; keys are words")
        if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            raise ConfigError(f"{place}: {where} is a whole number of more than 64 bits")
        for text in (word for word in (value, *keys) if isinstance(word, str)):
            if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ConfigError(f"{place}: {where}={shown(text)} holds a character that no text has")


def _walk(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a plain container with its dotted place."""
    yield place, node
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _walk(value, f"{place}.{key}".lstrip("."))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _walk(value, f"{place}[{index}]")


def shown(value: object, most: int = 120) -> str:
    """A stranger's value in a message: short, on one line."""
    text = str(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= most else f"{text[: most - 3]}..."


# -- the config of a training ----------------------------------------------------------------------------------------


def config_of(plain: Any, place: str) -> DictConfig:
    """The config of a training from what a file holds: without interpolations, and with what loading it needs.

    Args:
        plain: content, see `plain_yaml`.
        place: where it stands, for messages.

    Raises:
        ConfigError: an interpolation, or something that is not the config of a training.
    """
    if not isinstance(plain, dict):
        kind = "is empty" if plain is None else f"holds a {type(plain).__name__}"
        raise ConfigError(f"{place} {kind} where the config of a training should be")
    for group in NEEDED:
        if not isinstance(plain.get(group), dict):
            raise ConfigError(f"{place} is not the config of a training: it has no {group}")
    if not isinstance(plain["model"].get("_target_"), str):
        raise ConfigError(f"{place}: model._target_={shown(plain['model'].get('_target_'))} names no class")
    plain = DEFAULTS | {"trainer": {}} | old_names.renamed(plain, old_names.CONFIG, old_names.VALUES)
    if not isinstance(plain["trainer"], dict):
        raise ConfigError(f"{place}: trainer={shown(plain['trainer'])} has no settings")
    for key, kinds in KINDS.items():
        value = plain[key]
        if not isinstance(value, kinds) or isinstance(value, bool) or value in (float("inf"), -float("inf")):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise ConfigError(f"{place}: {key}={shown(value)} is no {wanted} that can be used")
    _take_own_cache(plain)
    _refuse_interpolations(plain, place)
    _check_name(plain["data"].get("name"), place)
    for group in ("data", "trainer", "model"):
        if "defaults" in plain[group]:
            raise ConfigError(f"{place}: {group}.defaults would choose other configs; a saved config is whole")
    config: DictConfig = OmegaConf.create(plain)
    return config


def own_cache() -> str:
    """The folder of stores on this machine, as paths/default.yaml has it."""
    return os.environ.get("CANTHUS_CACHE", "~/.cache/canthus")


def _take_own_cache(plain: dict[str, Any]) -> None:
    """Say what `PORTABLE` means here."""
    for place, words in PORTABLE.items():
        group, key = place.split(".")
        node = plain.get(group)
        if isinstance(node, dict) and node.get(key) == words:
            plain[group] = node | {key: own_cache()}


def _refuse_interpolations(plain: Any, place: str) -> None:
    """A saved config is saved resolved. What is left would read the environment, or call what it likes, here.

    Raises:
        ConfigError: naming place and value.
    """
    for where, value in _walk(plain):
        words = [value, *value] if isinstance(value, dict) else [value]
        for word in words:
            if isinstance(word, str) and "${" in word:
                raise ConfigError(
                    f"{place}: {where}={shown(word)} is an interpolation; a saved config has none, and it is "
                    "not resolved: write the value in its place"
                )


def _check_name(name: Any, place: str) -> None:
    """The name of a data set becomes part of folders' names.

    Raises:
        ConfigError: one that would lead elsewhere.
    """
    if name is None:
        return
    words = str(name)
    plain = re.fullmatch(r"[^./\\~][^/\\]{0,79}", words) and words.isprintable()
    if not isinstance(name, (str, int)) or not plain:
        raise ConfigError(f"{place}: data.name={shown(words)} cannot be part of a folder's name; use a plain word")


def as_reader(cfg: DictConfig, run: Path, *, trust: bool) -> DictConfig:
    """The config of a run on the machine of whoever reads it: cache and processes are theirs, not the run's.

    Args:
        cfg: of the run.
        run: for the message.
        trust: keep what the run says.
    """
    if trust:
        return cfg
    plain = cast(dict[str, Any], OmegaConf.to_container(cfg))
    own: dict[str, Any] = {"_target_": "lightning.Trainer", "accelerator": "auto", "devices": 1}
    if plain["trainer"].get("accelerator") == "cpu":  # which every machine has
        own["accelerator"] = "cpu"
    left = {f"trainer.{key}": plain["trainer"].pop(key) for key in MACHINE if key in plain["trainer"]}
    plain["trainer"] = own | plain["trainer"]
    for key, value in (("cache", own_cache()), ("num_workers", None)):
        if key in plain["data"]:
            left[f"data.{key}"], plain["data"][key] = plain["data"][key], value
    told = {key: value for key, value in left.items() if key in TOLD and value not in (None, *TOLD[key], own_cache())}
    if told:
        words = ", ".join(f"{key}={shown(value)}" for key, value in told.items())
        log.warning("%s: its settings of another machine are not used (%s); give yours, or trust=true", run, words)
    config: DictConfig = OmegaConf.create(plain)
    return config


TOLD: dict[str, tuple[Any, ...]] = {
    "data.cache": (),
    "data.num_workers": (0,),
    "trainer.accelerator": ("auto", "cpu"),
    "trainer.devices": (1, "auto"),
    "trainer.num_nodes": (1,),
    "trainer.strategy": ("auto",),
}
"""Settings of a machine that are worth a warning when they are dropped, with values that are not."""


# -- what may be built -----------------------------------------------------------------------------------------------


def check_trust(content: Any, run: Path, *, trust: bool) -> None:
    """Refuse what of a run's config could run code from outside canthus: whoever wrote it could run anything.

    Args:
        content: plain container with the groups that are about to be built, at their names: what is checked has to be
            what is built.
        run: for the message.
        trust: the user has read it.

    Raises:
        ConfigError: naming the place and the code.
    """
    if trust:
        return
    _refuse_interpolations(content, str(run))
    for place, node in _walk(content):
        if not isinstance(node, Mapping):
            continue
        for key, value in node.items():
            where = f"{place}.{key}".lstrip(".")
            if key == "_target_":
                wrong = not (isinstance(value, str) and _may_be_built(place, value))
            elif key == "reader":
                wrong = value is not None and not (isinstance(value, str) and _is_reader(value))
            elif key == "_partial_":
                wrong = not (isinstance(value, bool) and _kind_of(place) in ("optimizer", "scheduler"))
            elif key == "backbone":  # of timm, which fetches `hf-hub:SOMEBODY/NAME` from there
                wrong = isinstance(value, str) and not re.fullmatch(r"[\w.]+", value)
            else:
                wrong = key in SPECIAL
            if wrong:
                raise ConfigError(
                    f"{where}={shown(value)} is code from outside canthus, or says what to call; if you trust {run}: "
                    "trust=true"
                )


def _kind_of(place: str) -> str | None:
    """What a node at this place of a config is built to."""
    place = re.sub(r"^steps\.\w+\.", "", place)
    return next((kind for kind, pattern in BUILT.items() if re.fullmatch(pattern, place)), None)


BUILT = {
    "model": r"model",
    "optimizer": r"model\.optimizer",
    "scheduler": r"model\.scheduler",
    "data": r"data",
    "augmentation": r"data\.augmentation",
    "trainer": r"trainer",
    "callback": r"callbacks\.[^.\[]+",
    "logger": r"logger\.[^.\[]+",
    "settings": r"logger\.[^.\[]+\.settings",
}
"""Places of a config where something is built."""
NAMES = {
    "data": ("canthus.data.face_data",),
    "augmentation": ("canthus.data.augment.Augmentation",),
    "trainer": ("lightning.Trainer",),
    "callback": tuple(
        f"lightning.pytorch.callbacks.{name}"
        for name in ("RichProgressBar", "TQDMProgressBar", "EarlyStopping", "LearningRateMonitor", "ModelCheckpoint")
    ),
    "logger": tuple(f"lightning.pytorch.loggers.{name}" for name in ("WandbLogger", "TensorBoardLogger", "CSVLogger")),
    "settings": ("wandb.Settings",),
}
"""What may be built there by name: callables that call nothing that they are given."""


def _may_be_built(place: str, target: str) -> bool:
    from canthus.runs import (
        own_classes,
    )

    kind = _kind_of(place)
    return kind is not None and (target in NAMES.get(kind, ()) or own_classes.is_own(kind, target))


def _is_reader(target: str) -> bool:
    from canthus.runs import own_classes

    return own_classes.is_own("reader", target)


def check_sizes(content: Any, run: Path, *, trust: bool) -> None:
    """Refuse numbers that no model has: a billion of anything would take all memory before anything is built.

    Args:
        content: plain container with the groups that are about to be built.
        run: for the message.
        trust: the user has read it.

    Raises:
        ConfigError: naming the place.
    """
    for place, value in _walk(content):
        if not trust and isinstance(value, (int, float)) and abs(value) > MOST_OF_ANYTHING:
            raise ConfigError(f"{run}: {place}={value} is more than {MOST_OF_ANYTHING:,}, which no model needs")


def check_writes(content: Mapping[str, Any], run: Path, *, trust: bool) -> None:
    """Refuse a run that would go on somewhere else: what it writes stays in its folder.

    Args:
        content: plain config of the run, its folder already rewritten to where it lies now.
        run: its folder.
        trust: the user has read it.

    Raises:
        ConfigError: naming the place and the folder.
    """
    if trust:
        return
    here = run.resolve()
    for place, value in _walk({key: content.get(key) for key in ("callbacks", "logger", "trainer")}):
        if isinstance(value, str) and _leaves(here, place.rpartition(".")[2], value):
            raise ConfigError(
                f"{place}={shown(value)} lies outside of {run}, where a run may write; if you trust it: trust=true"
            )
    for place, value in _walk(content.get("logger")):
        if place.endswith(("base_url", "host")) and value is not None:
            raise ConfigError(
                f"logger.{place}={shown(value)} names a server to send to; if you trust {run}: trust=true"
            )


def _leaves(here: Path, key: str, value: str) -> bool:
    path = Path(value)
    if key in FOLDERS:  # relative ones begin where the command was started
        return not path.expanduser().resolve().is_relative_to(here)
    leads_away = path.is_absolute() or value.startswith("~") or ".." in path.parts
    return leads_away and not (here / path.expanduser()).resolve().is_relative_to(here)


@dataclass(frozen=True)
class Bounds:
    """The folders that the user has named: what files of a stranger point at is followed inside of them alone.

    Attributes:
        folders: they.
        trust: follow it anywhere.
    """

    folders: Sequence[Path] = ()
    trust: bool = False

    def __contains__(self, path: Path) -> bool:
        if self.trust:
            return True
        try:
            real = path.resolve()
            return any(real.is_relative_to(folder.resolve()) for folder in self.folders)
        except (OSError, RuntimeError, ValueError):  # too long a name, links in a circle, a NUL
            return False
