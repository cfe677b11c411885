"""Landmark metrics that gather faces over batches and processes. All the arithmetic is in `functional`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from canthus.metrics import functional
from canthus.metrics.table import FaceTable
from canthus.schemes import load_scheme

__all__ = ["AreaUnderCurve", "CumulativeErrorDistribution", "FaceErrors", "FailureRate", "NormalisedMeanError"]

STATES = ("index", "points", "landmarks", "visibility", "box")


class FaceMetric(Metric):
    """Keeps every face it is shown; subclasses say what to compute from the table.

    Whole faces are kept, not sums, because a face that a distributed sampler repeats can then be dropped again, and
    because AUC and subsets need single errors. 68 points and four stages are about 3 kB per face.

    Args:
        scheme: name of the landmark scheme, such as ``"68"``.
        normaliser: one of `canthus.metrics.normaliser_names` of the scheme.
        **kwargs: of `torchmetrics.Metric`.

    Raises:
        ValueError: an unknown scheme, or a normaliser that it does not have.
    """

    is_differentiable = False
    full_state_update = False

    index: list[Tensor]
    points: list[Tensor]
    landmarks: list[Tensor]
    visibility: list[Tensor]
    box: list[Tensor]

    def __init__(self, scheme: str, normaliser: str = "inter_ocular", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        names = functional.normaliser_names(load_scheme(scheme))
        if normaliser not in names:
            raise ValueError(f"scheme {scheme!r} has no normaliser {normaliser!r}; choose one of {', '.join(names)}")
        self.scheme, self.normaliser = scheme, normaliser
        for state in STATES:
            self.add_state(state, [], dist_reduce_fx="cat")

    def update(self, index: Tensor, points: Tensor, landmarks: Tensor, visibility: Tensor, box: Tensor) -> None:
        """Add a batch. Legend: B batch, S stages, K landmarks.

        Args:
            index: (B,) integers, the same for the same face in every process.
            points: (B, S, K, 2) estimates, original-image pixels; S stays the same until `reset`.
            landmarks: (B, K, 2) labels, original-image pixels; anything where not labelled.
            visibility: (B, K) codes 0, 1, 2.
            box: (B, 4) face boxes ``xyxy``, original-image pixels.

        Raises:
            ValueError: shapes that do not belong together or to the scheme, or a changed number of stages.
        """
        b, k = len(index), load_scheme(self.scheme).num_landmarks
        stages = self.points[0].shape[1] if self.points else points.shape[1] if points.ndim == 4 else -1
        given = [tuple(tensor.shape) for tensor in (index, points, landmarks, visibility, box)]
        needed = [(b,), (b, stages, k, 2), (b, k, 2), (b, k), (b, 4)]
        if given != needed:
            raise ValueError(
                f"index, points, landmarks, visibility and box have the shapes {given}; with scheme {self.scheme!r} "
                f"and {stages if stages > 0 else 'S'} stage(s) they must be {needed}; call reset() between epochs"
            )
        # half precision is coarser than a pixel, and undetached points would keep the network's graph alive
        dtype = torch.promote_types(torch.promote_types(points.dtype, landmarks.dtype), torch.float32)
        self.index.append(index.detach().long())
        self.points.append(points.detach().to(dtype))
        self.landmarks.append(landmarks.detach().to(dtype))
        self.visibility.append(visibility.detach().to(torch.uint8))
        self.box.append(box.detach().to(dtype))

    def _table(self) -> FaceTable:
        """The table of everything gathered.

        Raises:
            ValueError: no faces yet, or a face without the normaliser.
        """
        if len(self.index) == 0:
            raise ValueError(f"{type(self).__name__} has seen no faces; call update() before compute()")
        columns: dict[str, Any] = {state: dim_zero_cat(getattr(self, state)) for state in STATES}
        return FaceTable.build(**columns, normaliser=self.normaliser, scheme=load_scheme(self.scheme))


class FaceErrors(FaceMetric):
    """The `FaceTable` of all faces shown: what evaluations start from."""

    def compute(self) -> FaceTable:
        """Every face once, sorted by index."""
        return self._table()

    def _wrap_compute(self, compute: Callable[[], FaceTable]) -> Callable[[], FaceTable]:
        """Keep torchmetrics from walking into the table: it would turn the columns of a single face into scalars."""
        wrapped = super()._wrap_compute(lambda: _Sealed(compute()))
        return lambda: wrapped().table


class _Sealed:
    """A table that functions over collections and data classes pass by."""

    def __init__(self, table: FaceTable) -> None:
        self.table = table


class StageMetric(FaceMetric):
    """One number per data set, of one stage.

    Args:
        scheme: name of the landmark scheme.
        normaliser: one of `canthus.metrics.normaliser_names` of the scheme.
        stage: which estimate counts; the last by default.
        **kwargs: of `torchmetrics.Metric`.
    """

    def __init__(self, scheme: str, normaliser: str = "inter_ocular", *, stage: int = -1, **kwargs: Any) -> None:
        super().__init__(scheme, normaliser, **kwargs)
        self.stage = stage

    def _nme(self) -> Tensor:
        """(N,) percent, of the chosen stage."""
        nme = self._table().nme
        if not -nme.shape[1] <= self.stage < nme.shape[1]:
            raise ValueError(f"stage {self.stage} does not exist; the estimates have {nme.shape[1]} stage(s), from 0")
        return nme[:, self.stage]


class NormalisedMeanError(StageMetric):
    """Mean over faces of `functional.nme_per_face`, in percent; faces without a labelled point are left out."""

    higher_is_better = False

    def compute(self) -> Tensor:
        """Scalar, percent."""
        return self._nme().nanmean()


class AreaUnderCurve(StageMetric):
    """`functional.area_under_curve`, in percent.

    Args:
        scheme: name of the landmark scheme.
        normaliser: one of `canthus.metrics.normaliser_names` of the scheme.
        threshold: percent; 8 is the custom of 300-W, 10 of WFLW and COFW, 7 (with ``box``) of COFW-68 and MERL-RAV.
        stage: which estimate counts.
        **kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = True

    def __init__(
        self, scheme: str, normaliser: str = "inter_ocular", *, threshold: float = 8.0, stage: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(scheme, normaliser, stage=stage, **kwargs)
        self.threshold = _positive(threshold)

    def compute(self) -> Tensor:
        """Scalar, percent."""
        return functional.area_under_curve(self._nme(), self.threshold)


class FailureRate(StageMetric):
    """`functional.failure_rate`, in percent of the faces.

    Args:
        scheme: name of the landmark scheme.
        normaliser: one of `canthus.metrics.normaliser_names` of the scheme.
        threshold: percent; a face fails strictly above it.
        stage: which estimate counts.
        **kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = False

    def __init__(
        self, scheme: str, normaliser: str = "inter_ocular", *, threshold: float = 8.0, stage: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(scheme, normaliser, stage=stage, **kwargs)
        self.threshold = _positive(threshold)

    def compute(self) -> Tensor:
        """Scalar, percent."""
        return functional.failure_rate(self._nme(), self.threshold)


class CumulativeErrorDistribution(StageMetric):
    """`functional.cumulative_error`: one fraction of the faces per threshold.

    Args:
        scheme: name of the landmark scheme.
        normaliser: one of `canthus.metrics.normaliser_names` of the scheme.
        thresholds: percent; 0 to 10 in steps of 0.1 by default.
        stage: which estimate counts.
        **kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = True

    def __init__(
        self,
        scheme: str,
        normaliser: str = "inter_ocular",
        *,
        thresholds: Sequence[float] | None = None,
        stage: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(scheme, normaliser, stage=stage, **kwargs)
        self.thresholds = tuple(thresholds) if thresholds is not None else tuple(step / 10 for step in range(101))

    def compute(self) -> Tensor:
        """(M,) fractions, in the order of the thresholds."""
        nme = self._nme()
        return functional.cumulative_error(nme, torch.tensor(self.thresholds, dtype=nme.dtype, device=nme.device))


def _positive(threshold: float) -> float:
    if not threshold > 0:
        raise ValueError(f"threshold {threshold} must be positive, in percent of the normaliser (8.0, not 0.08)")
    return threshold
