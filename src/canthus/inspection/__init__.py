"""Looking at a data set before anything is trained on it: what it contains, and what is odd in it."""

from logging import getLogger
from typing import Any

from canthus.inspection.card import Measured, write_card
from canthus.inspection.checks import check_boxes, check_places, check_shapes
from canthus.inspection.collection import Collection
from canthus.inspection.findings import KINDS, Finding, Limits
from canthus.inspection.leaks import check_identities, check_images
from canthus.inspection.measures import write_measures
from canthus.inspection.poses import pose_labels, write_poses
from canthus.inspection.report import print_report, write_findings, write_report
from canthus.inspection.shapes import ShapeModel
from canthus.inspection.sheets import write_sheets
from canthus.inspection.summary import summarise

__all__ = [
    "KINDS",
    "Collection",
    "Finding",
    "Limits",
    "Measured",
    "inspect",
    "pose_labels",
    "print_report",
    "summarise",
    "write_card",
    "write_findings",
    "write_measures",
    "write_poses",
    "write_report",
    "write_sheets",
]

log = getLogger(__name__)


def inspect(data: Collection, limits: Limits | None = None) -> list[Finding]:
    """Look for everything that `KINDS` names.

    Args:
        data: the faces.
        limits: from where on something counts as odd.

    Returns:
        Findings by kind, damage first; within a kind the worst first.
    """
    limits = limits or Limits()
    found = [*check_images(data, limits), *check_identities(data)]
    found += [*check_boxes(data, limits), *check_places(data, limits)]
    if data.labelled.any():
        try:
            model = ShapeModel.fit(data.points, data.visibility, data.scheme)
        except ValueError as error:
            log.warning("shapes are not compared: %s", error)
        else:
            found += check_shapes(data, model, limits)
    order: dict[str, Any] = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(found, key=lambda finding: order[finding.kind])
