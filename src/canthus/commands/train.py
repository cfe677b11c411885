"""canthus-train: compose, check, build, fit, evaluate the best epoch on held-out images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from canthus import zoo
from canthus.commands import checks, launch, sweeps
from canthus.utils import processes
from canthus.utils.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train(cfg: DictConfig) -> float | None:
    """Train one model.

    Args:
        cfg: composed from train.yaml.

    Returns:
        Best validation value of ``normaliser``'s NME, percent: what sweeps minimise. None without validation.

    Raises:
        ConfigError: a setting that cannot work.
        RunError: something from outside has stopped the training, or it has diverged.
    """
    # what trains takes seconds to import: completion and mistakes in the command line do not wait for it
    from canthus.commands import pipeline
    from canthus.commands.session import Session
    from canthus.runs.record import hush

    _check(cfg)
    session = Session.of(cfg)
    hush()
    if cfg.steps and not cfg.resume:  # a run that has begun had its steps
        pipeline.prepare(cfg, train)
    return None if cfg.step else session.run()


def _check(cfg: DictConfig) -> None:
    checks.check(cfg)
    if cfg.data.get("corruption"):
        raise ConfigError(
            f"data.corruption={cfg.data.corruption} is for canthus-eval; here the best epoch would be chosen on such "
            "faces. data.augmentation changes those to train on"
        )
    for key in ("callbacks", "logger"):
        if cfg.trainer.get(key) is not None:
            raise ConfigError(f"trainer.{key}={cfg.trainer[key]}: name them in the group {key}, not for trainer")
    folder = Path(cfg.paths.output_dir)
    if not cfg.resume and list((folder / "checkpoints").glob("*.ckpt")):
        if not processes.requeued():
            raise ConfigError(
                f"{folder} holds a run already; go on with it by resume={folder}, or name another hydra.run.dir"
            )
        cfg.resume = str(folder)


def main() -> None:
    """Entry point of ``canthus-train`` and ``python -m canthus.commands.train``."""
    with launch.prepared() as words:
        run, sweep = launch.argument("resume"), launch.argument("sweep.resume")
        if sweep not in (None, "null"):
            words = sweeps.resumed_arguments(Path(sweep), words)
        if run not in (None, "null"):
            from canthus.commands.resuming import register_run, resumed_arguments

            register_run(zoo.run_path(run), trust=launch.trusted())
            words = resumed_arguments(run, words)
    launch.launch(train, "train" if run in (None, "null") else "resumed", words)


if __name__ == "__main__":
    main()
