"""The shared protocol: errors of every stage against the labels, in original pixels, over all processes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import Tensor

from canthus.callbacks.passes import PassCallback
from canthus.data.batch import Batch
from canthus.evaluation.evaluation import Evaluation
from canthus.evaluation.normalisers import check_normaliser, known_normalisers, other_normalisers, with_label_distances
from canthus.evaluation.poses import PoseErrors, true_poses
from canthus.geometry import affine
from canthus.geometry.generic_face import SCHEME
from canthus.metrics import FaceErrors, FacePoses
from canthus.models.estimates import Estimates
from canthus.schemes import Scheme, reduce_points
from canthus.utils.errors import DataError

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["Evaluator"]


class Evaluator(PassCallback):
    """Measures normalised mean error, AUC and failure rate per stage and subset, on validation and test.

    Logged as ``<split>/nme_<normaliser>`` (last stage, all faces), ``..._stage<n>`` and ``..._<subset>``, in percent.
    For methods that estimate the head's pose also ``<split>/mae_pose`` and ``<split>/geodesic_pose``, in degrees.
    Where the data has fewer points than the model places (``data.scheme=5``), the estimates are reduced as the labels
    are.

    Args:
        normaliser: see `canthus.metrics.normaliser_distance`.
        threshold: of failure rate and AUC, percent.
        normalisers: further ones whose NME is reported beside; ``"all"`` for every one of the scheme.
    """

    def __init__(
        self,
        normaliser: str = "inter_ocular",
        threshold: float = 8.0,
        normalisers: str | Sequence[str] = (),
    ) -> None:
        self.normaliser, self.threshold, self.normalisers = normaliser, threshold, normalisers
        self.result: Evaluation | None = None
        self._errors: FaceErrors | None = None
        self._poses: FacePoses | None = None
        self._has_initial = self._has_bound = False
        self._reduced_from: Scheme | None = None

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Refuse a normaliser or a scheme that cannot be evaluated before anything is trained.

        Raises:
            DataError: naming those that can.
        """
        data: FaceDataModule = trainer.datamodule  # type: ignore[attr-defined]
        check_normaliser(self.normaliser, data)
        self._others(data)
        scheme: Scheme = pl_module.scheme  # type: ignore[assignment]
        self._reduced_from = None if scheme.name == data.scheme.name else scheme
        if self._reduced_from and data.scheme.name not in scheme.reductions:
            raise DataError(
                f"data.scheme={data.scheme.name}: the model places the points of scheme {scheme.name!r}, which reduces "
                f"to {', '.join(scheme.reductions) or 'no other'}; choose one of these"
            )

    def _begin(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        data: FaceDataModule = trainer.datamodule  # type: ignore[attr-defined]
        # gathered under a distance that every face has, whatever its points; measured under the chosen one at the end
        self._errors = FaceErrors(data.scheme.name, "face_box").to(pl_module.device)
        self._poses = FacePoses().to(pl_module.device)
        self._has_bound = data.scheme.name == SCHEME

    def _add(self, outputs: Any, batch: Batch) -> None:
        if "estimates" not in outputs:  # of images: another evaluator's
            return
        estimates: Estimates = outputs["estimates"]
        assert self._errors is not None
        to_original = batch["to_original"]
        self._has_initial = estimates.initial is not None
        shapes = [*estimates.points] if estimates.initial is None else [estimates.initial, *estimates.points]
        if estimates.pose is not None:
            shapes += self._add_poses(estimates.pose, batch)
        points = affine.apply(to_original[:, None], torch.stack(shapes, 1).float())
        if self._reduced_from:
            reduced = reduce_points(points.double().cpu().numpy(), self._reduced_from, self._errors.scheme)
            points = torch.from_numpy(reduced).to(points)
        landmarks = affine.apply(to_original, batch["landmarks"])
        # the crop is upright outside training, so corners map to corners
        box = affine.apply(to_original, batch["box"].unflatten(1, (2, 2))).flatten(1)
        self._errors.update(batch["index"], points, landmarks, batch["visibility"], box)

    def _add_poses(self, pose: Tensor, batch: Batch) -> list[Tensor]:
        """Note poses beside true ones, and give the projected true face, which is measured like a stage of its own."""
        assert self._poses is not None
        truth, points = torch.full_like(pose, torch.nan), []
        if self._has_bound:
            truth, projected = true_poses(batch)
            points = [projected]
        self._poses.update(batch["index"], pose, truth)
        return points

    def _finish(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, split: str) -> None:
        assert self._errors is not None
        if not self._errors.update_called:
            return
        data: FaceDataModule = trainer.datamodule  # type: ignore[attr-defined]
        others = self._others(data)
        table = with_label_distances(self._errors.compute(), (self.normaliser, *others), data, split)
        table = table.under(self.normaliser, data.scheme)
        self._errors = None
        poses = bound = None
        if self._poses is not None and self._poses.update_called:
            bound = table.nme[:, -1] if self._has_bound else None
            poses = PoseErrors.of(self._poses.compute(), data.faces(split), bound)
        self._poses = None
        if bound is not None:
            table = replace(table, points=table.points[:, :-1], nme=table.nme[:, :-1])
        initial = None
        if self._has_initial:  # it went through the metric as a stage before the first
            initial = table.nme[:, 0]
            table = replace(table, points=table.points[:, 1:], nme=table.nme[:, 1:])
        self.result = Evaluation.of(
            split,
            table,
            data.subset_members(split),
            data.scheme,
            threshold=self.threshold,
            normalisers=others,
            initial=initial,
            poses=poses,
        )
        for name, value in self._logged(self.result).items():
            pl_module.log(f"{split}/{name}", value, prog_bar=name == f"nme_{self.normaliser}", rank_zero_only=False)

    def _others(self, data: "FaceDataModule") -> tuple[str, ...]:
        return other_normalisers(self.normalisers, self.normaliser, known_normalisers(data))

    def _logged(self, result: Evaluation) -> dict[str, float]:
        nme = f"nme_{self.normaliser}"
        # over all faces, infinite where one was lost: no checkpoint is the best for its mean over the others
        errors = {name: table.nme.nanmean(0).tolist() for name, table in result.subsets.items()}
        full, stages = result.summaries()["full"], errors.pop("full")
        values = {nme: stages[-1], "auc": full["auc"], "failure_rate": full["failure_rate"]}
        values |= {f"{nme}_stage{number}": value for number, value in enumerate(stages, 1)}
        if result.poses:
            pose = result.poses["full"].summary()
            values |= {f"{name}_pose": pose[name] for name in ("mae", "geodesic") if name in pose}
        return values | {f"{nme}_{name}": per_stage[-1] for name, per_stage in errors.items()}
