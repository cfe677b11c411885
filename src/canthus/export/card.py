"""A model card: what the weights are, what they were made from, what they reach, and what they are for."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from canthus import zoo
from canthus.export.training import described
from canthus.models.cascade import Cascade
from canthus.utils.errors import ConfigError
from canthus.utils.escaping import markdown, markdown_block, markdown_code
from canthus.utils.files import parse_yaml

if TYPE_CHECKING:
    from canthus.export.figures import Figures

__all__ = ["card", "known_terms"]

STORAGES = {
    "half": "half precision",
    "int8": "8-bit whole numbers with a half-precision scale for each output; biases and norms in half precision",
}


def known_terms(data: str) -> str:
    """What the licence of a shipped data config allows.

    Raises:
        ConfigError: nothing is known.
    """
    terms: dict[str, str] = parse_yaml((zoo.FOLDER / "terms.yaml").read_text(encoding="utf-8"))
    if data not in terms:
        raise ConfigError(f"what the licence of {data} allows is not known here; say it for the card: terms='...'")
    return terms[data]


def card(
    path: Path,
    model: Cascade,
    trained: DictConfig,
    header: Mapping[str, Any],
    before: "Figures",
    after: "Figures",
    tested: "Figures | None",
    terms: str,
) -> str:
    """The card of a stored model, Markdown.

    Args:
        path: of its file.
        model: it.
        trained: config of the run.
        header: of the file.
        before: figures of the trained weights.
        after: figures of the stored weights.
        tested: figures of the stored weights on the test parts; None where they were not at hand.
        terms: of the training data.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    storage = STORAGES[header["storage"]]
    about = (type(model).__doc__ or model.name).strip().splitlines()[0]
    folder = type(model).__module__.split(".")[-2]
    data = trained.data
    parts = ", ".join(map(markdown, data.get("train_parts") or [])) or "all"
    facts = [
        f"# zoo/{markdown(path.stem)}",
        f"{about} Paper and differences: [models/{folder}](../models/{folder}/README.md).",
        f"| | |\n|---|---|\n| points | scheme `{model.scheme.name}`, {model.num_stages} stages |\n"
        f"| parameters | {parameters:,} |\n| file | {path.stat().st_size / 1e6:.2f} MB, {storage} |\n"
        f"| sha256 | `{zoo.sha256(path)}` |",
        f"## Data\n\n{markdown_code(data.name)}: {parts}; {_held_out(trained)}.\n\n{terms}",
        f"## Figures\n\n{_on_test_faces(path, trained, tested)}",
        f"{_protocol(path, trained)}\n\n{_table(after)}\n\n{_stored(before, after)}",
        f"## Training\n\n{described(header['provenance'])}",
        "## Use\n\nFor experiments, comparisons, demonstrations and teaching, on faces like those above; the table "
        "says how good it is there, nothing says how good it is elsewhere. Not for identifying people or for "
        "decisions about them. It wants tight boxes, from brows to chin, as `zoo/mtcnn` gives them.",
        f"## Config\n\n{markdown_block(header['config'], 'yaml')}",
    ]
    return "\n\n".join(facts) + "\n"


def _held_out(trained: DictConfig) -> str:
    share, seed = 100 * float(trained.data.get("validation", 0)), trained.data.get("validation_seed", 0)
    if trained.data.get("validation_rule") == "hash":
        return f"about {share:g} % of the images are held out, each by its name (`data.validation_seed={seed}`)"
    return f"{share:g} % of each part's images are held out (`data.validation_seed={seed}`)"


def _on_test_faces(path: Path, trained: DictConfig, tested: "Figures | None") -> str:
    """What counts: figures on faces that trained and chose nothing."""
    parts = [str(part) for part in trained.data.get("test_parts") or []]
    if tested is None:
        named = f" ({', '.join(map(markdown, parts))})" if parts else ""
        return f"No test faces{named} were at hand when this was written."
    words = f"canthus-eval run=zoo/{path.stem} split=test data.test_parts=[{','.join(parts)}] data.root=DIR"
    notes = [f"{count} of the {total} faces of {markdown(part)}" for part, (count, total) in tested.incomplete.items()]
    remark = f" {', '.join(notes)}; the others were not at hand." if notes else ""
    return (
        f"NME in percent of {markdown_code(trained.normaliser)} on test faces, which trained and chose nothing, in the "
        f"same boxes.{remark} Repeat with {markdown_code(words)}.\n\n{_table(tested)}"
    )


def _protocol(path: Path, trained: DictConfig) -> str:
    box = trained.data.get("box", "gt")
    return (
        f"NME in percent of {markdown_code(trained.normaliser)} on the held-out faces, on which the best epoch was "
        f"also chosen; AUC and failure rate at {float(trained.threshold):g} %; boxes: "
        f"{markdown_code(f'data.box={box}')}. Repeat with "
        f"{markdown_code(f'canthus-eval run=zoo/{path.stem} data.root=DIR')}."
    )


def _table(figures: "Figures") -> str:
    rows = ["| subset | faces | NME per stage | NME | AUC | FR |", "|---|--:|---|--:|--:|--:|"]
    for name, subset in figures.subsets.items():
        stages = " / ".join(f"{value:.2f}" for value in subset["nme_per_stage"])
        rows.append(
            f"| {markdown(name)} | {subset['faces']} | {stages} | {subset['nme']:.2f} | {subset['auc']:.2f} | "
            f"{subset['failure_rate']:.2f} |"
        )
    if pose := figures.subsets["full"].get("pose"):
        degrees = ", ".join(f"{name} {pose[name]:.1f}" for name in ("yaw", "pitch", "roll"))
        rows.append(f"\nHead pose, mean absolute errors in degrees over {pose['faces']} faces: {degrees}.")
    if figures.detection is not None:
        found = figures.detection
        rows.append(
            f"\nDetection in {found['images']} images with {found['faces']} labelled faces, overlap "
            f"{found['iou']:g}: recall {found['recall']:.1f} %, average precision {found['ap']:.1f} %."
        )
    return "\n".join(rows)


def _stored(before: "Figures", after: "Figures") -> str:
    first, then = before.subsets["full"]["nme"], after.subsets["full"]["nme"]
    return f"Storing changed the NME from {first:.4f} to {then:.4f} ({then - first:+.4f})."
