"""MTCNN as a LightningModule: three networks, one after the other, on windows of images and on faces."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from logging import getLogger
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_iou

from canthus.data.batch import Batch, InputSpec
from canthus.data.detection.datamodule import PhotoBatch, PhotoDataModule
from canthus.geometry import boxes
from canthus.geometry.warp import warp
from canthus.geometry.windows import crop_maps, decode_points, encode_points, square
from canthus.models.base import LandmarkModel
from canthus.models.estimates import Estimates
from canthus.models.mtcnn.detect import Detector
from canthus.models.mtcnn.losses import ALPHA, masked_losses
from canthus.models.mtcnn.mining import mine, search
from canthus.models.mtcnn.network import MTCNN, Outputs
from canthus.models.mtcnn.windows import LANDMARK, POSITIVE_FROM, MinedBoxes, Windows, cut, draw, joined, normalised

__all__ = ["MTCNNModule", "WindowEstimates"]

log = getLogger(__name__)

SIZE = 96
"""Side of the face view's input, pixels: O-Net's window around the face box, and room for a longer side of it."""
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


class MTCNNModule(LandmarkModel):
    """Multi-task cascaded networks: P-, R- and O-Net detect faces and place five points.

    Trains on the photo view (``data.view=photo``), stage by stage: R-Net on what P-Net takes for faces, O-Net on what
    both do. As a landmark method it answers with every network's points in the square about the given box.

    Args:
        optimizer: see `LandmarkModel`. PReLU slopes have no weight decay, whatever its own is: they would become 0.
        scheduler: see `LandmarkModel`.
        scheme: landmark scheme; only the five points of the paper.
        dropout: of O-Net.
        ohem: online hard example mining: only the 70 % of a batch's windows with the largest loss of classification.
        joint_landmarks: learn landmarks with detection; without, their loss has no weight (the paper's comparison).
        mining_thresholds: scores of P-Net and R-Net from which windows become examples for the next network.
        thresholds: scores of the three networks in validation; low, for average precision ranks all that is found.
        smallest_face: that mining and validation look for, stored pixels.
        factor: from one size of their pyramid to the next.
        candidates: windows of an image that mining and validation hand on to the next network, the surest first.

    Raises:
        ValueError: thresholds of another number than there are networks.
    """

    name = "mtcnn"
    stagewise = True
    schemes = ("5",)

    def __init__(
        self,
        optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None = None,
        scheme: str | int = "5",
        dropout: float = 0.25,
        ohem: bool = True,
        joint_landmarks: bool = True,
        mining_thresholds: Sequence[float] = (0.3, 0.1),
        thresholds: Sequence[float] = (0.5, 0.5, 0.3),
        smallest_face: float = 20.0,
        factor: float = 0.709,
        candidates: int = 500,
    ) -> None:
        super().__init__(scheme=scheme, stages=len(NETS), optimizer=optimizer, scheduler=scheduler)
        if len(mining_thresholds) != 2 or len(thresholds) != 3:
            raise ValueError(
                f"model.mining_thresholds={list(mining_thresholds)} and model.thresholds={list(thresholds)} need a "
                "score for each of two and of three networks"
            )
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
        self.network = MTCNN(dropout=dropout).to(memory_format=torch.channels_last)  # two thirds of the time on a CPU
        self.ohem, self.joint_landmarks = ohem, joint_landmarks
        self.mining_thresholds, self.thresholds = tuple(mining_thresholds), tuple(thresholds)
        self.smallest_face, self.factor, self.candidates = smallest_face, factor, candidates
        self.mined: MinedBoxes | None = None
        self._input = InputSpec(SIZE, 3, boxes.centred_box(SIZE, self.network.onet.window / SIZE))

    @property
    def input(self) -> InputSpec:
        """Twice the face box, at the size that O-Net sees."""
        return self._input

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

    def estimates(self, batch: Batch | PhotoBatch) -> Estimates:
        """Points of every active network in the square about the face box; in training, what it says of windows."""
        if "pixels" in batch:
            return self._window_estimates(batch)  # type: ignore[arg-type]
        if self.training:
            raise ValueError("MTCNN trains on whole photographs; set data.view=photo")
        squares = square(batch["box"])
        points = []
        for net in self.network.stages[: self.depth]:
            outputs = net(normalised(_face_windows(batch["image"], squares, net.window)))
            points.append(decode_points(squares, outputs.landmarks.flatten(1)))
        return Estimates(points=points)

    def _window_estimates(self, batch: PhotoBatch) -> WindowEstimates:
        data: PhotoDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
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
        squares = self.input.reference.to(faces["box"]).expand(count, 4)
        shares = encode_points(squares, faces["landmarks"])
        original = faces["to_original"][:, :, 0].norm(dim=1) * boxes.side(faces["box"])
        good = ((shares > 0) & (shares < 1)).all(1) & (faces["visibility"] > 0).all(1)
        good &= (box_iou(squares[:1], square(faces["box"]))[0] > POSITIVE_FROM) & (original >= SMALLEST_LANDMARK_FACE)
        return Windows(
            image=_face_windows(faces["image"], squares, size),
            kind=torch.full((count,), LANDMARK, device=shares.device),
            offsets=shares.new_zeros(count, 4),
            landmarks=torch.where(good[:, None], shares, 0),
            weight=good.to(shares),
        )

    def losses(self, batch: Batch | PhotoBatch, estimates: Estimates) -> Mapping[str, Tensor]:
        """Losses of the three tasks, weighted as in the paper."""
        assert isinstance(estimates, WindowEstimates)
        parts = masked_losses(estimates.outputs, estimates.windows, ohem=self.ohem)
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
        log.info("%d boxes of earlier networks to learn from in %d photographs", len(mined.box), len(mined.begin) - 1)
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


def _face_windows(image: Tensor, squares: Tensor, size: int) -> Tensor:
    """(B, 3, size, size) windows over squares of (B, 3, H, W) inputs."""
    factor = max(SIZE // (2 * size), 1)  # bilinear sampling would skip pixels: average blocks first
    pooled = functional.avg_pool2d(image, factor) if factor > 1 else image
    return warp(pooled, crop_maps((squares + 0.5) / factor - 0.5, size), size, padding="zeros")
