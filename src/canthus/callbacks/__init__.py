"""Callbacks that every method shares."""

from canthus.callbacks.belief_maps import BeliefMaps
from canthus.callbacks.checkpoint import Checkpoint
from canthus.callbacks.detection_evaluator import DetectionEvaluator
from canthus.callbacks.ema import EMA
from canthus.callbacks.evaluator import Evaluator
from canthus.callbacks.faces import EvaluatedFaces, TrainingFaces
from canthus.callbacks.finite import Finite
from canthus.callbacks.gradients import GradientNorm
from canthus.callbacks.metrics_file import MetricsFile
from canthus.callbacks.overlays import Overlays
from canthus.callbacks.seeding import EpochSeed
from canthus.callbacks.stages import StageSchedule
from canthus.callbacks.styles import StyleClusters, StylePreviews
from canthus.evaluation.detection import DetectionResult
from canthus.evaluation.evaluation import Evaluation

__all__ = [
    "EMA",
    "BeliefMaps",
    "Checkpoint",
    "DetectionEvaluator",
    "DetectionResult",
    "EpochSeed",
    "EvaluatedFaces",
    "Evaluation",
    "Evaluator",
    "Finite",
    "GradientNorm",
    "MetricsFile",
    "Overlays",
    "StageSchedule",
    "StyleClusters",
    "StylePreviews",
    "TrainingFaces",
]
