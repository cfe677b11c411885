"""Outputs that would land on inputs are refused before anything is written.

Files are compared by device and inode, not by name: links, relative paths, and names that a file system takes for equal
(``A.mp4`` and ``a.mp4``) are seen through.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from canthus.utils.errors import ConfigError

__all__ = ["check_beside", "check_files", "check_folder", "is_inside", "is_same", "places_in"]

WORDS = ("_target_", "name", "reader", "scheme")
"""Keys of data whose values are no paths, though a folder here may be called so."""


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths are one existing file or folder."""
    identity = _identity(one)
    return identity is not None and identity == _identity(other)


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, which need not exist, is a folder or lies below it."""
    whole = Path(os.path.realpath(path))
    return any(is_same(place, folder) for place in (whole, *whole.parents))


def check_files(written: Iterable[Path], inputs: Mapping[str, Iterable[Path]]) -> None:
    """Refuse to write over what is read.

    Args:
        written: files, whether they exist or not.
        inputs: key of the command -> files that it reads.

    Raises:
        ConfigError: naming the first file that is both.
    """
    read = {_identity(path): (key, path) for key, paths in inputs.items() for path in paths}
    read.pop(None, None)
    for path in written:
        if found := read.get(_identity(path)):
            key, name = found
            raise ConfigError(
                f"output: {path} would be written over {key}={name}, which is the same file; name another output"
            )


def check_folder(output: Path, inputs: Mapping[str, Iterable[Path]]) -> None:
    """Refuse a folder for results that holds what is read: results of equal names would be written over it.

    Args:
        output: folder, whether it exists or not.
        inputs: key of the command -> folders and files that it reads.

    Raises:
        ConfigError: the output is one of the folders, or one of the files lies in it, or it is that of a training.
    """
    for key, paths in inputs.items():
        for path in paths:
            if is_same(output, path):
                raise ConfigError(
                    f"output={output} is {key}={path} itself, whose records would be lost; name another folder"
                )
            if path.is_file() and is_same(output, path.parent):
                raise ConfigError(
                    f"output={output} holds {key}={path}, which results could be written over; name another folder"
                )
    if (output / "checkpoints").is_dir():
        raise ConfigError(
            f"output={output} is the folder of a training, whose records would be lost; name another folder"
        )


def check_beside(main: Path, beside: Iterable[Path]) -> None:
    """Refuse to write over files that stand beside an output and are not of an earlier one.

    Args:
        main: file that the command is asked to write.
        beside: what it writes beside it under the same name.

    Raises:
        ConfigError: such a file is there without the main one.
    """
    for path in () if main.exists() else beside:
        if path.exists():
            raise ConfigError(f"output={main}: {path} would be written over, which is of something else; name another")


def places_in(config: DictConfig) -> list[Path]:
    """Folders and files that a config of data names, below its ``root`` or by themselves."""
    # not resolved: the config may be a stranger's, and roots are plain words
    data = OmegaConf.to_container(config, resolve=False)
    assert isinstance(data, dict)
    root = Path(str(data.get("root") or "."))
    names = []
    for value in (data[key] for key in data if key not in WORDS):
        names += [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str) and name]
    found = [place for name in names for place in (Path(name), root / name) if _identity(place) is not None]
    return list(dict.fromkeys(found))


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, links followed; None if there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a name too long, or with a null byte, is no file either
        return None
    return status.st_dev, status.st_ino
