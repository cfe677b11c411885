"""The moving average: its arithmetic, that it is what is evaluated and kept, and that a resume changes nothing."""

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from canthus.callbacks.ema import EMA
from canthus.callbacks.evaluator import Evaluator
from canthus.callbacks.seeding import EpochSeed
from canthus.callbacks.stages import StageSchedule


class Watch(lightning.Callback):
    """Keeps one weight after every step, and what validation ran on."""

    def __init__(self) -> None:
        self.trained: list[torch.Tensor] = []
        self.validated: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        self.trained.append(self.of(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, *_) -> None:
        self.validated.append(self.of(pl_module))

    def of(self, model) -> torch.Tensor:
        """Of the first stage."""
        return model.network.first.fc2.weight.detach().clone()


class WatchSecond(Watch):
    """The same of the second stage."""

    def of(self, model) -> torch.Tensor:
        return model.network.refinements[0].stage.fc2.weight.detach().clone()


def average_of(weights: list[torch.Tensor], decay: float) -> torch.Tensor:
    average = weights[0]
    for n, weight in enumerate(weights[1:], start=1):
        d = min(decay, (1 + n) / (10 + n))
        average = d * average + (1 - d) * weight
    return average


def test_validation_sees_the_average_and_training_goes_on_without_it(make_data, make_model, make_trainer) -> None:
    model, watch = make_model(stages=1), Watch()
    make_trainer(watch, EMA(decay=0.5), max_epochs=3).fit(model, make_data(model))
    steps = len(watch.trained) // 3
    for epoch, seen in enumerate(watch.validated[:: len(watch.validated) // 3]):
        expected = average_of(watch.trained[: (epoch + 1) * steps], 0.5)
        torch.testing.assert_close(seen, expected, atol=1e-6, rtol=1e-5)
    assert (watch.trained[-1] - watch.validated[-1]).abs().max() > 1e-5
    # after the training the model is the average
    torch.testing.assert_close(model.network.first.fc2.weight.detach(), watch.validated[-1])


def test_what_is_no_floating_point_number_is_copied(make_data, make_model, make_trainer) -> None:
    model = make_model(stages=2)
    make_trainer(StageSchedule(), EMA(), max_epochs=2).fit(model, make_data(model))
    assert model.active_stages == 2
    assert model.initialised
    assert model.begun.tolist() == [True, True]
    assert model.network.mean_shape.abs().sum() > 0


def test_the_checkpoint_holds_what_was_evaluated(make_data, make_model, make_trainer, tmp_path) -> None:
    best = ModelCheckpoint(tmp_path, filename="best", monitor="val/nme_inter_ocular")
    model = make_model(stages=1)
    data = make_data(model)
    trainer = make_trainer(EMA(decay=0.9), best, enable_checkpointing=True)
    trainer.fit(model, data)
    score = float(best.best_model_score)
    trainer.validate(model, data, ckpt_path=best.best_model_path, weights_only=True, verbose=False)
    assert float(trainer.callback_metrics["val/nme_inter_ocular"]) == pytest.approx(score, rel=1e-6)
    # and so for whoever loads it without the callback
    plain = make_model(stages=1)
    plain.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    evaluator = make_trainer()
    evaluator.validate(plain, data, verbose=False)
    assert float(evaluator.callback_metrics["val/nme_inter_ocular"]) == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize(
    "stopped_after", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_resume_is_bitwise_exact(stopped_after: int, make_data, make_model, make_trainer, tmp_path) -> None:
    """Inside the first stage, at the change of stages, and inside the second."""

    class Stop(lightning.Callback):
        def on_train_epoch_end(self, trainer, pl_module) -> None:
            if trainer.current_epoch + 1 == stopped_after:
                trainer.save_checkpoint(tmp_path / "last.ckpt")
                trainer.should_stop = True

    def callbacks() -> list[lightning.Callback]:
        return [EpochSeed(0), StageSchedule(), EMA(decay=0.9)]

    whole = make_model()
    make_trainer(*callbacks()).fit(whole, make_data(whole))
    broken = make_model()
    make_trainer(*callbacks(), Stop()).fit(broken, make_data(broken))
    resumed = make_model()
    trainer = make_trainer(*callbacks())
    trainer.fit(resumed, make_data(resumed), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_finished_stage_takes_its_average_and_the_next_begins_anew(make_data, make_model, make_trainer) -> None:
    model, watch, second = make_model(), Watch(), WatchSecond()
    make_trainer(StageSchedule(), watch, second, EMA(decay=0.999)).fit(model, make_data(model))
    half = len(watch.trained) // 2
    finished = average_of(watch.trained[:half], 0.999)
    for weight in (*watch.trained[half:], *watch.validated[-2:], model.network.first.fc2.weight.detach()):
        torch.testing.assert_close(weight, finished, atol=1e-6, rtol=1e-5)
    # the average of the second stage counts its own steps from 0, and knows nothing of the weights it began with
    anew = average_of(second.trained[half:], 0.999)
    torch.testing.assert_close(second.validated[-1], anew, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model.network.refinements[0].stage.fc2.weight.detach(), anew, atol=1e-6, rtol=1e-5)
    assert (anew - average_of(second.trained, 0.999)).abs().max() > 1e-5


def test_the_ramp_of_the_decay() -> None:
    """TensorFlow's: (1 + n) / (10 + n), up to the decay asked for."""
    from canthus.callbacks.ema import _average

    average, value = torch.tensor([1.0]), torch.tensor([0.0])
    for n, expected in ((0, 1 / 10), (1, 2 / 11), (8, 9 / 18), (1000, 0.9)):
        assert float(_average(0.9, average, value, n)) == pytest.approx(expected)


def test_validation_before_the_first_step_is_of_the_model_itself(make_data, make_model, make_trainer) -> None:
    model, watch = make_model(stages=1), Watch()
    make_trainer(watch, EMA(), max_epochs=1, num_sanity_val_steps=1).fit(model, make_data(model))
    assert watch.validated[0].abs().sum() > 0
    torch.testing.assert_close(watch.validated[0], make_model(stages=1).network.first.fc2.weight.detach())


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_decays_that_average_nothing(decay: float) -> None:
    with pytest.raises(ValueError, match=r"callbacks\.ema\.decay"):
        EMA(decay)


def test_no_evaluator_is_needed(make_data, make_model, make_trainer) -> None:
    trainer = make_trainer(EMA(), max_epochs=1, limit_val_batches=0)
    trainer.callbacks = [callback for callback in trainer.callbacks if not isinstance(callback, Evaluator)]
    model = make_model(stages=1)
    trainer.fit(model, make_data(model))
    assert model.network.mean_shape.abs().sum() > 0
