"""In which order a process meets the faces of a split."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

__all__ = ["EpochSampler", "as_it_is", "mix"]


class EpochSampler(Sampler[int]):
    """Indices of one process: every ``world``-th, from its rank on, shuffled by (seed, epoch) when training.

    Nothing is padded, so that evaluation over several processes sees each face once. In training, the remainder that
    would give processes different numbers of batches, or an optimiser step fewer faces than ``step``, is left out.

    Args:
        size: number of faces.
        shuffle: training.
        seed: of the shuffling.
        rank: of the process.
        world: number of processes.
        step: faces of an optimiser step.
        order: epoch to indices, in place of all faces shuffled; ``size`` of them.
    """

    def __init__(
        self,
        size: int,
        shuffle: bool,
        seed: int,
        rank: int,
        world: int,
        step: int = 1,
        order: Callable[[int], Sequence[int]] | None = None,
    ) -> None:
        self.size, self.shuffle, self.seed, self.rank, self.world = size, shuffle, seed, rank, world
        self.kept = size // step * step // world * world  # faces of a training epoch, over all processes
        self.order = order
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.kept // self.world if self.shuffle else len(range(self.rank, self.size, self.world))

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            return iter(range(self.rank, self.size, self.world))
        if self.order is not None:
            order = list(self.order(self.epoch))
        else:
            random = torch.Generator().manual_seed(mix(self.seed, self.epoch))
            order = torch.randperm(self.size, generator=random).tolist()
        return iter(order[: self.kept][self.rank :: self.world])


def mix(*numbers: int) -> int:
    """One well-spread seed from several small numbers."""
    return int(np.random.SeedSequence([number + 2**31 for number in numbers]).generate_state(1, np.uint64)[0] >> 1)


def as_it_is(batch: Any) -> Any:
    """Collate nothing: the data set gives whole batches."""
    return batch
