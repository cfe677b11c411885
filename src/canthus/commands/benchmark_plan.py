"""What a benchmark runs: the trainings, evaluations and the report, and which of them are done.

docs/protocol.md explains the protocol. Kept free of torch.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from canthus.runs.children import Step
from canthus.runs.status import is_finished
from canthus.utils.config import quoted

__all__ = ["FIVE_POINTS", "MODELS", "SUITES", "Settings", "evaluation_folder", "plan"]

MODELS = ("san", "mtcnn", "facepose", "dan", "dcnn", "fan_zhou", "cfan", "mdm")
"""The longest trainings first, so that no core is left with one at the end."""
FIVE_POINTS = ("mtcnn", "dcnn")
"""Models without 68 points, which have one evaluation."""
SUITES = ("cpu", "gpu", "zoo")
TEST_PART = "helen/testset"
"""Faces that train and choose nothing, of the suites whose trainings leave them out."""
PLAIN = re.compile(r"[A-Za-z_./-]*/[\w./-]*")
"""Paths that need no quotes in Hydra's grammar."""


@dataclass(frozen=True)
class Settings:
    """What a benchmark is asked for, checked.

    Attributes:
        suite: ``cpu``: small trainings; ``gpu``: full ones; ``zoo``: the weights that come with canthus, no training.
        data: folder of 300-W, or one that holds it as ``300w``.
        output: folder of everything.
        models: in the order of their trainings.
        seeds: of the trainings.
        corruptions: as the value of canthus-eval's key.
        options: model -> more words for its training.
        wider: folder of WIDER FACE, for full-size MTCNN.
        celeba: folder of CelebA, likewise.
        yardsticks: files of other tools' predictions of the test faces, by name.
    """

    suite: str
    data: Path
    output: Path
    models: Sequence[str] = MODELS
    seeds: Sequence[int] = (0,)
    corruptions: str = "all"
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    wider: Path | None = None
    celeba: Path | None = None
    yardsticks: Mapping[str, Path] = field(default_factory=dict)

    @property
    def faces(self) -> Path:
        """Folder of 300-W itself."""
        inside = self.data / "300w"
        return inside if inside.is_dir() else self.data

    @property
    def tests(self) -> bool:
        """Whether test faces are at hand beside those that choose the epochs; suite=gpu has the official parts."""
        return self.suite != "gpu" and (self.faces / TEST_PART).is_dir()

    def detects(self, model: str) -> bool:
        """Whether a model is tested from the whole image, with the boxes of the benchmark's own detector."""
        return self.tests and model not in FIVE_POINTS and "mtcnn" in self.models

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.output / "runs"

    @property
    def page(self) -> Path:
        """The report."""
        return self.output / "report.html"


def plan(settings: Settings) -> list[Step]:
    """All steps: trainings first, the longest at the head, then evaluations, the report last.

    What is done is read from the records of the runs: a training that is ``finished`` is done; one that has a config
    goes on by ``resume=``; any other begins, also one that was stopped in the steps before it. Nothing is written.
    """
    runs = [(model, seed) for model in settings.models for seed in settings.seeds]
    trainings = [] if settings.suite == "zoo" else [_training(settings, model, seed) for model, seed in runs]
    trained = {step.name for step in trainings if step.done}
    evaluations = [
        _evaluation(settings, model, seed, points, trained, test=test)
        for model, seed in runs
        for points in (5, 68)
        if points == 5 or model not in FIVE_POINTS
        for test in ((False, True) if settings.tests else (False,))
    ]
    evaluations += [
        _from_whole_images(settings, model, seed, trained) for model, seed in runs if settings.detects(model)
    ]
    scores = [_score(settings, name, path) for name, path in settings.yardsticks.items()]
    return [*trainings, *evaluations, *scores, _report(settings, [*evaluations, *scores])]


def _name(model: str, seed: int, what: str) -> str:
    return f"{model}/seed{seed} {what}"


def _folder(settings: Settings, model: str, seed: int) -> Path:
    return settings.runs / model / f"seed{seed}"


def evaluation_folder(settings: Settings, model: str, seed: int, points: int, *, test: bool = False) -> Path:
    """Where an evaluation lies."""
    return _folder(settings, model, seed) / "evaluation" / (f"{points}_test" if test else str(points))


def _word(key: str, path: Path) -> str:
    text = str(path)
    return f"{key}={text if PLAIN.fullmatch(text) else quoted(text)}"


def _training(settings: Settings, model: str, seed: int) -> Step:
    folder = _folder(settings, model, seed)
    if (folder / "config.yaml").is_file():
        words = [_word("resume", folder)]
    else:
        words = [f"experiment={_experiment(settings.suite, model)}", f"seed={seed}", *_training_data(settings, model)]
        words += [_word("hydra.run.dir", folder), _word("paths.log_dir", settings.output / "steps")]
        words += settings.options.get(model, ())
    return Step(_name(model, seed, "train"), "train", tuple(words), folder / "train.txt", done=is_finished(folder))


