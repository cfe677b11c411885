"""What a zoo entry's card says of its accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Figures"]


@dataclass(frozen=True)
class Figures:
    """What an evaluation of the held-out or of the test faces measured.

    Attributes:
        subsets: name -> faces, nme, nme_per_stage, auc, failure_rate, ...
        detection: recall and average precision, if the model detects faces.
        incomplete: parts of which not all faces were at hand, see `canthus.evaluation.files.Metrics`.
    """

    subsets: Mapping[str, Mapping[str, Any]]
    detection: Mapping[str, Any] | None
    incomplete: Mapping[str, tuple[int, int]] = field(default_factory=dict)
