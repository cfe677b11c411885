"""canthus-export: a trained model as ONNX or TorchScript for other programs, or as weights for the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from canthus import zoo
from canthus.commands import checks, launch, schemas
from canthus.utils import errors

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from canthus.inference.predictor import Predictor
    from canthus.models.base import LandmarkModel


def export(cfg: DictConfig) -> None:
    """Export a run.

    Args:
        cfg: composed from export.yaml.

    Raises:
        ConfigError: a setting that cannot work.
        RunError: a model that cannot be said in this format, or a file that does not say what the model says.
    """
    from canthus.export.entry import write_entry
    from canthus.export.formats import FORMATS
    from canthus.inference.predictor import Predictor
    from canthus.runs import record
    from canthus.runs.loading import open_run
    from canthus.runs.weights import STORAGES
    from canthus.utils import outputs

    checks.check(cfg, schemas.ExportConfig)
    kinds = [*FORMATS, "safetensors"]
    for key, known in (("format", kinds), ("storage", STORAGES)):
        if cfg[key] not in known:
            raise errors.ConfigError(f"{key}={cfg[key]}: {errors.suggest(cfg[key], known)}")
    run, output = zoo.run_path(cfg.run), Path(cfg.output)
    inputs = _inputs(run, cfg.checkpoint)
    outputs.check_files([output], inputs)
    whole = cfg.format == "safetensors"  # written once a trainer has evaluated it
    opened = open_run(run, cfg.checkpoint, trust=cfg.trust, flip_average=cfg.flip_average, module=whole)
    predictor = Predictor.of(opened, device=cfg.device)
    if not whole:
        _graphs(cfg, predictor, output, inputs)
        return
    outputs.check_beside(output, [output.with_suffix(".md")])
    record.hush()
    before, after = write_entry(
        output,
        run,
        cast("LandmarkModel", opened.model),
        opened.config,
        storage=cfg.storage,
        tolerance=cfg.tolerance,
        terms=cfg.terms,
        trust=cfg.trust,
    )
    _say(
        f"{output}: {output.stat().st_size / 1e6:.2f} MB, NME {before.subsets['full']['nme']:.3f} as trained, "
        f"{after.subsets['full']['nme']:.3f} as stored; card: {output.with_suffix('.md')}"
    )


def _inputs(run: Path, checkpoint: str) -> dict[str, list[Path]]:
    """What is read of a run, and what else it has recorded: all but what an earlier export may have left there."""
    from canthus.export.formats import FORMATS

    exported = {kind.suffix for kind in FORMATS.values()} | {zoo.SUFFIX, ".md"}
    stored = zoo.stored_file(run)
    records = [path for path in (*run.glob("*"), *run.glob("*/*")) if path.suffix not in exported]
    return {"run": [stored] if stored else records, "checkpoint": [Path(checkpoint)]}


def _graphs(cfg: DictConfig, predictor: Predictor, output: Path, inputs: dict[str, list[Path]]) -> None:
    from canthus.export.check import agreement, latency, rendered_inputs
    from canthus.export.formats import FORMATS
    from canthus.export.graph import graphs_of
    from canthus.utils import outputs
    from canthus.utils.files import replacing

    kind = FORMATS[cfg.format]
    graphs = graphs_of(predictor.model, rendered_inputs(predictor, 8), cfg.run)
    paths = [output.with_name(f"{output.stem}{graph.suffix}{output.suffix or kind.suffix}") for graph in graphs]
    outputs.check_files(paths, inputs)
    for graph, path in zip(graphs, paths, strict=True):
        with replacing(path) as temporary:
            kind.write(graph, temporary, opset=cfg.opset)
            exported = kind(temporary, predictor.device)
            difference = agreement(graph, exported)
            times, own = latency(exported, graph.examples), latency(graph.network, graph.examples)
        _say(
            f"{path}: {path.stat().st_size / 1e6:.2f} MB, outputs differ from the model's by at most {difference:.1e}; "
            + ", ".join(f"batch {size}: {times[size]:.2f} ms (PyTorch {own[size]:.2f})" for size in times)
            + f" on {_where(predictor)}"
        )


def _where(predictor: Predictor) -> str:
    import torch

    kind = predictor.device.type
    return f"{torch.get_num_threads()} thread(s)" if kind == "cpu" else kind


def _say(text: str) -> None:
    from logging import getLogger

    getLogger("canthus.commands.export").info("%s", text)


def main() -> None:
    """Entry point of ``canthus-export`` and ``python -m canthus.commands.export``."""
    launch.launch(export, "export")


if __name__ == "__main__":
    main()
