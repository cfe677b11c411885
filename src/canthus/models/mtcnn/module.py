"""MTCNN as a LightningModule: three networks, one after the other, on windows of images and on faces."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from logging import getLogger
from typing import Any

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch
from canthus.data.detection.datamodule import ImageBatch, ImageDataModule
from canthus.geometry import boxes
from canthus.geometry.boxes import overlaps
from canthus.geometry.devices import constant
from canthus.geometry.windows import encode_points, square
from canthus.models.base import LandmarkModel
from canthus.models.estimates import Estimates
from canthus.models.mtcnn.cascade import MTCNNCascade, face_windows
from canthus.models.mtcnn.detect import Detector
from canthus.models.mtcnn.losses import ALPHA, masked_losses
from canthus.models.mtcnn.mining import mine, search
from canthus.models.mtcnn.network import Outputs, normalised
from canthus.models.mtcnn.windows import LANDMARK, POSITIVE_FROM, MinedBoxes, Windows, cut, draw, joined

__all__ = ["MTCNNModule", "WindowEstimates"]

log = getLogger(__name__)

NETS = tuple(ALPHA)
"""Names of the networks, in the order of the stages."""
SMALLEST_LANDMARK_FACE = 40.0
"""Original pixels: the points of smaller faces are not learnt (the ports' rule)."""


@dataclass
class WindowEstimates(Estimates):
    """What a network says of training windows; there are no points of whole faces.

    Attributes:
        windows: what it was shown.
        outputs: what it said.
    """

    windows: Windows = field(kw_only=True)
    outputs: Outputs = field(kw_only=True)


class MTCNNModule(LandmarkModel, MTCNNCascade):
    """Trains MTCNN on the image view (``data.view=image``), network by network.

    R-Net learns from what P-Net takes for faces, O-Net from what both do.

    Args:
        optimizer: see `LandmarkModel`. PReLU slopes have no weight decay, whatever its own is: they would become 0.
        scheduler: see `LandmarkModel`.
        **settings: see `MTCNNCascade`.
    """

    stagewise = True
    mined: MinedBoxes | None = None

    def stage_parameters(self, stage: int) -> Iterator[nn.Parameter]:
        """Of one network."""
        return self.network.stage_parameters(stage)

    def parameter_groups(self) -> list[Any]:
        """Slopes of PReLUs apart, without weight decay."""
        parameters = super().parameter_groups()
        slopes = {id(p) for module in self.modules() if isinstance(module, nn.PReLU) for p in module.parameters()}
        return [
            {"params": [parameter for parameter in parameters if id(parameter) not in slopes]},
            {"params": [parameter for parameter in parameters if id(parameter) in slopes], "weight_decay": 0.0},
        ]

    # -- what it says ------------------------------------------------------------------------------------------------

    def estimates(self, batch: Batch | ImageBatch) -> Estimates:
        """Points of every active network in the square about the face box; in training, what it says of windows."""
        if "pixels" in batch:
            return self._window_estimates(batch)  # type: ignore[arg-type]
        if self.training:
            raise ValueError("MTCNN trains on whole images; set data.view=image")
        return super().estimates(batch)

    def _window_estimates(self, batch: ImageBatch) -> WindowEstimates:
        data: ImageDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        faces = batch["faces"]
        assert faces is not None
        net = self.network.stages[self._stage]
        unit = max(len(faces["index"]) // 2, 1)  # negatives, positives, parts and landmarks are 3 : 1 : 1 : 2
        squares, kind = draw(batch, 3 * unit, unit, unit, self.mined)
        windows = joined(cut(batch, squares, kind, net.window), self._landmark_windows(faces, net.window))
        image = normalised(data.change_pixels(windows.image)).contiguous(memory_format=torch.channels_last)
        outputs = net(image)
        return WindowEstimates(points=[], windows=windows, outputs=Outputs(*(part.flatten(1) for part in outputs)))

    def _landmark_windows(self, faces: Batch, size: int) -> Windows:
        """Jittered squares about faces: augmentation has moved the faces in the input, the square stays."""
        count = len(faces["index"])
        box = faces["box"]
        squares = constant(self.input.reference_box, box, box.dtype).expand(count, 4)
        shares = encode_points(squares, faces["landmarks"])
        original = faces["to_original"][:, :, 0].norm(dim=1) * boxes.side(faces["box"])
        good = ((shares > 0) & (shares < 1)).all(1) & (faces["visibility"] > 0).all(1)
        good &= (overlaps(squares[:1], square(faces["box"]))[0] > POSITIVE_FROM) & (original >= SMALLEST_LANDMARK_FACE)
        return Windows(
            image=face_windows(faces["image"], squares, size),
            kind=torch.full((count,), LANDMARK, device=shares.device),
            offsets=shares.new_zeros(count, 4),
            landmarks=torch.where(good[:, None], shares, 0),
            weight=good.to(shares),
        )

    def losses(self, batch: Batch | ImageBatch, estimates: Estimates) -> Mapping[str, Tensor]:
        """Losses of the three tasks, weighted as in the paper."""
        assert isinstance(estimates, WindowEstimates)
        parts = masked_losses(estimates.outputs, estimates.windows, ohem=self.ohem, share=self.hard_share)
        weights = dict(zip(("face", "box", "landmarks"), ALPHA[NETS[self._stage]], strict=True))
        if not self.joint_landmarks:
            weights["landmarks"] = 0.0
        return {name: weights[name] * part for name, part in parts.items()}

    # -- stages ------------------------------------------------------------------------------------------------------

    @property
    def _stage(self) -> int:
        """The network that trains.

        Raises:
            ValueError: several at once.
        """
        if len(self.trained_stages) != 1:
            raise ValueError(
                f"MTCNN trains one network after the other, not {[stage + 1 for stage in self.trained_stages]} "
                "together; give each phase of callbacks.stages one stage"
            )
        return self.trained_stages[0]

    def train_stages(
        self, stages: Sequence[int], epochs: int | None = None, *, begin: int = 0, pretrain: bool = False
    ) -> None:
        """As the base; what was mined for another phase is forgotten."""
        super().train_stages(stages, epochs, begin=begin, pretrain=pretrain)
        self.mined = None

    def on_train_epoch_start(self) -> None:
        """Mine hard examples when a phase of R- or O-Net begins, or is resumed."""
        if self._stage and self.mined is None:
            self.mined = self._mine()

    def _mine(self) -> MinedBoxes:
        mined = mine(
            self._detector((*self.mining_thresholds, 0.5)),
            self.trainer.datamodule,  # type: ignore[attr-defined]
            self._stage,
            rank=self.global_rank,
            world=self.trainer.world_size,
            show=self.trainer.is_global_zero and self.trainer.progress_bar_callback is not None,
        )
        log.info("%d boxes of earlier networks to learn from in %d images", len(mined.box), len(mined.begin) - 1)
        return mined

    def _detector(self, thresholds: Sequence[float]) -> Detector:
        return Detector(
            self.network,
            min_size=self.smallest_face,
            factor=self.factor,
            thresholds=thresholds,
            candidates=self.candidates,
        )

    # -- detection ---------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Estimates of faces, or detections in images, for the evaluators."""
        if "pixels" not in batch:
            return super().validation_step(batch, batch_idx)
        found = search(self._detector(self.thresholds), batch, self.depth)
        shrink = batch["shrink"]
        return {
            "detections": [
                [((stage.boxes + 0.5) * scale - 0.5, stage.scores) for stage in stages]
                for scale, stages in zip(shrink, zip(*found, strict=True), strict=True)
            ]
        }

    test_step = validation_step
