"""canthus-data: what a data set holds and what is odd in it, as tables, a csv and contact sheets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from canthus.commands import checks, launch, schemas
from canthus.utils import errors

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from canthus.data.face import Reader
    from canthus.inspection.card import Measured
    from canthus.inspection.collection import Collection
    from canthus.inspection.findings import Finding
    from canthus.inspection.poses import FacePose


def inspect_data(cfg: DictConfig) -> None:
    """Look at a data set. Ends with status 1 if a face cannot be used as it is, with 0 if there are only warnings.

    Args:
        cfg: composed from inspect.yaml.

    Raises:
        ConfigError: a setting that cannot work.
        DataError: a data set that cannot be parsed, a folder in ``beside`` without measures.
    """
    import sys
    from logging import getLogger

    from hydra.utils import instantiate

    from canthus.inspection import inspect
    from canthus.inspection.card import Measured
    from canthus.inspection.findings import KINDS
    from canthus.inspection.poses import pose_labels
    from canthus.inspection.report import print_report
    from canthus.inspection.summary import summarise

    checks.check(cfg, schemas.InspectConfig)
    _check(cfg)
    check_places(cfg)
    beside = [Measured.read(Path(folder)) for folder in cfg.beside]
    reader, data = _read(cfg)
    poses = pose_labels(data) if cfg.poses else []
    summary = summarise(data)
    findings = inspect(data, instantiate(cfg.limits))
    sheets = _write(cfg, reader, data, summary, findings, beside)
    print_report(cfg.data.name, data, summary, findings)
    if poses:
        _write_poses(Path(cfg.output), data, poses)
    log = getLogger("canthus.data")
    log.info("%s: report.json, findings.csv, %s", cfg.output, ", ".join(path.name for path in sheets))
    damage = sum(KINDS[finding.kind].damage for finding in findings)
    if damage:
        log.error("%d findings of damage: mend or remove these faces before you train or score on them", damage)
        sys.exit(1)


def _check(cfg: DictConfig) -> None:
    if cfg.faces < 1:
        raise errors.ConfigError(f"faces={cfg.faces}: a sheet shows at least one")
    if cfg.poses not in (None, "pnp"):
        raise errors.ConfigError(f"poses={cfg.poses}: pnp, or leave it out")


def _read(cfg: DictConfig) -> tuple[Reader, Collection]:
    """The reader of a data config, and all faces with their pixels looked at."""
    from omegaconf import OmegaConf

    from canthus.data.making import make_reader
    from canthus.inspection.collection import Collection

    options = OmegaConf.to_container(cfg.data, resolve=True)
    assert isinstance(options, dict)
    settings = {str(key): value for key, value in options.items()}
    reader = make_reader(settings["reader"], settings)
    division = {key: settings[key] for key in ("validation", "validation_seed", "validation_rule")}
    return reader, Collection.read(reader, settings["train_parts"], settings["test_parts"], **division)


def _write(
    cfg: DictConfig,
    reader: Reader,
    data: Collection,
    summary: dict[str, Any],
    findings: list[Finding],
    beside: list[Measured],
) -> list[Path]:
    """Write report, findings, sheets and, where the points allow it, measures and a card; returns the last three."""
    from logging import getLogger

    from canthus.inspection.card import Measured, write_card
    from canthus.inspection.measures import write_measures
    from canthus.inspection.report import write_findings, write_report
    from canthus.inspection.sheets import write_sheets

    name, output = cfg.data.name, Path(cfg.output)
    write_report(output / "report.json", name, summary, findings, experimental=reader.experimental)
    write_findings(output / "findings.csv", data, findings)
    sheets = write_sheets(output, reader, data, findings, faces=cfg.faces, seed=cfg.seed)
    if write_measures(output / "measures.csv", data):
        return [*sheets, output / "measures.csv", *write_card(output, [Measured.read(output), *beside])]
    if beside:
        getLogger("canthus.data").warning(
            "no card: the labels of %s do not reduce to 68 points, or no face has any", name
        )
    return sheets


def _write_poses(output: Path, data: Collection, poses: list[FacePose]) -> None:
    import statistics
    from logging import getLogger

    from canthus.inspection.poses import write_poses

    write_poses(output / "poses.csv", data, poses)
    accepted = [pose.error for pose in poses if pose.accepted]
    middle = f"{statistics.median(accepted):.2f} %" if accepted else "none"
    getLogger("canthus.data").info(
        "poses.csv: %d of %d poses accepted, median error %s of the box", len(accepted), len(poses), middle
    )


def check_places(cfg: DictConfig) -> None:
    """Refuse an output that would be written over what is read.

    Raises:
        ConfigError: naming both.
    """
    from canthus.utils import outputs

    beside = [Path(folder) for folder in cfg.beside]
    outputs.check_folder(Path(cfg.output), {"beside": beside, "data": outputs.places_in(cfg.data)})


def main() -> None:
    """Entry point of ``canthus-data`` and ``python -m canthus.commands.data``."""
    launch.launch(inspect_data, "inspect", check=check_places)


if __name__ == "__main__":
    main()
