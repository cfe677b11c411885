"""Reads what W&B keeps of an offline run: records in LevelDB's log format, each a protocol buffer."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class OfflineRun:
    """One ``offline-run-*`` folder; a resumed run has several, of the same id."""

    folder: Path
    run_id: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    def series(self, name: str) -> list[tuple[float, float]]:
        """Steps and values of one metric."""
        return [(row["trainer/global_step"], row[name]) for row in self.history if name in row]


def records(file: Path) -> Iterator[bytes]:
    """Payloads of a .wandb file."""
    content = file.read_bytes()
    assert content[:4] == b":W&B"
    position, parts = 7, b""
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:  # no room for a header: zeros up to the next block
            position += BLOCK - position % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", content[position : position + 7])
        parts += content[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (FULL, LAST):
            yield parts
            parts = b""


def merge(target: dict[str, Any], items: Any) -> None:
    for item in items:
        place, keys = target, list(item.nested_key) or [item.key]
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = json.loads(item.value_json)


def read_run(folder: Path) -> OfflineRun:
    from wandb.proto import wandb_internal_pb2

    run = OfflineRun(folder)
    (file,) = folder.glob("*.wandb")
    for payload in records(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(payload)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told = record.run
            run.run_id, run.group, run.job_type, run.name = (
                told.run_id,
                told.run_group,
                told.job_type,
                told.display_name,
            )
            run.tags = list(told.tags)
            merge(run.config, told.config.update)
        elif kind == "config":
            merge(run.config, record.config.update)
        elif kind == "history":
            row: dict[str, Any] = {}
            merge(row, record.history.item)
            run.history.append(row)
        elif kind == "summary":
            merge(run.summary, record.summary.update)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def offline_runs(folder: Path) -> list[OfflineRun]:
    """Of a run folder, in the order in which they were made."""
    import wandb

    wandb.teardown()  # its service may still be writing; this waits for it
    return [read_run(found) for found in sorted((folder / "wandb").glob("offline-run-*"))]
