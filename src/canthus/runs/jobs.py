"""A job of a sweep as its folder remembers it. Kept free of torch."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from canthus.utils import processes
from canthus.utils.files import replacing
from canthus.utils.old_names import renamed_word

__all__ = ["Job", "jobs_of"]


@dataclass
class Job:
    """What ``job.json`` holds.

    Attributes:
        number: of the job in its sweep, also the name of its folder.
        overrides: what the job was given, without those of the sweep itself.
        status: ``running``, ``finished``, ``failed`` or ``interrupted``; a killed job stays ``running``.
        objective: name of the metric that the score is a value of.
        score: best validation value.
        error: of a failed job, one line.
        seconds: that it took.
        gpu: that a parallel sweep gave it.
    """

    number: int
    overrides: list[str]
    status: str = "running"
    objective: str | None = None
    score: float | None = None
    error: str | None = None
    seconds: float | None = None
    gpu: str | None = None

    @classmethod
    def read(cls, folder: Path) -> "Job | None":
        """The record in a job's folder; None if there is none, or one that was cut off."""
        try:
            job = cls(**json.loads((folder / "job.json").read_text()))
            job.overrides = [renamed_word(word) for word in job.overrides]
            return job
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return None

    def write(self, folder: Path) -> None:
        """Replace the record."""
        if processes.rank() == 0:
            _write(folder / "job.json", asdict(self))


def _write(path: Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1))


def jobs_of(sweep: Path) -> list[Job]:
    """Records of all jobs of a sweep, by number."""
    found = (Job.read(folder) for folder in sweep.iterdir() if folder.is_dir() and folder.name.isdigit())
    return sorted((job for job in found if job), key=lambda job: job.number)
