"""What a zoo entry's card says of its accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Figures"]


@dataclass(frozen=True)
class Figures:
    """What an evaluation of the held-out faces measured.

    Attributes:
        subsets: name -> faces, nme, nme_per_stage, auc, failure_rate, ...
        detection: recall and average precision, if the model detects faces.
    """

    subsets: Mapping[str, Mapping[str, Any]]
    detection: Mapping[str, Any] | None
