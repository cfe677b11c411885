"""Callbacks that every method shares."""

from canthus.callbacks.ema import EMA
from canthus.callbacks.evaluator import Evaluation, Evaluator
from canthus.callbacks.metrics_file import MetricsFile
from canthus.callbacks.overlays import Overlays
from canthus.callbacks.seeding import EpochSeed
from canthus.callbacks.stages import StageSchedule

__all__ = ["EMA", "EpochSeed", "Evaluation", "Evaluator", "MetricsFile", "Overlays", "StageSchedule"]
