"""canthus-eval study=alignment or study=critique: what landmark errors mean, and whether lower ones align better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from canthus import zoo
from canthus.commands import checks, schemas
from canthus.utils import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omegaconf import DictConfig

    from canthus.data.corruptions import Corruption
    from canthus.studies.alignment.aligners import Aligner
    from canthus.studies.subject import Run, Subject

STUDIES = ("alignment", "critique")


def study(cfg: DictConfig) -> None:
    """Run a study.

    Args:
        cfg: composed from study.yaml.

    Raises:
        ConfigError: a setting that cannot work.
    """
    import lightning

    from canthus.runs import record

    checks.check(cfg, schemas.StudyConfig)
    _check(cfg)
    check_places(cfg)
    record.hush()
    with record.recorded(Path(cfg.output), cfg):
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        {"alignment": _align, "critique": _criticise}[cfg.study](cfg)


def check_places(cfg: DictConfig) -> None:
    """Refuse an output that would be written over what is read.

    Raises:
        ConfigError: naming both.
    """
    from canthus.utils import outputs

    runs = [zoo.run_path(run) for run in cfg.runs]
    outputs.check_folder(Path(cfg.output), {"runs": runs, "data": outputs.places_in(cfg.data)})


def _align(cfg: DictConfig) -> None:
    """Align the faces by many methods and compare what the alignments are worth."""
    import numpy as np
    from rich.progress import track

    from canthus.studies.alignment.embedding import make_embedder
    from canthus.studies.alignment.frames import alignment_points
    from canthus.studies.alignment.measures import measure
    from canthus.studies.alignment.pairs import draw_pairs
    from canthus.studies.alignment.report import print_study, write_study
    from canthus.studies.subject import Run, Subject

    weights = None if cfg.embedder_weights is None else Path(cfg.embedder_weights)
    embedder = make_embedder(cfg.embedder, cfg.size, weights)
    runs = [Run(zoo.run_path(folder), cfg) for folder in cfg.runs]  # all of them first: a wrong one is told at once
    subject = Subject.of(cfg)
    persons = [face.identity for face in subject.faces]
    pairs = draw_pairs(persons, subject.clips, cfg.pairs, cfg.seed)
    some = np.linspace(0, len(persons) - 1, min(cfg.corrupted_faces, len(persons))).round().astype(int).tolist()
    everything = [*_references(cfg, subject), *_of_runs(cfg, runs, subject, some)]
    pictures = subject.pictures()
    truth = alignment_points(subject.labels, subject.scheme)
    shown = np.linspace(0, len(subject.faces) - 1, 8).round().astype(int).tolist()
    known = (truth, subject.labels, subject.distances, subject.clips, pictures, pairs, embedder, cfg.size, shown)
    measures = [measure(aligner, *known) for aligner in track(everything, description="alignments", transient=True)]
    context = {
        "data": str(cfg.data.name),
        "faces": len(subject.faces),
        "persons": len(set(persons)),
        "pairs": len(pairs.same),
        "embedder": cfg.embedder,
        "embedder_weights": cfg.embedder_weights,
        "box_noise": cfg.box_noise,
        "severity": cfg.severity,
        "corrupted_faces": len(some),
        "met_in_training": {run.name: run.augmented for run in runs},
    }
    output = Path(cfg.output)
    print_study(write_study(output, measures, pairs, context, seed=cfg.seed), output)


def _of_runs(cfg: DictConfig, runs: list[Run], subject: Subject, some: list[int]) -> Iterator[Aligner]:
    """Alignments by what runs predict, and what corruptions of some faces do to them."""
    from rich.progress import track

    from canthus.studies.alignment.aligners import aligners

    corruptions = _corruptions(cfg)
    for run in track(runs, description="runs", transient=True):
        points = run.points(subject.faces)
        corrupted = {one.name: run.points(subject.faces, some, one) for one in corruptions}
        # the points of a pose are those of its pose already
        ways = ["points"] if run.gives_poses else list(cfg.align_by)
        yield from aligners(run.name, "run", points, run.model.scheme, ways, corrupted, some)


def _criticise(cfg: DictConfig) -> None:
    """What an error counts when heads turn, what noise of the labels hides, and what methods cost."""
    import numpy as np
    import torch
    from rich.progress import track

    from canthus.metrics import nme_per_face, point_errors
    from canthus.studies.alignment import label_noise
    from canthus.studies.alignment.frames import alignment_points
    from canthus.studies.alignment.projection import project_pose
    from canthus.studies.critique import measures
    from canthus.studies.critique.report import print_critique, write_critique
    from canthus.studies.subject import Run, Subject

    runs = [Run(zoo.run_path(folder), cfg) for folder in cfg.runs]
    subject = Subject.of(cfg)
    labels, scheme = subject.labels, subject.scheme
    yaw = project_pose(labels, scheme).angles[:, 0]
    truth = alignment_points(labels, scheme)
    methods = []
    for run in track(runs, description="runs", transient=True):
        points = alignment_points(run.points(subject.faces), run.model.scheme)
        errors, seen = point_errors(points[:, None], truth), torch.ones(truth.shape[:2])
        nme = {name: nme_per_face(errors, seen, length)[:, 0].numpy() for name, length in subject.distances.items()}
        row = {f"nme_{name}": float(np.mean(values)) for name, values in nme.items()}
        over_yaw = measures.errors_over_yaw(nme, yaw)
        methods.append({"name": run.name, "milliseconds": run.milliseconds} | row | {"over_yaw": over_yaw})
    content = {
        "data": str(cfg.data.name),
        "faces": len(labels),
        "without_pose": int(yaw.isnan().sum()),
        "normalisers_over_yaw": measures.normalisers_over_yaw(range(0, 85, 5)),
        "yaw_of_the_faces": measures.yaw_bins(labels, yaw),
        "noise_floor": label_noise.noise_floor(labels, scheme, subject.distances, cfg.label_noise, seed=cfg.seed),
        "unforeseen": label_noise.unforeseen(labels, scheme, subject.groups),
        "methods": methods,
    }
    output = Path(cfg.output)
    write_critique(output, content, labels, yaw)
    print_critique(content, output)


def _check(cfg: DictConfig) -> None:
    from canthus.studies.alignment.aligners import WAYS

    if cfg.study not in STUDIES:
        raise errors.ConfigError(f"study={cfg.study}: {errors.suggest(str(cfg.study), STUDIES)}")
    for key, low in (("size", 32), ("pairs", 10), ("box_noise", 0), ("corrupted_faces", 1)):
        if cfg[key] < low:
            raise errors.ConfigError(f"{key}={cfg[key]}: at least {low}")
    for way in cfg.align_by:
        if way not in WAYS:
            raise errors.ConfigError(f"align_by={list(cfg.align_by)}: {errors.suggest(str(way), WAYS)}")
    if not cfg.align_by:
        raise errors.ConfigError(f"align_by is empty; some of {', '.join(WAYS)}")
    _corruptions(cfg)
    names = [Path(run).name for run in cfg.runs]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise errors.ConfigError(f"runs={doubled}: tables name runs by their folders, which have to differ")
    for run in cfg.runs:
        path = zoo.run_path(run)
        if not (zoo.stored_file(path) or path.is_dir()):
            raise errors.ConfigError(f"runs: {run} is no run folder")


def _corruptions(cfg: DictConfig) -> list[Corruption]:
    from canthus.data.corruptions import Corruption

    return [Corruption(name, cfg.severity, cfg.seed) for name in cfg.corruptions]


def _references(cfg: DictConfig, subject: Subject) -> Iterator[Aligner]:
    """Alignments that need no model: the labels, their projected pose, the labels with noise, the mean shape."""
    import numpy as np
    import torch

    from canthus.geometry import boxes
    from canthus.geometry.generic_face import generic_face
    from canthus.studies.alignment import aligners
    from canthus.studies.alignment.aligners import Aligner
    from canthus.studies.alignment.frames import alignment_points

    yield from aligners("ground truth", "reference", subject.labels, subject.scheme)
    truth, eyes = alignment_points(subject.labels, subject.scheme), subject.distances["inter_ocular"][:, None, None]
    random = torch.Generator().manual_seed(cfg.seed)
    for percent in cfg.label_noise:  # the same noise on every point of the five
        noise = torch.randn(truth.shape, generator=random, dtype=truth.dtype) * eyes * percent / 100
        yield Aligner(f"ground truth + {percent:g} %", "reference", truth + noise)
    box = torch.from_numpy(np.stack([face.box for face in subject.faces]))
    front = boxes.shape_in_box(generic_face().points[:, :2].double(), box)
    yield Aligner("mean shape", "reference", alignment_points(front, subject.scheme))
