"""What each command's config may hold: dataclasses that Hydra checks names and types of top-level keys against.

Kept free of torch, so that shell completion is quick.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from canthus.inference.video.options import VideoConfig

__all__ = [
    "BenchmarkConfig",
    "ClaimsConfig",
    "EvalConfig",
    "ExportConfig",
    "InspectConfig",
    "PredictConfig",
    "ReportConfig",
    "ScoreConfig",
    "StudyConfig",
    "TrainConfig",
]


@dataclass
class PathsConfig:
    """Keys of paths/default.yaml."""

    log_dir: str = MISSING
    cache: str = MISSING
    output_dir: str = MISSING


@dataclass
class SweepConfig:
    """Key ``sweep`` of train.yaml."""

    resume: str | None = None
    first_job: int = 0


@dataclass
class TrainConfig:
    """Keys of train.yaml."""

    data: Any = MISSING
    model: Any = MISSING
    callbacks: Any = None
    logger: Any = None
    trainer: Any = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)
    task_name: str = MISSING
    tags: list[str] = field(default_factory=list)
    seed: int = 0
    normaliser: str = "inter_ocular"
    normalisers: Any = field(default_factory=list)
    threshold: float = 8.0
    test: bool = False
    steps: Any = field(default_factory=dict)
    step: str | None = None
    init_from: str | None = None
    resume: str | None = None
    allow_changed_data: bool = False
    trust: bool = False
    sweep: SweepConfig = field(default_factory=SweepConfig)


@dataclass
class EvalConfig:
    """Keys of eval.yaml."""

    data: Any = MISSING
    trainer: Any = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)
    run: str = MISSING
    checkpoint: str = "best"
    split: str = "auto"
    normaliser: str | None = None
    normalisers: Any = None
    threshold: float | None = None
    output: str = MISSING
    overlays: int = 24
    compare: str | None = None
    corruptions: Any = None
    styles: Any = None
    flip_average: bool | None = None
    allow_trained_on: bool = False
    unseen: bool = False
    detector: Any = None
    refine: int = 0
    trust: bool = False
    seed: int | None = None


@dataclass
class ScoreConfig:
    """Keys of score.yaml."""

    data: Any = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)
    predictions: str = MISSING
    name: str | None = None
    scheme: str | None = None
    first_pixel: int | None = None
    missing: str = "error"
    split: str = "test"
    normaliser: str = "inter_ocular"
    normalisers: Any = field(default_factory=list)
    threshold: float = 8.0
    output: str = MISSING
    overlays: int = 24
    compare: str | None = None
    seed: int = 0


@dataclass
class StudyConfig:
    """Keys of study.yaml."""

    data: Any = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)
    study: str = MISSING
    runs: list[str] = field(default_factory=list)
    checkpoint: str = "best"
    persons: int | None = None
    pairs: int = 1500
    box_noise: float = 0.05
    label_noise: list[float] = field(default_factory=list)
    corruptions: list[str] = field(default_factory=list)
    severity: int = 3
    corrupted_faces: int = 200
    align_by: list[str] = field(default_factory=lambda: ["points", "pose"])
    embedder: str = "hog"
    embedder_weights: str | None = None
    size: int = 96
    output: str = MISSING
    trust: bool = False
    seed: int = 0


@dataclass
class PredictConfig:
    """Keys of predict.yaml."""

    run: str = MISSING
    source: str = MISSING
    output: str = MISSING
    detector: Any = None
    checkpoint: str = "best"
    boxes: str | None = None
    box: str = "whole"
    box_margin: float = 0.0
    batch_size: int = 32
    device: str = "auto"
    overlays: bool = True
    video: VideoConfig = field(default_factory=VideoConfig)
    flip_average: bool | None = None
    trust: bool = False


@dataclass
class ExportConfig:
    """Keys of export.yaml."""

    run: str = MISSING
    format: str = MISSING
    output: str = MISSING
    checkpoint: str = "best"
    flip_average: bool | None = None
    device: str = "cpu"
    opset: int = 18
    storage: str = "half"
    tolerance: float = 0.05
    terms: str | None = None
    trust: bool = False


@dataclass
class InspectConfig:
    """Keys of inspect.yaml."""

    data: Any = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)
    output: str = MISSING
    poses: str | None = None
    beside: list[str] = field(default_factory=list)
    faces: int = 48
    seed: int = 0
    limits: Any = MISSING


@dataclass
class ReportConfig:
    """Keys of report.yaml."""

    runs: Any = MISSING
    output: str = MISSING
    title: str = "Facial landmark localisation: models side by side"
    measure: bool = True
    latency: int = 30
    threads: int | None = None
    device: str = "cpu"
    faces: bool = True
    images: Any = None
    claims: str | None = None
    trust: bool = False


@dataclass
class BenchmarkDataConfig:
    """Key ``data`` of benchmark.yaml."""

    root: str | None = MISSING


@dataclass
class BenchmarkConfig:
    """Keys of benchmark.yaml."""

    data: BenchmarkDataConfig = field(default_factory=BenchmarkDataConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    suite: str = "cpu"
    models: Any = "all"
    seeds: Any = field(default_factory=lambda: [0])
    corruptions: Any = "all"
    jobs: int | None = None
    threads: int | None = None
    output: str | None = None
    options: Any = None
    wider: str | None = None
    celeba: str | None = None
    yardsticks: str | None = None
    dry_run: bool = False


@dataclass
class ClaimsConfig:
    """Keys of claims.yaml."""

    data: BenchmarkDataConfig = field(default_factory=BenchmarkDataConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    claims: Any = "all"
    seeds: Any = field(default_factory=lambda: [0, 1, 2])
    jobs: int = 2
    threads: int | None = 1
    output: str = MISSING
    evaluate: list[str] = field(default_factory=list)
    ytf68: str | None = None
    study: list[str] = field(default_factory=list)
    options: Any = None
    dry_run: bool = False
