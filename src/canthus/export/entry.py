"""A run as one safetensors file with a card: what the zoo is made of."""

from logging import getLogger
from pathlib import Path
from typing import Any, cast

import lightning
from omegaconf import DictConfig, OmegaConf

from canthus import __version__, zoo
from canthus.callbacks.detection_evaluator import DetectionEvaluator
from canthus.callbacks.evaluator import Evaluator
from canthus.callbacks.faces import EvaluatedFaces
from canthus.export.card import card, known_terms
from canthus.export.figures import Figures
from canthus.export.training import training_record
from canthus.models.base import LandmarkModel
from canthus.runs import faces as run_faces
from canthus.runs import loading, weights
from canthus.runs.trust import as_reader, check_trust
from canthus.utils.errors import ConfigError, DataError, RunError
from canthus.utils.files import replacing

__all__ = ["LARGEST", "LARGEST_ZOO", "portable_config", "write_entry"]

log = getLogger(__name__)

LARGEST, LARGEST_ZOO = 8_000_000, 30_000_000
"""Bytes of a file of the zoo, and of all of them: they travel in the wheel."""
KEPT = ("task_name", "tags", "seed", "normaliser", "normalisers", "threshold", "model", "data", "trainer")
"""Of a run's config: what builds the model and repeats its evaluation."""


def write_entry(
    path: Path,
    run: Path,
    model: LandmarkModel,
    trained: DictConfig,
    *,
    storage: str,
    tolerance: float,
    terms: str | None,
    trust: bool,
) -> tuple[Figures, Figures]:
    """Store a model and write its card, once the stored weights have been found as good as the trained ones.

    Args:
        path: ``.safetensors`` file; the card becomes ``.md`` beside it. In the zoo's folder, sizes are limited and the
            hash is recorded.
        run: run folder.
        model: of the run.
        trained: config of the run, whose data are needed.
        storage: see `canthus.runs.weights.packed`.
        tolerance: the most by which the NME may rise, percentage points.
        terms: of the training data; those known by default.
        trust: build data from outside canthus that the run's config names.

    Returns:
        What the trained and the stored weights reach on the held-out faces.

    Raises:
        ConfigError: a file of another kind, or data whose terms nobody has said.
        RunError: a loss above the tolerance, or a file too large for the zoo.
    """
    if path.suffix != zoo.SUFFIX:
        raise ConfigError(f"output={path}: weights go into a {zoo.SUFFIX} file")
    terms = terms or known_terms(str(trained.data.name))
    before = _figures(model, trained, run, trust=trust)
    tensors = weights.packed(model, storage)
    model.load_state_dict(weights.unpacked(tensors))
    after = _figures(model, trained, run, trust=trust)
    loss = float(after.subsets["full"]["nme"] - before.subsets["full"]["nme"])
    if not loss <= tolerance:
        raise RunError(
            f"{run}: stored as {storage}, the NME rises by {loss:.3f} to "
            f"{after.subsets['full']['nme']:.3f}; tolerance={tolerance:g} is allowed"
        )
    header = {
        "model": model.name,
        "config": OmegaConf.to_yaml(portable_config(trained)),
        "storage": storage,
        "provenance": training_record(run),
        "canthus": __version__,
    }
    if (known := run_faces.remembered(run)) is not None:
        header[run_faces.HEADER] = known.header()
    in_zoo = path.resolve().parent == zoo.FOLDER.resolve()
    with replacing(path) as temporary:
        weights.write_weights(temporary, tensors, header)
        if in_zoo:
            _check_size(path, temporary.stat().st_size)
    if in_zoo:
        zoo.record(path)
    tested = _test_figures(model, trained, run, trust=trust)
    text = card(path, model, trained, header, before, after, tested, terms)
    with replacing(path.with_suffix(".md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return before, after


def _check_size(path: Path, size: int) -> None:
    others = sum(other.stat().st_size for other in zoo.files() if other.name != path.name)
    remedy = "train a smaller network, or store it as storage=int8"
    if size > LARGEST:
        raise RunError(f"{path}: {size / 1e6:.2f} MB, a file of the zoo has at most {LARGEST / 1e6:g}; {remedy}")
    if size + others > LARGEST_ZOO:
        raise RunError(
            f"{path}: {size / 1e6:.2f} MB beside {others / 1e6:.2f} MB of the others, the zoo has at most "
            f"{LARGEST_ZOO / 1e6:g}; {remedy}"
        )


def _test_figures(model: LandmarkModel, trained: DictConfig, run: Path, *, trust: bool) -> Figures | None:
    """On the run's test parts, which trained and chose nothing; None where they are not at hand."""
    if not trained.data.get("test_parts"):
        return None
    try:
        return _figures(model, trained, run, trust=trust, split="test")
    except DataError as error:
        log.warning("no test figures on the card: %s", error)
        return None


def _figures(model: LandmarkModel, trained: DictConfig, run: Path, *, trust: bool, split: str = "val") -> Figures:
    """Evaluate on the run's held-out faces or on its test parts, as canthus-eval does.

    Raises:
        ConfigError: nothing was held out; or test faces trained or chose the run.
    """
    settings = cast(dict[str, Any], OmegaConf.to_container(as_reader(trained, run, trust=trust).data))
    check_trust({"data": settings}, run, trust=trust)
    data = loading.built(settings, f"the data of {run}", input=model.input)
    known = run_faces.remembered(run)
    run_faces.give_split(data, trained.data, trained.data, known)
    faces, detection = Evaluator(trained.normaliser, trained.threshold), DetectionEvaluator()
    watching: list[Any] = [faces, detection]
    if split == "test" and known is not None:
        watching.append(EvaluatedFaces(known, own=True, allow=False, unseen=True))
    trainer = lightning.Trainer(
        accelerator="auto", devices=1, logger=False, enable_checkpointing=False, callbacks=watching
    )
    (trainer.validate if split == "val" else trainer.test)(model, data, verbose=False)
    if faces.result is None:
        raise ConfigError(f"{run}: nothing was held out, so the stored weights cannot be checked; see data.validation")
    found = None if detection.result is None else detection.result.report()
    return Figures(faces.result.report(), found, data.incomplete() if split == "test" else {})


def portable_config(trained: DictConfig) -> DictConfig:
    """What of a run's config is true on any machine: no folders, no callbacks; ``data.root`` is to be given."""
    plain = OmegaConf.to_container(trained, resolve=True)
    assert isinstance(plain, dict)
    kept = {key: plain[key] for key in KEPT if key in plain}
    kept["model"] = _without_folders(kept["model"])
    kept["data"] = {key: _without_folders(value) for key, value in kept["data"].items()}
    if kept["data"].get("root") is not None:
        kept["data"]["root"] = "???"
    kept["paths"] = {"cache": "${oc.env:CANTHUS_CACHE,'~/.cache/canthus'}"}
    kept["data"]["cache"] = "${paths.cache}"
    kept.get("trainer", {}).pop("default_root_dir", None)
    return OmegaConf.create(kept)


def _without_folders(value: Any) -> Any:
    """Paths of this machine shrink to their last part."""
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    if isinstance(value, str) and value.startswith(("/", "~")):
        return Path(value).name
    return value
