"""canthus-report: one page about any set of runs, that needs no network; its tables as Markdown and csv beside it."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus.commands import checks, launch, schemas
from canthus.utils import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from canthus.reporting.claims import Claim
    from canthus.reporting.page.page import Context, Section
    from canthus.reporting.page.records import Record
    from canthus.runs.trust import Bounds


def report(cfg: DictConfig) -> None:
    """Write the page.

    Args:
        cfg: composed from report.yaml.

    Raises:
        ConfigError: a setting that cannot work, or nothing to report on.
    """
    from canthus.reporting.page.files import write_csv, write_markdown
    from canthus.reporting.page.measuring import measure_models
    from canthus.reporting.page.page import Context, page_sections, write_page
    from canthus.reporting.page.protocols import grouped
    from canthus.runs import record
    from canthus.runs.trust import Bounds

    checks.check(cfg, schemas.ReportConfig)
    output = Path(cfg.output)
    _check(cfg, output)
    record.hush()
    claims = _claims(cfg.claims)
    runs, images = _names(cfg.runs), [Path(folder) for folder in _names(cfg.images)]
    named = Bounds([Path(match) for run in runs for match in (run, *glob.glob(run))], cfg.trust)
    records, missing = _read(runs, named)
    groups = grouped(records)
    measured = measure_models(groups, cfg, Bounds([*named.folders, *images], cfg.trust))
    sections = page_sections(groups, measured.costs)
    if len(sections) < len(groups):
        names = ", ".join(f"{one.name} ({one.protocol.data})" for one in groups[len(sections) :][:10])
        few = f"{len(groups) - len(sections)} of {len(groups)} protocols"
        missing.append(f"{few}, those with the fewest models, are in the csv file alone: {names}, ...")
    missing += measured.missing
    missing += [f"{record.folder}: {problem}" for record in records for problem in record.problems]
    context = Context(_facts(cfg, records), measured, list(dict.fromkeys(missing)), claims)
    write_page(output, cfg.title, sections, context)
    write_markdown(output.with_suffix(".md"), cfg.title, sections, context)
    write_csv(output.with_suffix(".csv"), groups, measured.costs)
    _say(output, sections, context)


def _check(cfg: DictConfig, output: Path) -> None:
    from canthus.utils import outputs

    if output.suffix.lower() not in (".html", ".htm"):
        raise errors.ConfigError(f"output={cfg.output}: name the page, such as report.html; .md and .csv go beside it")
    outputs.check_beside(output, [output.with_suffix(".md"), output.with_suffix(".csv")])
    if cfg.latency < 0 or (cfg.threads is not None and cfg.threads < 1):
        raise errors.ConfigError(f"latency={cfg.latency}, threads={cfg.threads}: passes from 0, threads from 1")


def _read(runs: Sequence[str], named: Bounds) -> tuple[list[Record], list[str]]:
    """All evaluations that can be used, and in words what cannot.

    Raises:
        ConfigError: none can be used.
    """
    from rich.progress import track

    from canthus.reporting.page.records import find_evaluations, read_record

    folders, missing = find_evaluations(runs)
    records: list[Record] = []
    for folder in track(folders, description="evaluations", transient=True):
        try:
            records.append(read_record(folder, named))
        except Exception as error:  # a stranger's folder holds anything; the page goes on without it
            missing.append(f"{folder} is left out: {str(error) or type(error).__name__}")
    if not records:
        raise errors.ConfigError("runs: no evaluation can be used:\n  " + "\n  ".join(missing))
    return records, missing


def _say(output: Path, sections: Sequence[Section], context: Context) -> None:
    """What the page holds, on the console."""
    from canthus.utils.escaping import console

    screen = console(soft_wrap=True)
    for section in sections:
        group = section.group
        screen.print(f"{group.name}  {section.title}: {len(group.rows)} models, {group.faces} faces")
    if context.missing:
        screen.print(f"missing or left out: {len(context.missing)}; the page says what")
    size = output.stat().st_size / 1e6
    screen.print(f"{output} ({size:.1f} MB); tables in .md and .csv beside it")


def _names(words: Any) -> list[str]:
    """One name, or a list of them; none for null."""
    from omegaconf import ListConfig

    if words is None or words == "":
        return []
    return list(map(str, words)) if isinstance(words, ListConfig) else [str(words)]


def _claims(words: str | None) -> Sequence[Claim] | None:
    """Those that the page shows; None: as it chooses itself.

    Raises:
        ConfigError: a file that is none of canthus claims.
    """
    from canthus.reporting import claims
    from canthus.utils.files import read_json

    if words is None or words == "all":
        return None if words is None else claims.claims()
    if not Path(words).is_file():
        raise errors.ConfigError(f"claims={words}: no such file; null, all, or the claims.json of canthus claims")
    try:
        return claims.parsed_claims(read_json(Path(words), "write it by canthus claims"))
    except ValueError as error:
        raise errors.ConfigError(f"claims={words}: {error}") from error


def _facts(cfg: DictConfig, records: Sequence[Record]) -> list[tuple[str, str]]:
    """How the page was made."""
    import os
    from datetime import UTC, datetime

    import torch

    from canthus import __version__
    from canthus.runs.machine import describe_machine

    machine = describe_machine()
    gpus = ", ".join(machine["gpus"]) or "no GPU"
    facts = [
        ("made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("by", f"canthus {__version__}, torch {torch.__version__}"),
        ("evaluations", str(len(records))),
        ("machine", f"{machine['processor']}, {machine['processors']} cores, {gpus}"),
    ]
    if cfg.measure and cfg.latency:
        threads = cfg.threads or torch.get_num_threads()
        busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        words = f"{threads} thread{'s' if threads > 1 else ''}{busy}"
        facts.append(("latency", f"batch 1, median of {cfg.latency} passes on {cfg.device}, {words}"))
    else:
        facts.append(("latency", "not measured for this page"))
    return facts


def main() -> None:
    """Entry point of ``canthus-report`` and ``python -m canthus.commands.report``."""
    launch.launch(report, "report")


if __name__ == "__main__":
    main()
