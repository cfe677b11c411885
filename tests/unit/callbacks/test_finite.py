"""A training that is no longer finite ends before anything of it is measured or kept."""

import math
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import nn

from canthus.callbacks.checkpoint import Checkpoint, Kept
from canthus.callbacks.finite import Finite
from canthus.utils.errors import RunError


class Diverging(BoringModel):
    """Spoils the loss or a weight in one batch of one epoch."""

    def __init__(self, epoch: int, batch: int, kind: str, value: float = math.nan) -> None:
        super().__init__()
        self.at, self.kind, self.value = (epoch, batch), kind, value
        self.validated: list[int] = []

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)["loss"]
        now = (self.current_epoch, batch_idx) == self.at
        if now and self.kind == "weight":
            self.layer.bias.data[1] = self.value
        return {"loss": loss * self.value if now and self.kind == "loss" else loss}

    def on_validation_epoch_start(self) -> None:
        self.validated.append(self.current_epoch)

    def validation_step(self, batch, batch_idx):
        loss = super().validation_step(batch, batch_idx)["x"]
        self.log("val/loss", loss)
        return {"x": loss}


def fit(model: nn.Module, folder: Path, **settings: object) -> None:
    last = Checkpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    best = Checkpoint(folder, "best", monitor="val/loss", enable_version_counter=False)
    given = {"max_epochs": 4, "limit_train_batches": 3, "limit_val_batches": 1, "accelerator": "cpu", "logger": False}
    given |= {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    lightning.Trainer(callbacks=[last, best, Finite()], **given | settings).fit(model)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["loss", "weight"])
@pytest.mark.parametrize("validated", [True, False])
def test_the_first_such_epoch_ends_it(kind: str, value: float, validated: bool, tmp_path: Path) -> None:
    model = Diverging(2, 1, kind, value)
    with pytest.raises(RunError) as told:
        fit(model, tmp_path, limit_val_batches=int(validated))
    # a weight shows in the loss of the batch after
    assert str(told.value).startswith(
        f"the loss of batch {1 if kind == 'loss' else 2} is not finite any more, in epoch 2 "
    )
    assert "The checkpoints are of before, up to epoch 1" in str(told.value)
    assert model.validated == [0, 1] * validated
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 1
    for path in tmp_path.glob("*.ckpt"):
        assert all(value.isfinite().all() for value in torch.load(path, weights_only=True)["state_dict"].values())


def test_a_weight_that_no_later_batch_meets_is_found(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^the weight layer.bias is not finite .*No checkpoint was kept"):
        fit(Diverging(0, 2, "weight"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_infinite_buffers_may_be_meant(tmp_path: Path) -> None:
    model = Diverging(9, 9, "none")
    model.register_buffer("mask", torch.full((3,), -math.inf))
    fit(model, tmp_path)
    model.mask.fill_(math.nan)
    with pytest.raises(RunError, match="the buffer mask"):
        fit(model, tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_epoch_without_a_finite_metric_is_never_the_best(value: float, tmp_path: Path) -> None:
    class Unmeasured(Diverging):
        def validation_step(self, batch, batch_idx):
            self.log("val/loss", value if self.current_epoch % 2 == 0 else 1.0 / self.current_epoch)

    for mode in ("min", "max"):
        folder = tmp_path / mode
        best = Checkpoint(folder, "best", monitor="val/loss", mode=mode, enable_version_counter=False)
        trainer = lightning.Trainer(
            max_epochs=4, limit_train_batches=1, limit_val_batches=1, accelerator="cpu", logger=False, callbacks=[best],
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(Unmeasured(9, 9, "none"))
        assert float(best.best_model_score) == pytest.approx(1 / 3 if mode == "min" else 1.0)
        assert torch.load(folder / "best.ckpt", weights_only=True)["epoch"] == (3 if mode == "min" else 1)


class Cascade:
    def __init__(self, depth: int, num_stages: int) -> None:
        self.depth, self.num_stages = depth, num_stages


@pytest.mark.parametrize(
    ("best", "trained", "stages", "words"),
    [
        (2, 2, 2, None),
        (1, 2, 2, "stage 2 never improved on stage 1: best.ckpt is of epoch 4 and holds stage 1 of 2"),
        (1, 3, 3, "stages 2 to 3 never improved on stage 1: best.ckpt is of epoch 4 and holds stage 1 of 3"),
        (2, 3, 4, "stage 3 never improved on stage 2: best.ckpt is of epoch 4 and holds stages 1 to 2 of 4"),
        (1, 1, 2, "the training ended before stage 2: best.ckpt is of epoch 4 and holds stage 1 of 2"),
    ],
)
def test_what_the_best_checkpoint_holds(best: int, trained: int, stages: int, words: str | None) -> None:
    assert Kept(4, best).compared(Cascade(trained, stages)) == words
