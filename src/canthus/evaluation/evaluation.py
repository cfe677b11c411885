"""What one pass over a split found, and the numbers that reports show of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from canthus.data.face import OCCLUDED
from canthus.evaluation.poses import PoseErrors
from canthus.metrics import FaceTable, bootstrap_interval
from canthus.schemes import Scheme
from canthus.utils.errors import DataError

__all__ = ["Evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """Errors of every face of a split.

    Attributes:
        split: ``val`` or ``test``.
        table: every face once.
        subsets: name -> table of its faces; ``full`` first.
        threshold: of failure rate and AUC, percent of the normaliser.
        initial: subset -> (N,) NME of the shape that the cascade started from (for most methods the mean shape in the
            face box: the baseline that a model must leave behind); empty if the method starts from nothing.
        others: further normaliser -> subset -> table of the same faces under it.
        poses: subset -> head poses of the same faces; empty if the method or the data set has none.
    """

    split: str
    table: FaceTable
    subsets: Mapping[str, FaceTable]
    threshold: float
    initial: Mapping[str, Tensor]
    others: Mapping[str, Mapping[str, FaceTable]]
    poses: Mapping[str, PoseErrors]

    @classmethod
    def of(
        cls,
        split: str,
        table: FaceTable,
        members: Mapping[str, Tensor],
        scheme: Scheme,
        *,
        threshold: float,
        normalisers: Sequence[str] = (),
        initial: Tensor | None = None,
        poses: PoseErrors | None = None,
    ) -> "Evaluation":
        """Divide a table into subsets and measure it under further normalisers.

        Args:
            split: ``val`` or ``test``.
            table: of its faces.
            members: subset -> (M,) bool over the whole split, by index.
            scheme: of the landmarks.
            threshold: percent of the table's normaliser.
            normalisers: further ones.
            initial: (N,) NME of the starting shape.
            poses: of the table's faces.

        Raises:
            DataError: a further normaliser that some face does not allow.
        """
        masks = {"full": torch.ones(len(table), dtype=torch.bool)}
        for name, member in members.items():
            mask = member[table.index.cpu()]
            if mask.any():
                masks[name] = mask
        others = {}
        for normaliser in normalisers:
            try:
                whole = table.under(normaliser, scheme)
            except ValueError as error:
                raise DataError(f"normalisers={normaliser}: {error}") from error
            others[normaliser] = {name: whole.select(mask) for name, mask in masks.items()}
        begins = {} if initial is None else {name: initial[mask.to(initial.device)] for name, mask in masks.items()}
        subsets = {name: table.select(mask) for name, mask in masks.items()}
        turned = {} if poses is None else {name: poses.select(mask) for name, mask in masks.items()}
        return cls(split, table, subsets, threshold, begins, others, turned)

    def summaries(self) -> dict[str, dict[str, Any]]:
        """NME, AUC and failure rate per subset: what is logged after every pass."""
        summaries = {name: table.summary(self.threshold) for name, table in self.subsets.items()}
        for name, nme in self.initial.items():
            measured = nme[self.subsets[name].found]
            if len(measured):
                summaries[name]["nme_initial"] = measured.nanmean().item()
        return summaries

    def report(self) -> dict[str, dict[str, Any]]:
        """The ``subsets`` of metrics.json: the summaries, intervals, visible points, further normalisers, poses."""
        report = self.summaries()
        for name, table in self.subsets.items():
            found = table.select(table.found)
            if interval := bootstrap_interval(found.nme[:, -1].cpu().numpy()):
                report[name]["nme_interval"] = list(interval)
            if bool((table.visibility == OCCLUDED).any()):
                nme = found.visible_nme()[:, -1]
                seen = int((~nme.isnan()).sum())
                report[name]["visible_only"] = {"faces": seen, "nme": nme.nanmean().item() if seen else None}
            for normaliser, tables in self.others.items():
                numbers = tables[name].summary(self.threshold)
                chosen = {key: numbers[key] for key in ("nme", "nme_per_stage")}
                report[name].setdefault("other_normalisers", {})[normaliser] = chosen
            if name in self.poses:
                report[name]["pose"] = self.poses[name].summary()
        return report
