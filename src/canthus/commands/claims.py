"""canthus claims: the papers' claims trained, measured on test faces and judged by one rule; resumable."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus.commands import checks, launch, schemas
from canthus.commands.benchmark import asked_folder, asked_seeds, listed, show, split_words
from canthus.commands.claims_plan import Plan, Settings, core_hours, plan
from canthus.runs import faults, folders
from canthus.runs.children import run_steps
from canthus.studies.claims.config import ClaimConfig, claim_files, read_claim
from canthus.utils.config import chosen, quoted
from canthus.utils.errors import ConfigError, RunError, suggest
from canthus.utils.escaping import console, markdown
from canthus.utils.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from omegaconf import DictConfig

    from canthus.reporting.claims import Claim

AGAIN = "what is finished in {output} stays, stopped trainings go on from their last epoch: run the same command again"


def claims(cfg: DictConfig) -> None:
    """Do what is not done yet, and judge the claims.

    Args:
        cfg: composed from claims.yaml.

    Raises:
        ConfigError: a setting or a claim that cannot work.
        RunError: a step has failed; all others have been done, and claims.json holds what can be judged.
    """
    checks.check(cfg, schemas.ClaimsConfig)
    if cfg.jobs < 1 or (cfg.threads is not None and cfg.threads < 1):
        raise ConfigError(f"jobs={cfg.jobs} threads={cfg.threads}: at least 1")
    settings = read_settings(cfg)
    planned = plan(settings, partial(composed, known={}))
    if cfg.dry_run:
        show(planned.steps, cfg.threads)
        print("\n".join(estimate(planned, settings)))
        return
    with (
        folders.held(settings.output, instead="wait for its end, or name another output"),
        faults.explained(lambda: AGAIN.format(output=settings.output)),
    ):
        planned = plan(settings, partial(composed, known={}))
        environment = dict(os.environ) | ({} if cfg.threads is None else {"OMP_NUM_THREADS": str(cfg.threads)})
        ended = run_steps(planned.steps, cfg.jobs, environment)
        undone = {step.name for step in [*ended.failed, *ended.left_out]}
        found = judge(planned, settings, undone, cfg.threads or 1)
        _show(found)
    if ended.failed:
        names = "; ".join(f"{step.name} ({step.log})" for step in ended.failed)
        again = AGAIN.format(output=settings.output)
        count = f"{len(ended.failed)} of {len(planned.steps)}"
        raise RunError(f"{count} steps failed: {names}. Once that is mended, {again}")


def judge(planned: Plan, settings: Settings, undone: set[str], threads: int) -> list[Claim]:
    """Judge every claim whose steps are all done, and write claims.json and claims.md.

    Args:
        planned: of the settings.
        settings: of the command.
        undone: names of steps that have failed or were left out.
        threads: of each training.
    """
    # these bring torch, which a dry run does without
    from canthus.reporting.claims import write_claims
    from canthus.reporting.tables import markdown_table
    from canthus.studies.claims.measuring import judged

    found, trained = [], dict.fromkeys(folder for runs in planned.runs.values() for folder in runs)
    for config in settings.claims:
        reason = settings.left_out(config)
        if reason is None and undone & set(planned.needs[config.name]):
            reason = "a training or an evaluation of it has failed"
        command = f"canthus claims data.root=DIR claims={config.name}"
        if reason is not None:
            found.append(unmeasured(config, command, reason))
            continue
        claim = judged(config, planned.places[config.name], tuple(settings.seeds), command=command)
        found.append(replace(claim, core_hours=core_hours(planned.runs[config.name], threads)))
    write_claims(settings.output / "claims.json", found, core_hours(list(trained), threads))
    columns = ("model", "verdict", "claim", "figures", "source")
    rows = [[markdown(getattr(claim, column)) for column in columns] for claim in found]
    with replacing(settings.output / "claims.md") as temporary:
        temporary.write_text(markdown_table(rows, columns) + "\n", encoding="utf-8")
    return found


def unmeasured(config: ClaimConfig, command: str, reason: str) -> Claim:
    """A claim without a verdict."""
    from canthus.reporting.claims import Claim  # brings torch

    words = {key: getattr(config, key) for key in ("name", "model", "paper", "place", "claim", "measured")}
    return Claim(**words, command=command, verdict="not measured", source=reason)


def estimate(planned: Plan, settings: Settings) -> list[str]:
    """What ``--dry-run`` says about time and about claims that are left out, a comment each."""
    left = [step for step in planned.steps if step.name in planned.minutes and not step.done]
    known = [planned.minutes[step.name] for step in left]
    hours = sum(minutes or 0.0 for minutes in known) / 60
    total = sum(minutes or 0.0 for minutes in planned.minutes.values()) / 60
    lines = [
        f"# {len(settings.claims)} claims, {len(planned.minutes)} trainings, {len(left)} to do: about {hours:.1f} "
        f"core-hours, {total:.1f} for all, and evaluations"
    ]
    unknown = sum(minutes is None for minutes in known)
    lines += [f"# {unknown} trainings have no estimate"] if unknown else []
    reasons = {claim.name: settings.left_out(claim) for claim in settings.claims}
    return lines + [f"# left out: {name}: {reason}" for name, reason in reasons.items() if reason]


def _show(found: Sequence[Claim]) -> None:
    from rich.table import Table

    table = Table(title="claims")
    for column in ("claim", "verdict", "figures"):
        table.add_column(column)
    for claim in found:
        table.add_row(claim.name, claim.verdict, claim.figures or claim.source)
    console().print(table)


def composed(words: Sequence[str], known: dict[tuple[str, ...], DictConfig]) -> DictConfig:
    """The config of a training, from the configs that this command has found.

    Args:
        words: of canthus-train.
        known: configs by the choices of their groups, which grows.

    Raises:
        ConfigError: words that compose none.
    """
    from hydra import compose
    from hydra.errors import HydraException

    choices = tuple(word for word in words if re.fullmatch(r"[\w/@]+=.*", word))
    try:
        if choices not in known:
            known[choices] = compose("train", list(choices))
        return compose("train", [launch.added_if_argument(word, known[choices]) for word in words])
    except (HydraException, ValueError) as error:
        lines = [line for part in (error, error.__cause__) if part is not None for line in str(part).splitlines()[:1]]
        raise ConfigError(": ".join(dict.fromkeys(lines))) from error


def read_settings(cfg: DictConfig) -> Settings:
    """What the config asks for.

    Raises:
        ConfigError: naming what cannot work.
    """
    data = asked_folder("data.root", cfg.data.root)
    if data is None:
        raise ConfigError("data.root=null: name the folder of 300-W, with helen/trainset, helen/testset and afw in it")
    ytf68 = asked_folder("ytf68", cfg.ytf68)
    own = _config_dirs()
    files = claim_files([*own, Path(_shipped())])
    return Settings(
        data=data,
        output=Path(cfg.output),
        claims=_claims(cfg.claims, files),
        seeds=asked_seeds(cfg.seeds, "cpu"),
        evaluate=[*cfg.evaluate],
        study=None if ytf68 is None else [*cfg.study, f"data.root={quoted(str(ytf68))}"],
        options=split_words("all", cfg.options),
        config_dirs=own,
    )


def _shipped() -> str:
    from canthus.utils.files import conf_path

    return conf_path()


def _config_dirs() -> list[Path]:
    """Folders that ``--config-dir`` names."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    sources = HydraConfig.get().runtime.config_sources
    paths = [Path(source.path) for source in sources if source.schema == "file"]
    return [path for path in paths if path.resolve() != Path(_shipped()).resolve()]


def _claims(words: Any, files: Mapping[str, Path]) -> list[ClaimConfig]:
    names = chosen("claims", listed(words), files)
    for name in names:
        if name not in files:
            raise ConfigError(f"claims={name}: {suggest(str(name), files)}")
    if not names:
        raise ConfigError("claims=null: all, or some of them")
    return [read_claim(files[name]) for name in dict.fromkeys(names)]


def main() -> None:
    """Entry point of ``canthus-claims`` and ``python -m canthus.commands.claims``."""
    sys.argv[1:] = ["dry_run=true" if word == "--dry-run" else word for word in sys.argv[1:]]
    launch.launch(claims, "claims")


if __name__ == "__main__":
    main()
