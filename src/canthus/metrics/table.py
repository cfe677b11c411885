"""The table of an evaluation: one row per face, from which every number of a report follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from canthus.metrics import functional
from canthus.schemes import Scheme

__all__ = ["FaceTable"]


@dataclass(frozen=True, eq=False)
class FaceTable:
    """Estimates, labels and errors of N faces after each of S stages; every face once, sorted by index.

    Attributes:
        index: (N,) int64, place of the face in its split.
        points: (N, S, K, 2) estimates, original-image pixels.
        landmarks: (N, K, 2) labels, original-image pixels.
        visibility: (N, K) uint8 codes 0 not labelled, 1 occluded, 2 visible.
        box: (N, 4) face boxes ``xyxy``, original-image pixels.
        distance: (N,) the normaliser, original-image pixels.
        nme: (N, S) percent of ``distance``, over labelled points; NaN for a face without any.
        found: (N,) bool, False for faces with a point that is not finite at some stage: no prediction, or a model that
            diverged on them. From that stage on their errors are infinite.
        normaliser: name of the distance.
        lent: name -> (N,) further distances, original-image pixels, between points that the scheme does not have.
    """

    index: Tensor
    points: Tensor
    landmarks: Tensor
    visibility: Tensor
    box: Tensor
    distance: Tensor
    nme: Tensor
    found: Tensor
    normaliser: str
    lent: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        index: Tensor,
        points: Tensor,
        landmarks: Tensor,
        visibility: Tensor,
        box: Tensor,
        normaliser: str,
        scheme: Scheme,
    ) -> "FaceTable":
        """Sort faces, drop repetitions (the first stays) and measure. Shapes as in the attributes.

        Samplers of distributed runs repeat faces until every process has the same number; without the repetitions
        the numbers are those of a single process.

        Raises:
            ValueError: a normaliser that the scheme does not have or some face does not allow.
        """
        order = index.argsort(stable=True)
        ordered = index[order]
        fresh = torch.ones_like(ordered, dtype=torch.bool)
        fresh[1:] = ordered[1:] != ordered[:-1]
        rows = order[fresh]
        index, points, landmarks = index[rows], points[rows], landmarks[rows]
        visibility, box = visibility[rows], box[rows]
        distance = functional.normaliser_distance(landmarks, visibility, box, normaliser, scheme, index)
        nme, found = _errors(points, landmarks, visibility, distance)
        return cls(index, points, landmarks, visibility, box, distance, nme, found, normaliser)

    def __len__(self) -> int:
        return len(self.index)

    def select(self, mask: Tensor) -> "FaceTable":
        """The faces where an (N,) boolean mask holds. The mask may live on another device.

        Raises:
            ValueError: not a boolean mask of N entries.
        """
        if mask.dtype != torch.bool or mask.shape != self.index.shape:
            raise ValueError(
                f"mask is {mask.dtype} of shape {tuple(mask.shape)}; "
                f"a boolean mask of the table's {len(self)} faces is needed"
            )
        mask = mask.to(self.index.device)
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        chosen: dict[str, Any] = {name: value[mask] for name, value in columns.items() if isinstance(value, Tensor)}
        return replace(self, **chosen, lent={name: value[mask] for name, value in self.lent.items()})

    def region_nme(self, scheme: Scheme) -> dict[str, Tensor]:
        """(N, S) percent per region of the scheme: the same distance, only the region's points.

        NaN for a face without a labelled point in the region; take ``nanmean`` over faces.

        Raises:
            ValueError: a scheme with another number of points.
        """
        if scheme.num_landmarks != self.landmarks.shape[1]:
            raise ValueError(
                f"scheme {scheme.name!r} has {scheme.num_landmarks} points and this table {self.landmarks.shape[1]}; "
                "pass the scheme that the metric was built with"
            )
        errors = functional.point_errors(self.points, self.landmarks)
        return {
            name: functional.nme_per_face(errors, self.visibility, self.distance, points)
            for name, points in scheme.regions.items()
        }

    def under(self, normaliser: str, scheme: Scheme) -> "FaceTable":
        """The same faces with their errors divided by another distance.

        Raises:
            ValueError: a normaliser that the scheme does not have or some face does not allow.
        """
        distance = self.lent.get(normaliser)
        if distance is None:
            distance = functional.normaliser_distance(
                self.landmarks, self.visibility, self.box, normaliser, scheme, self.index
            )
        nme, _ = _errors(self.points, self.landmarks, self.visibility, distance)
        return replace(self, distance=distance, nme=nme, normaliser=normaliser)

    def visible_nme(self) -> Tensor:
        """(N, S) percent over the visible points alone; NaN for a face without any."""
        errors = functional.point_errors(self.points, self.landmarks)
        return functional.nme_per_face(errors, self.visibility, self.distance, visible_only=True)

    def summary(self, threshold: float) -> dict[str, Any]:
        """What metrics.json says about these faces, as plain numbers.

        Args:
            threshold: of AUC and failure rate, in percent of the normaliser.

        Returns:
            ``faces`` (those that have labels), ``nme``, ``auc`` and ``failure_rate`` of the last stage and
            ``nme_per_stage``, all in percent. Where faces were not found, ``missing`` counts them: they are failures
            in ``auc`` and ``failure_rate``, and NME is the mean over the others, None if there are no others.

        Raises:
            ValueError: no faces, or a threshold that is not positive.
        """
        last, measured = self.nme[:, -1], self.nme[self.found]
        per_stage = measured.nanmean(0).tolist() if len(measured) else [None] * self.nme.shape[1]
        numbers: dict[str, Any] = {"faces": int((~last.isnan()).sum())}
        if not bool(self.found.all()):
            numbers["missing"] = int((~last[~self.found].isnan()).sum())
        return numbers | {
            "nme": per_stage[-1],
            "nme_per_stage": per_stage,
            "auc": functional.area_under_curve(last, threshold).item(),
            "failure_rate": functional.failure_rate(last, threshold).item(),
        }


def _errors(points: Tensor, landmarks: Tensor, visibility: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """NME (N, S), infinite from the first stage with a point that is not finite, and (N,) which faces have none."""
    nme = functional.nme_per_face(functional.point_errors(points, landmarks), visibility, distance)
    # also where only unlabelled points are affected: no count may depend on which points a data set labels
    lost = (~points.isfinite()).flatten(2).any(2).cumsum(1) > 0
    return torch.where(lost & ~nme.isnan(), torch.inf, nme), ~lost[:, -1]
