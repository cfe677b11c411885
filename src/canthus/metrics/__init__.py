"""Landmark metrics: pure functions, the table of an evaluation and torchmetrics classes."""

from canthus.metrics.detection import (
    DetectedFaces,
    FDDBCurve,
    coco_average_precision,
    fddb_roc,
    wider_average_precision,
)
from canthus.metrics.functional import (
    area_under_curve,
    cumulative_error,
    failure_rate,
    nme_over_all_points,
    nme_per_face,
    nme_pooled,
    normaliser_distance,
    normaliser_names,
    point_errors,
)
from canthus.metrics.landmarks import (
    AreaUnderCurve,
    CumulativeErrorDistribution,
    FaceErrors,
    FailureRate,
    NormalisedMeanError,
)
from canthus.metrics.pose import FacePoses, HeadPoseError, head_pose_errors
from canthus.metrics.statistics import PairedComparison, bootstrap_interval, compare_paired, compare_pairs, holm
from canthus.metrics.table import FaceTable

__all__ = [
    "AreaUnderCurve",
    "CumulativeErrorDistribution",
    "DetectedFaces",
    "FDDBCurve",
    "FaceErrors",
    "FacePoses",
    "FaceTable",
    "FailureRate",
    "HeadPoseError",
    "NormalisedMeanError",
    "PairedComparison",
    "area_under_curve",
    "bootstrap_interval",
    "coco_average_precision",
    "compare_paired",
    "compare_pairs",
    "cumulative_error",
    "failure_rate",
    "fddb_roc",
    "head_pose_errors",
    "holm",
    "nme_over_all_points",
    "nme_per_face",
    "nme_pooled",
    "normaliser_distance",
    "normaliser_names",
    "point_errors",
    "wider_average_precision",
]
