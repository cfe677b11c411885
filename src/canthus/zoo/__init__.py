"""Small trained weights of every model, shipped with the package: ``zoo/NAME`` wherever a command takes a run.

Each has a card, ``NAME.md``. A file that `SUMS` does not vouch for is refused. ``canthus-export format=safetensors``
makes them.
"""

import hashlib
import os
from functools import cache
from logging import getLogger
from pathlib import Path

from canthus.utils.errors import ConfigError, suggest
from canthus.utils.files import replacing

__all__ = [
    "FACES",
    "FOLDER",
    "MTCNN",
    "SUFFIX",
    "files",
    "names",
    "record",
    "results_folder",
    "run_path",
    "sha256",
    "stored_file",
]

log = getLogger(__name__)

FOLDER = Path(__file__).parent
SUFFIX = ".safetensors"
SUMS = "SHA256SUMS"
"""File of hashes, as ``sha256sum`` writes and checks it."""
FACES = "faces.json"
"""What the files without a list of their own were trained on, as hashes; scripts/zoo_faces.py writes it."""
MTCNN = "zoo/mtcnn"
"""The model that finds the faces where a command needs boxes and is told of no other detector."""


def names() -> list[str]:
    """What the zoo holds."""
    return [path.stem for path in files()]


def files() -> list[Path]:
    """The weights, by name."""
    return sorted(path for path in FOLDER.glob(f"*{SUFFIX}") if not path.name.startswith("."))  # half-written ones


def run_path(run: str | os.PathLike[str]) -> Path:
    """The path of a run as the user wrote it: ``./zoo/NAME`` is a folder here, ``zoo/NAME`` what canthus ships."""
    words = os.fspath(run)
    here = words.startswith((f".{os.sep}", "./"))
    return Path(words).absolute() if here and _shipped_name(Path(words)) else Path(words)


def _shipped_name(run: Path) -> str | None:
    """NAME of ``zoo/NAME``, unless nothing of that name is shipped and there is a run folder."""
    if len(run.parts) != 2 or run.parts[0] != "zoo":
        return None
    return run.parts[1] if run.parts[1] in names() or not (run / "config.yaml").is_file() else None


@cache
def _warn_of_namesake(run: Path) -> None:
    log.warning("%s is the model that canthus ships, not the run folder of that name here, which is ./%s", run, run)


def stored_file(run: Path) -> Path | None:
    """The file that stands for a run: that of ``zoo/NAME``, or a ``.safetensors`` file itself; None for a run folder.

    A run folder of the same name here is not meant, and a warning says so once; see `run_path`.

    Raises:
        ConfigError: no such model in the zoo, or a file that differs from the one that was shipped.
    """
    if run.suffix == SUFFIX:
        return run
    name = _shipped_name(run)
    if name is None:
        return None
    if name not in names():
        raise ConfigError(f"run={run}: the zoo has no such model; {suggest(name, names())}")
    if (run / "config.yaml").is_file():
        _warn_of_namesake(run)
    path = FOLDER / f"{name}{SUFFIX}"
    if sha256(path) != _sums().get(path.name):
        raise ConfigError(
            f"run={run}: {path} is not the file that was shipped (its hash differs from {SUMS}); install canthus again"
        )
    return path


def results_folder(run: str) -> str:
    """Where results about a run belong: its own folder, or one under ``logs/`` for the zoo."""
    path = run_path(run)
    if path.suffix == SUFFIX:
        return str(path.with_suffix(""))
    return str(Path("logs", path)) if _shipped_name(path) else run


def record(path: Path) -> None:
    """Enter a file of the zoo in its list of hashes."""
    digests = {name: digest for name, digest in _sums().items() if (FOLDER / name).is_file()}
    digests[path.name] = sha256(path)
    with replacing(FOLDER / SUMS) as temporary:
        temporary.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())))


def sha256(path: Path) -> str:
    """Hash of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sums() -> dict[str, str]:
    path = FOLDER / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines if line.strip())}
