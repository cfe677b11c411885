"""How a run or an evaluation ended, as its ``provenance.json`` tells. Kept free of torch."""

import json
from pathlib import Path

from canthus.runs.trust import own_file

__all__ = ["is_finished", "status"]


def status(folder: Path) -> str | None:
    """How what lies in a folder ended, or ``running``; None where nothing is recorded."""
    try:
        return str(json.loads(own_file(folder / "provenance.json").read_text())["status"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def is_finished(folder: Path) -> bool:
    """Whether what lies in a folder ended as it should.

    Args:
        folder: of a training or of an evaluation.
    """
    return status(folder) == "finished"
