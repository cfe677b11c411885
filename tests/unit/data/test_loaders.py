import warnings
from itertools import chain

import lightning
import numpy as np
import pytest
import torch

from canthus.data.augment import Augmentation
from canthus.data.datamodule import EpochSampler
from canthus.geometry import affine
from canthus.utils.errors import DataError

# there may be no GPU to pin for
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")


def shown(module, split, *, augment=False):
    """Every face of a split, in batches, as the model would see it."""
    loader = {"train": module.train_dataloader, "val": module.val_dataloader, "test": module.test_dataloader}[split]()
    return [module.to_input(batch, split, augment=augment) for batch in loader]


def originals(faces, batch):
    return torch.from_numpy(np.stack([faces[i].landmarks for i in batch["index"]])).float()


# -- loaders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "world"), [(11, 1), (11, 2), (11, 3), (12, 4), (2, 3)])
def test_evaluation_sees_every_face_once_over_all_processes(size, world):
    samplers = [EpochSampler(size, False, 0, rank, world) for rank in range(world)]
    shares = [list(sampler) for sampler in samplers]
    assert sorted(list(chain.from_iterable(shares))) == list(range(size))
    assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]


@pytest.mark.parametrize(("size", "world"), [(11, 1), (11, 2), (11, 3), (12, 4)])
def test_processes_train_on_disjoint_shares_of_equal_length(size, world):
    samplers = [EpochSampler(size, True, 0, rank, world) for rank in range(world)]
    shares = [list(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(sampler) for sampler in samplers} == {size // world}
    together = list(chain.from_iterable(shares))
    assert len(set(together)) == len(together) == size // world * world
    assert set(together) <= set(range(size))


def test_epochs_and_seeds_shuffle_differently_and_repeatably():
    def order(seed, epoch):
        sampler = EpochSampler(50, True, seed, 0, 1)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    # every face has its turn, also those that an odd number leaves out of one epoch
    left_out = set()
    for epoch in range(8):
        sampler = EpochSampler(5, True, 0, 0, 2)
        sampler.set_epoch(epoch)
        other = EpochSampler(5, True, 0, 1, 2)
        other.set_epoch(epoch)
        left_out |= set(range(5)) - set(sampler) - set(other)
    assert len(left_out) > 1


def test_two_epochs_of_a_loader_differ(dot_module):
    loader = dot_module(stage="fit").train_dataloader()
    orders = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        orders.append(torch.cat([batch["index"] for batch in loader]).tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(18))
    assert orders[0] != orders[1]


@pytest.mark.parametrize(("world", "accumulate", "share"), [(1, 1, 12), (2, 1, 6), (1, 3, 4), (2, 3, 2)])
def test_the_batch_size_is_the_total_of_an_optimiser_step(world, accumulate, share, dot_module, stub_trainer):
    module = dot_module(stage="fit", batch_size=12)
    module.trainer = stub_trainer(world=world, accumulate=accumulate)
    loader = module.train_dataloader()
    assert {len(batch["index"]) for batch in loader} == {share}


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_an_epoch_has_the_optimiser_steps_that_schedules_count_on(world, accumulate, dot_module, stub_trainer):
    """18 faces in steps of 8: two steps; what is left makes no third, smaller one."""
    module = dot_module(stage="fit", batch_size=8)
    module.trainer = stub_trainer(world=world, accumulate=accumulate)
    assert module.steps_per_epoch == 2
    assert len(list(module.train_dataloader())) == 2 * accumulate


def test_a_batch_that_does_not_divide_evenly_is_an_error(dot_module, stub_trainer):
    module = dot_module(stage="fit", batch_size=8)
    module.trainer = stub_trainer(world=3)
    with pytest.raises(DataError, match=r"data\.batch_size=8"):
        module.train_dataloader()


def test_more_processes_than_faces_of_a_batch(dot_module, stub_trainer):
    module = dot_module(stage="fit", batch_size=4)
    module.trainer = stub_trainer(world=4, accumulate=2)
    with pytest.raises(DataError, match=r"data\.batch_size=4"):
        module.train_dataloader()


def test_too_few_faces_for_a_batch(dot_module):
    with pytest.raises(DataError, match=r"18 training faces do not fill one batch of 19; lower data\.batch_size"):
        dot_module(stage="fit", batch_size=19).train_dataloader()


def test_evaluation_needs_no_full_batch(dot_module):
    batches = shown(dot_module(stage="test", batch_size=8), "test")
    assert [len(batch["index"]) for batch in batches] == [8, 4]


# -- with Lightning --------------------------------------------------------------------------------------------------


class Recorder(lightning.LightningModule):
    """Learns nothing and remembers what it is shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.training_batches, self.validation_batches, self.test_batches = [], [], []

    def training_step(self, batch):
        self.training_batches.append((self.current_epoch, batch))
        return self.weight * batch["image"].mean()

    def validation_step(self, batch):
        self.validation_batches.append(batch)

    def test_step(self, batch):
        self.test_batches.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module, tmp_path, epochs=2, **options):
    model = Recorder()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
        **options,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.fit(model, module)
    return trainer, model


def test_a_run_sees_new_faces_every_epoch_and_the_same_ones_again_with_the_same_seed(dot_module, tmp_path):
    models = [fit(dot_module(augmentation=Augmentation()), tmp_path)[1] for _ in range(2)]
    for (epoch, first), (_, second) in zip(*(model.training_batches for model in models), strict=True):
        assert torch.equal(first["image"], second["image"]), epoch
    per_epoch = {
        wanted: torch.cat([batch["index"] for epoch, batch in models[0].training_batches if epoch == wanted]).tolist()
        for wanted in (0, 1)
    }
    assert sorted(per_epoch[0]) == sorted(per_epoch[1]) == list(range(18))
    assert per_epoch[0] != per_epoch[1]
    held_out = [batch for batch in models[0].validation_batches if len(batch["index"])]
    assert torch.equal(held_out[-1]["image"], held_out[0]["image"])


def test_a_second_run_with_one_data_module_is_like_the_first(dot_module, tmp_path):
    module = dot_module(augmentation=Augmentation())
    models = [fit(module, tmp_path, epochs=1)[1] for _ in range(2)]
    for (_, first), (_, second) in zip(*(model.training_batches for model in models), strict=True):
        assert torch.equal(first["landmarks"], second["landmarks"])


def test_lightning_takes_as_many_steps_as_schedules_count_on(dot_module, tmp_path):
    module = dot_module(batch_size=8)
    trainer, _ = fit(module, tmp_path, epochs=2, accumulate_grad_batches=4)
    assert trainer.global_step == 2 * module.steps_per_epoch


def test_a_test_run_sees_the_test_faces(dot_module, tmp_path):
    module, model = dot_module(), Recorder()
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.test(model, module, verbose=False)
    batches, faces = model.test_batches, module.faces("test")
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(12))
    for batch in batches:
        back = affine.apply(batch["to_original"], batch["landmarks"])
        assert (back - originals(faces, batch)).abs().max() < 1e-2
