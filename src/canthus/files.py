"""Writing a file whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


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
