"""Writing a file whole or not at all; reading json; why a file of weights was refused."""

import codecs
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

__all__ = ["parse_yaml", "read_json", "read_text", "replacing", "why_refused"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` and move it there on success, so that readers never meet half a file.

    Folders on the way are made. When the block raises, ``path`` is as it was and the temporary file is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # the process id keeps two writers apart; the suffix stays last because some writers choose the format by it
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def parse_yaml(text: str) -> Any:
    """Plain values of the YAML that canthus ships, by libyaml where PyYAML was built with it.

    What strangers wrote goes through `canthus.runs.trust.plain_yaml`.

    Raises:
        yaml.YAMLError: not YAML, or tags of other things than plain values.
    """
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def why_refused(error: Exception) -> str:
    """What ``torch.load(weights_only=True)`` did not like, in one phrase."""
    if code := re.search(r"GLOBAL (\S+)", str(error)):
        return f"it holds pickled code ({code[1]}), which would run on loading; weights alone are accepted"
    return str(error).splitlines()[0].split(". ")[0] if str(error) else type(error).__name__


def read_text(path: Path, remedy: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark, as spreadsheets write it.

    Raises:
        ValueError: in another encoding; the message names the line and ends with the remedy.
    """
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{line}: is not text in UTF-8 ({error.reason}); {remedy}") from error


def read_json(path: Path, remedy: str) -> Any:
    """What a json file holds.

    Raises:
        ValueError: not JSON; the message ends with the remedy.
    """
    try:
        return json.loads(read_text(path, remedy))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}); {remedy}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: nested too deeply; {remedy}") from error


def conf_path() -> str:
    """Folder of the shipped configs: inside an installed package, else beside ``src/`` of a checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "conf"
    return str(packaged if packaged.is_dir() else package.parents[1] / "conf")
