"""What people look at after a run: figures, curves, tables and the page that contains them."""

from canthus.evaluation.files import (
    Metrics,
    MissingFaces,
    Prediction,
    SubsetMetrics,
    read_metrics_json,
    read_predictions,
    write_metrics_json,
    write_predictions,
)
from canthus.reporting.comparison import check_comparable, write_comparison
from canthus.reporting.detection import draw_detection, print_detection
from canthus.reporting.results import print_results, write_results
from canthus.reporting.summary import write_summary
from canthus.reporting.tables import markdown_table, rich_table
from canthus.visualization.curves import ced_figure, ced_steps

__all__ = [
    "Metrics",
    "MissingFaces",
    "Prediction",
    "SubsetMetrics",
    "ced_figure",
    "ced_steps",
    "check_comparable",
    "draw_detection",
    "markdown_table",
    "print_detection",
    "print_results",
    "read_metrics_json",
    "read_predictions",
    "rich_table",
    "write_comparison",
    "write_metrics_json",
    "write_predictions",
    "write_results",
    "write_summary",
]
