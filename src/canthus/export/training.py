"""How the weights in a file were made: a run's provenance.json without what belongs to one disk."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from canthus.reporting.page.records import trained_epochs, trained_seconds
from canthus.runs.status import read_provenance
from canthus.runs.trust import own_file, read_plain
from canthus.utils.escaping import markdown, markdown_block

__all__ = ["described", "training_record"]

KEPT = ("status", "seed", "started", "commit", "dirty", "packages", "python", "machine", "selected_on")

KEPT_OF_STEPS = ("data", "seed", "seconds", "epochs", "best_epoch", "status", "started", "commit", "dirty", "machine")


def training_record(run: Path) -> dict[str, Any]:
    """Of provenance.json what is true anywhere, with ``command``, ``seconds`` of all, ``epochs`` and ``steps``.

    Args:
        run: run folder.

    Returns:
        Empty where no record was kept.
    """
    record = read_provenance(run)
    if not record:
        return {}
    overrides = run / ".hydra" / "overrides.yaml"
    given = read_plain(own_file(overrides, run)) if overrides.is_file() else record["command"][1:]  # nothing resolved
    words = [str(word) for word in given] if isinstance(given, list) else []
    return {
        **{key: record[key] for key in KEPT if key in record},
        "command": ["canthus-train", *(_portable(word) for word in words if _matters(word))],
        "seconds": trained_seconds(record),
        "epochs": trained_epochs(run / "metrics.csv"),
        "steps": _steps(record),
    }


def _steps(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The trainings that it builds on, without their folders."""
    steps = record.get("steps")
    return {
        str(name): {key: step[key] for key in KEPT_OF_STEPS if key in step}
        for name, step in (steps.items() if isinstance(steps, Mapping) else ())
        if isinstance(step, Mapping)
    }


def described(record: Mapping[str, Any]) -> str:
    """A training record in Markdown."""
    if not record:
        return "No record of the training was kept."
    machine = record["machine"]
    where = ", ".join(machine.get("gpus") or []) or machine.get("processor") or machine["system"]
    minutes = (record["seconds"] or 0) / 60
    return (
        f"{markdown_block(' '.join(record['command']))}\n\n"
        f"Seed {record['seed']}, {minutes:.0f} minutes{_described_steps(record)} on {markdown(where)}, "
        f"{machine.get('threads', 1)} thread(s); torch {record['packages']['torch']}, "
        f"commit {str(record.get('commit'))[:12]}; chosen by {markdown(record.get('selected_on', 'nothing'))}."
    )


def _described_steps(record: Mapping[str, Any]) -> str:
    """``, 9 of them for pretrain (14 epochs of synthetic)``."""
    words = [
        f"{(step.get('seconds') or 0) / 60:.0f} of them for {name} ({step.get('epochs')} epochs of {step.get('data')})"
        for name, step in record.get("steps", {}).items()
    ]
    return "".join(f", {markdown(word)}" for word in words) + ("," if words else "")


def _matters(word: str) -> bool:
    """Whether an override belongs to the training rather than to a machine's folders and screen."""
    return not word.startswith(("paths.", "hydra.", "logger", "callbacks.progress", "callbacks.overlays"))


def _portable(word: str) -> str:
    """An override without the place where somebody keeps data and runs."""
    return re.sub(r"^([\w.]+)=[/~].*", r"\1=RUN", re.sub(r"^(data\.root)=.*", r"\1=DIR", word))
