"""What people look at after a run: pictures, curves, tables and the page that holds them."""

from canthus.reporting.curves import ced_figure, ced_steps
from canthus.reporting.results import print_metrics, write_results
from canthus.reporting.summary import write_summary
from canthus.reporting.tables import (
    Metrics,
    Prediction,
    SubsetMetrics,
    markdown_table,
    read_metrics_json,
    read_predictions,
    rich_table,
    write_metrics_json,
    write_predictions,
)

__all__ = [
    "Metrics",
    "Prediction",
    "SubsetMetrics",
    "ced_figure",
    "ced_steps",
    "markdown_table",
    "print_metrics",
    "read_metrics_json",
    "read_predictions",
    "rich_table",
    "write_metrics_json",
    "write_predictions",
    "write_results",
    "write_summary",
]
