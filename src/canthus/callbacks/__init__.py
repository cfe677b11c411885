"""Callbacks that every method shares."""

from canthus.callbacks.checkpoint import Checkpoint
from canthus.callbacks.evaluator import Evaluation, Evaluator
from canthus.callbacks.metrics_file import MetricsFile
from canthus.callbacks.overlays import Overlays
from canthus.callbacks.seeding import EpochSeed
from canthus.callbacks.stages import StageSchedule

__all__ = ["Checkpoint", "EpochSeed", "Evaluation", "Evaluator", "MetricsFile", "Overlays", "StageSchedule"]
