"""What a sweep leaves: ``sweep.csv``, overrides against results, and ``sweep.png``, a plot of the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from canthus.evaluation.files import read_metrics_json
from canthus.runs.jobs import Job
from canthus.utils.escaping import console, figure_text, writing_csv
from canthus.visualization.figures import figure, save_figure, with_grid

__all__ = ["write_sweep"]

Row = dict[str, Any]
OK, BAD = "#0072b2", "#d55e00"
LAST = ("seconds", "error")
"""Columns at the end of the table; the console names errors beneath it."""


def write_sweep(folder: Path, jobs: Sequence[Job]) -> int:
    """Write ``sweep.csv`` and ``sweep.png`` into a sweep's folder, and show the table.

    Args:
        folder: of the sweep.
        jobs: its records.

    Returns:
        Number of jobs that did not finish.
    """
    if not jobs:
        return 0
    varied = _varied(jobs)
    rows = [_row(folder, job, varied) for job in jobs]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    columns.sort(key=lambda column: column in LAST)
    with writing_csv(folder / "sweep.csv") as write:
        write(columns)
        for row in rows:
            write(row.get(column, "") for column in columns)
    _draw(folder / "sweep.png", jobs, varied)
    screen, failed = console(), [job for job in jobs if job.status != "finished"]
    screen.print(_table(rows, columns))
    for job in failed:
        for line in f"job {job.number} {job.status}: {job.error or ''}".split("\n"):
            screen.print(line, style="red", soft_wrap=True)
    if failed:
        screen.print(f"{len(failed)} of {len(jobs)} jobs did not finish", style="bold red")
        screen.print(f"to run these again: canthus-train -m sweep.resume={folder}", soft_wrap=True)
    screen.print(f"table and picture: {folder / 'sweep.csv'}, sweep.png", soft_wrap=True)
    return len(failed)


def _settings(job: Job) -> dict[str, str]:
    pairs = (word.lstrip("+").partition("=") for word in job.overrides)
    return {key: value for key, _, value in pairs}


def _varied(jobs: Sequence[Job]) -> list[str]:
    """Keys whose values differ between jobs; all keys of a sweep of one job."""
    settings = [_settings(job) for job in jobs]
    keys = list(dict.fromkeys(key for job in settings for key in job))
    return [key for key in keys if len({job.get(key) for job in settings}) > 1 or len(jobs) == 1]


def _row(folder: Path, job: Job, varied: Sequence[str]) -> Row:
    settings = _settings(job)
    row: Row = {"job": job.number, "status": job.status} | {key: settings.get(key, "") for key in varied}
    row[job.objective or "score"] = "" if job.score is None else f"{job.score:.6g}"
    try:
        full = read_metrics_json(folder / str(job.number) / "metrics.json")["subsets"]["full"]
    except (OSError, ValueError, KeyError):
        return row | {"seconds": job.seconds, "error": job.error or ""}
    stages = enumerate(full["nme_per_stage"], 1)
    row |= {f"nme_stage{number}": "" if value is None else f"{value:.6g}" for number, value in stages}
    row |= {"auc": f"{full['auc']:.6g}", "failure_rate": f"{full['failure_rate']:.6g}"}
    return row | {"seconds": job.seconds, "error": job.error or ""}


def _table(rows: Sequence[Row], columns: Sequence[str]) -> Any:
    from rich.table import Table

    shown = [column for column in columns if column != "error"]
    short = [column.rpartition("/")[2].rpartition(".")[2] for column in shown]
    table = Table()
    for column, name in zip(shown, short, strict=True):
        table.add_column(name if short.count(name) == 1 else column, overflow="fold")
    for row in rows:
        style = None if row["status"] == "finished" else "red"
        table.add_row(*("" if row.get(column) is None else str(row[column]) for column in shown), style=style)
    return table


def _draw(path: Path, jobs: Sequence[Job], varied: Sequence[str]) -> None:
    """One panel a key: every finished job a dot, the best one ringed, failed ones as crosses at the upper edge."""
    done = [job for job in jobs if job.score is not None]
    if not done or not varied:
        return
    with figure(max(3.6 * len(varied), 4.8), 3.8, dpi=130) as drawn:
        panels = drawn.subplots(1, len(varied), sharey=True, squeeze=False)[0]
        objective = done[0].objective or "score"
        best = _best(done, objective)
        for panel, key in zip(panels, varied, strict=True):
            places, ticks, logarithmic = _places([_settings(job).get(key, "") for job in jobs])
            at = dict(zip((job.number for job in jobs), places, strict=True))
            panel.scatter([at[job.number] for job in done], [job.score for job in done], color=OK, alpha=0.8)
            panel.scatter([at[best.number]], [best.score], s=140, facecolors="none", edgecolors=BAD, linewidths=1.5)
            failed = [at[job.number] for job in jobs if job.score is None]
            panel.scatter(
                failed, [1] * len(failed), marker="x", color=BAD, transform=panel.get_xaxis_transform(), clip_on=False
            )
            if logarithmic:
                panel.set_xscale("log")
            # crosses have no height, but they have a place
            panel.update_datalim([(place, best.score) for place in places])
            panel.margins(x=0.15)
            panel.autoscale_view()
            if ticks:
                panel.set_xticks(
                    range(len(ticks)),
                    [figure_text(tick) for tick in ticks],
                    rotation=20 if max(map(len, ticks)) > 6 else 0,
                )
            elif not logarithmic:
                panel.locator_params(axis="x", nbins=4)
            panel.set_xlabel(figure_text(key))
            with_grid(panel)
        panels[0].set_ylabel(figure_text(objective))
        failures = len(jobs) - len(done)
        crosses = f", {failures} without a result (x)" if failures else ""
        drawn.suptitle(f"{len(jobs)} jobs{crosses}; best: job {best.number}, {best.score:.4g}", fontsize="medium")
        save_figure(path, drawn)


def _best(jobs: Sequence[Job], objective: str) -> Job:
    from canthus.utils.errors import ConfigError
    from canthus.utils.metrics import higher_is_better

    try:
        sign = -1 if higher_is_better(objective) else 1
    except ConfigError:  # a metric of the user's own
        sign = 1
    return min(jobs, key=lambda job: sign * (job.score or 0.0))


def _places(values: Sequence[str]) -> tuple[list[float], list[str], bool]:
    """Places on an axis for settings: numbers where they are, words in a row.

    Returns:
        Places, the words (empty for numbers), and whether the numbers spread over more than an order of magnitude.
    """
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        words = sorted(set(values))
        return [float(words.index(value)) for value in values], words, False
    if len(set(numbers)) <= 3:
        ticks = sorted(set(numbers))
        return [float(ticks.index(number)) for number in numbers], [f"{tick:g}" for tick in ticks], False
    return numbers, [], min(numbers) > 0 and bool(np.max(numbers) / np.min(numbers) > 10)
