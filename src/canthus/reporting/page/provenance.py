"""Where every row of a page comes from."""

from collections.abc import Mapping, Sequence
from typing import Any

from canthus.reporting.page.protocols import Group
from canthus.reporting.page.tables import Cell, Column, Table, text_cell

__all__ = ["provenance_table"]

NAMES = (
    "evaluation", "protocol", "model", "status", "commit", "recipe", "seed", "selected on", "data", "boxes", "machine",
    "versions", "started", "checkpoint", "command",
)  # fmt: skip


def provenance_table(groups: Sequence[Group]) -> Table:
    """A line for every evaluation of the page, copies included."""
    wide = ("selected on", "data", "machine", "versions", "command")
    columns = [Column(name, numeric=False, wide=name in wide) for name in NAMES]
    lines = []
    for group in groups:
        for row in group.rows:
            for record in row.all_records:
                training = record.training
                made = training.provenance if training else record.provenance
                settings = training.config if training else record.config
                lines.append([
                    Cell(str(record.folder), tone="code"),
                    Cell(group.name),
                    Cell(row.label, swatch=row.colour),
                    text_cell(made.get("status")),
                    _commit(made, record.provenance),
                    text_cell(training.recipe if training else None, tone="code"),
                    text_cell(training.seed if training else record.config.get("seed")),
                    text_cell(made.get("selected_on") or ("another tool" if record.by_tool else "unknown")),
                    text_cell(_data(settings)),
                    text_cell(_of(record.config, "data", "box")),
                    text_cell(_machine(made)),
                    text_cell(_versions(made)),
                    text_cell(made.get("started")),
                    text_cell(training.checkpoint.name if training and training.checkpoint else None),
                    text_cell(_command(made), tone="code"),
                ])  # fmt: skip
    return Table("provenance", "Where every row comes from", columns, lines, filtered=True)


def _commit(made: Mapping[str, Any], evaluated: Mapping[str, Any]) -> Cell:
    """Of the training; and of the evaluation, where that is another."""
    names = [_version(made), _version(evaluated)]
    text = names[0] if names[0] == names[1] else f"{names[0]}; evaluated by {names[1]}"
    return Cell(text, title=str(made.get("commit") or ""), tone="code")


def _version(made: Mapping[str, Any]) -> str:
    commit = made.get("commit")
    return f"{str(commit)[:10]}{' and changes' if made.get('dirty') else ''}" if commit else "not recorded"


def _data(settings: Mapping[str, Any]) -> str:
    data = settings.get("data")
    if not isinstance(data, Mapping):
        return ""
    parts = data.get("train_parts")
    listed = f": {', '.join(map(str, parts))}" if isinstance(parts, list) else ""
    held_out = f"held out {data.get('validation', '?')} (seed {data.get('validation_seed', '?')})"
    return f"trained on {data.get('name', '?')}{listed}; {held_out}"


def _machine(made: Mapping[str, Any]) -> str:
    machine = made.get("machine")
    if not isinstance(machine, Mapping):
        return ""
    gpus = machine.get("gpus")
    words = [
        machine.get("processor"),
        f"{machine.get('processors', '?')} cores",
        f"{machine.get('threads', '?')} threads",
    ]
    words += [f"{len(gpus)} x {gpus[0]}"] if isinstance(gpus, list) and gpus else ["no GPU"]
    return ", ".join(str(word) for word in words if word)


def _versions(made: Mapping[str, Any]) -> str:
    packages = made.get("packages")
    packages = packages if isinstance(packages, Mapping) else {}
    words = [f"{name} {packages[name]}" for name in ("canthus", "torch", "lightning", "numpy") if packages.get(name)]
    return ", ".join([*words, *([f"Python {made['python']}"] if made.get("python") else [])])


def _command(made: Mapping[str, Any]) -> str:
    command = made.get("command")
    return " ".join(map(str, command)) if isinstance(command, list) else ""


def _of(config: Mapping[str, Any], *keys: str) -> Any:
    value: Any = config
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