def _experiment(suite: str, model: str) -> str:
    if model == "mtcnn":
        return "mtcnn_cpu" if suite == "cpu" else "mtcnn_wider"
    return f"{model}_300w_cpu" if suite == "cpu" else f"{model}_300w"


def _training_data(settings: Settings, model: str) -> list[str]:
    """Full-size MTCNN learns from WIDER FACE and CelebA, all others from 300-W."""
    if settings.suite == "gpu" and model == "mtcnn" and settings.wider and settings.celeba:
        return [_word("data.root", settings.wider), _word("data.landmarks.root", settings.celeba)]
    return [_word("data.root", settings.faces)]


def _evaluation(settings: Settings, model: str, seed: int, points: int, trained: set[str], *, test: bool) -> Step:
    """On the held-out images of a small training or on its test part, on the official test parts of a full one.

    Corruptions are shown on the test faces where there are some.
    """
    folder = evaluation_folder(settings, model, seed, points, test=test)
    training, zoo = _name(model, seed, "train"), settings.suite == "zoo"
    words = [f"run=zoo/{model}" if zoo else _word("run", _folder(settings, model, seed)), _word("output", folder)]
    words += ["data=w300"] if settings.suite == "gpu" else []
    words += [_word("data.root", settings.faces), "normaliser=inter_ocular", "normalisers=[inter_pupil]", "threshold=8"]
    words += [f"corruptions={settings.corruptions if test or not settings.tests else 'null'}"]
    words += ["data.scheme=5"] if points == 5 else []
    if test:
        words += ["split=test", f"data.test_parts=[{TEST_PART}]", "data.allow_partial=true", "unseen=true"]
        # its images are cut to three face widths, with faces that nobody labelled
        words += [f"data.incomplete_parts=[{TEST_PART}]"] if model == "mtcnn" else []
    return Step(
        _name(model, seed, f"{'test' if test else 'evaluate'} {points} points"),
        "evaluate",
        tuple(words),
        folder.parent.parent / f"{'test' if test else 'evaluate'}_{points}.txt",
        after=() if zoo else (training,),
        done=(zoo or training in trained) and is_finished(folder),
    )


def _from_whole_images(settings: Settings, model: str, seed: int, trained: set[str]) -> Step:
    """The test faces once more, as the detector of the same seed finds them."""
    folder, zoo = _folder(settings, model, seed) / "evaluation" / "68_found", settings.suite == "zoo"
    needed = () if zoo else (_name(model, seed, "train"), _name("mtcnn", seed, "train"))
    words = [f"run=zoo/{model}" if zoo else _word("run", _folder(settings, model, seed)), _word("output", folder)]
    words += ["detector=zoo/mtcnn" if zoo else _word("detector", _folder(settings, "mtcnn", seed))]
    words += [_word("data.root", settings.faces), "normaliser=inter_ocular", "normalisers=[inter_pupil]", "threshold=8"]
    words += ["split=test", f"data.test_parts=[{TEST_PART}]", "data.allow_partial=true", "unseen=true"]
    return Step(
        _name(model, seed, "find and test 68 points"),
        "evaluate",
        tuple(words),
        folder.parent.parent / "find_68.txt",
        after=needed,
        done=all(name in trained for name in needed) and is_finished(folder),
    )


def _score(settings: Settings, name: str, path: Path) -> Step:
    """Another tool on the test faces, beside the models of 68 points; done if it is younger than its predictions."""
    folder = settings.runs / "yardsticks" / name
    words = [_word("predictions", path), f"name={name}", _word("output", folder), "data=w300"]
    words += [_word("data.root", settings.faces), f"data.test_parts=[{TEST_PART}]", "data.allow_partial=true"]
    words += ["normaliser=inter_ocular", "normalisers=[inter_pupil]", "threshold=8", "missing=failure"]
    done = is_finished(folder) and (folder / "provenance.json").stat().st_mtime >= path.stat().st_mtime
    return Step(f"yardstick {name}", "evaluate", tuple(words), folder.with_suffix(".txt"), done=done)


def _report(settings: Settings, evaluations: Sequence[Step]) -> Step:
    """The page is done if it is younger than every evaluation, and none is missing."""
    words = (_word("images", settings.data), _word("runs", settings.runs), _word("output", settings.page))
    done = settings.page.is_file() and all(step.done for step in evaluations)
    if done:
        records = [
            *settings.runs.glob("*/seed*/evaluation/*/provenance.json"),
            *settings.runs.glob("yardsticks/*/provenance.json"),
        ]
        done = settings.page.stat().st_mtime >= max(path.stat().st_mtime for path in records)
    after = tuple(step.name for step in evaluations)
    return Step("report", "report", words, settings.output / "report.txt", after, lenient=True, done=done)
