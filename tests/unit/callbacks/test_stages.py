"""Stages train one after the other, each phase with its own optimiser; the phase survives a resume."""

import lightning
import pytest
import torch

from canthus.callbacks.stages import StageSchedule

PHASES = [{"stages": [0], "length": 1}, {"stages": [1], "length": 1}]


class Watch(lightning.Callback):
    """Keeps what an epoch began with."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, list[int], int]] = []
        self.first: list[torch.Tensor] = []
        self.second: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if batch_idx == 0:
            states = len(trainer.optimizers[0].state)
            self.seen.append((trainer.current_epoch, list(pl_module.trained_stages), states))
            self.first.append(pl_module.network.first.fc2.weight.detach().clone())
            self.second.append(pl_module.network.refinements[0].stage.fc2.weight.detach().clone())


def test_each_phase_trains_its_stage_with_a_fresh_optimiser(make_data, make_model, make_trainer) -> None:
    model, watch = make_model(), Watch()
    make_trainer(StageSchedule(PHASES), watch).fit(model, make_data(model))
    assert [(epoch, stages) for epoch, stages, _ in watch.seen] == [(0, [0]), (1, [0]), (2, [1]), (3, [1])]
    assert [states > 0 for _, _, states in watch.seen] == [False, True, False, True]
    assert not torch.equal(watch.first[0], watch.first[2])
    assert torch.equal(watch.first[2], model.network.first.fc2.weight)
    assert torch.equal(watch.second[0], watch.second[2])
    assert not torch.equal(watch.second[2], model.network.refinements[0].stage.fc2.weight)
    assert model.depth == 2


def test_lengths_are_scaled_to_the_training(make_data, make_model, make_trainer) -> None:
    schedule = StageSchedule([{"stages": [0], "length": 30}, {"stages": [1], "length": 10}])
    model = make_model()
    make_trainer(schedule, max_epochs=8, limit_train_batches=0, limit_val_batches=0).fit(model, make_data(model))
    assert schedule.ends == [6, 8]


@pytest.mark.parametrize(
    ("lengths", "epochs", "ends"),
    [((1, 2), 5, [2, 5]), ((2, 1), 5, [3, 5]), ((1, 1, 1), 5, [2, 3, 5]), ((3, 3), 6, [3, 6]), ((1, 1), 9, [4, 9])],
)
def test_ends_of_phases_are_rounded(lengths, epochs, ends, make_model, make_trainer) -> None:
    """5 / 3 = 1.67 is 2, not 1."""
    model = make_model(stages=3)
    schedule = StageSchedule([{"stages": [number], "length": length} for number, length in enumerate(lengths)])
    schedule.setup(make_trainer(max_epochs=epochs), model, "fit")
    assert schedule.ends == ends
    assert (model.phase_begin, model.phase_epochs) == (0, ends[0])
    schedule.phase = 1
    schedule._apply(model)
    assert (model.phase_begin, model.phase_epochs) == (ends[0], ends[1] - ends[0])


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_resume_inside_and_between_phases(stopped_after, make_data, make_model, make_trainer, tmp_path) -> None:
    checkpoint = tmp_path / "last.ckpt"

    class Stop(lightning.Callback):
        def on_train_epoch_end(self, trainer, pl_module) -> None:
            if trainer.current_epoch + 1 == stopped_after:
                trainer.save_checkpoint(checkpoint)
                trainer.should_stop = True

    model = make_model()
    make_trainer(StageSchedule(PHASES), Stop()).fit(model, make_data(model))
    resumed, watch = make_model(), Watch()
    trainer = make_trainer(StageSchedule(PHASES), watch)
    trainer.fit(resumed, make_data(resumed), ckpt_path=checkpoint)
    expected = [(0, [0]), (1, [0]), (2, [1]), (3, [1])][stopped_after:]
    assert [(epoch, stages) for epoch, stages, _ in watch.seen] == expected
    assert bool(watch.seen[0][2]) == (stopped_after != 2)  # inside a phase the optimiser's state comes back


def test_the_checkpoint_knows_how_far_it_was_trained(make_data, make_model, make_trainer, tmp_path) -> None:
    model = make_model()
    trainer = make_trainer(StageSchedule(PHASES), max_epochs=2)
    trainer.fit(model, make_data(model))
    model.train_stages([0])
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    again = make_model()
    again.load_state_dict(torch.load(tmp_path / "half.ckpt", weights_only=True)["state_dict"])
    assert again.depth == 1


@pytest.mark.parametrize("phase", [{}, {"stages": []}, {"stages": [0], "length": 0}, {"stages": [0], "epochs": 3}])
def test_phases_that_make_no_sense(phase: dict) -> None:
    with pytest.raises(ValueError, match="needs `stages`"):
        StageSchedule([phase])


def test_a_stage_that_the_model_does_not_have(make_data, make_model, make_trainer) -> None:
    model = make_model(stages=1)
    with pytest.raises(ValueError, match="has 1, counted from 0"):
        make_trainer(StageSchedule(PHASES)).fit(model, make_data(model))


def test_methods_that_pretrain_do_so_first(make_model, make_trainer, monkeypatch) -> None:
    model, schedule = make_model(), StageSchedule()
    monkeypatch.setattr(type(model), "pretrains", True)
    schedule.setup(make_trainer(max_epochs=10), model, "fit")
    assert schedule.ends == [1, 5, 6, 10]
    assert [phase.pretrain for phase in schedule.phases] == [True, False, True, False]
    assert (model.trained_stages, model.pretraining, model.phase_begin, model.phase_epochs) == ([0], True, 0, 1)


def test_pretraining_where_there_is_none(make_data, make_model, make_trainer) -> None:
    model = make_model()
    with pytest.raises(ValueError, match="has no pretraining"):
        make_trainer(StageSchedule([{"stages": [0], "pretrain": True}])).fit(model, make_data(model))
