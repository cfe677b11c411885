"""How a run or an evaluation was made and ended, as its ``provenance.json`` tells. Kept free of torch."""

import json
from pathlib import Path
from typing import Any

from canthus.runs.trust import own_file

__all__ = ["is_finished", "read_provenance", "status"]


def read_provenance(folder: Path) -> dict[str, Any]:
    """What ``provenance.json`` of a folder says; empty where there is none, or none that can be read.

    The file may be a stranger's: it is read as plain values, and not followed out of the folder.
    """
    try:
        content = json.loads(own_file(folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def status(folder: Path) -> str | None:
    """How what lies in a folder ended, or ``running``; None where nothing is recorded."""
    found = read_provenance(folder).get("status")
    return None if found is None else str(found)


def is_finished(folder: Path) -> bool:
    """Whether what lies in a folder ended as it should.

    Args:
        folder: of a training or of an evaluation.
    """
    return status(folder) == "finished"
