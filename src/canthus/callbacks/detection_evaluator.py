"""How well a model finds the faces of held-out images, after each of its stages, over all processes."""

from typing import TYPE_CHECKING, Any

import lightning

from canthus.callbacks.passes import PassCallback
from canthus.evaluation.detection import DetectionResult, _result
from canthus.metrics.proposals import GatheredDetections

if TYPE_CHECKING:
    from canthus.data.detection.datamodule import ImageDataModule

__all__ = ["DetectionEvaluator"]


class DetectionEvaluator(PassCallback):
    """Measures average precision and the recall of every stage on validation and test images.

    Logged as ``<split>/ap``, ``<split>/recall`` (last stage) and ``..._stage<n>``, in percent. Steps without
    ``detections`` among their outputs are none of its business.

    Args:
        iou: overlap from which a box is true.
    """

    def __init__(self, iou: float = 0.5) -> None:
        self.iou = iou
        self.result: DetectionResult | None = None
        self._found: GatheredDetections | None = None

    def _begin(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._found = GatheredDetections().to(pl_module.device)

    def _add(self, outputs: Any, batch: Any) -> None:
        assert self._found is not None
        if "detections" in outputs:
            self._found.update(batch["index"], outputs["detections"])

    def _finish(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, split: str) -> None:
        assert self._found is not None
        if not self._found.update_called:
            return
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
        photos, found = self._found.compute()
        self._found = None
        self.result = _result(split, photos, found, data, self.iou)
        values = {"ap": self.result.average_precision, "recall": self.result.recall}
        for name, stages in values.items():
            pl_module.log(f"{split}/{name}", stages[-1], prog_bar=name == "ap", rank_zero_only=False)
            for number, value in enumerate(stages, 1):
                pl_module.log(f"{split}/{name}_stage{number}", value, rank_zero_only=False)
