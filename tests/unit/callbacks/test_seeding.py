"""Every epoch of every process draws its own numbers, and the same ones again after a resume."""

import random
from types import SimpleNamespace

import numpy as np
import torch

from canthus.callbacks import EpochSeed


def drawn(seed: int, epoch: int, rank: int = 0) -> tuple[float, float, float]:
    trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)
    EpochSeed(seed).on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
    return float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002 - the global one is meant


def test_each_epoch_process_and_seed_has_its_own_numbers() -> None:
    places = [(seed, epoch, rank) for seed in (0, 1) for epoch in (0, 1, 2) for rank in (0, 1)]
    first = [drawn(*place) for place in places]
    assert len({values for values in first}) == len(places) == 12
    for column in zip(*first, strict=True):
        assert len(set(column)) == 12
    torch.rand(5)
    assert [drawn(*place) for place in reversed(places)] == first[::-1]
