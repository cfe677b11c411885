"""What every method is once it is trained: a cascade of networks that says where landmarks lie."""

import re
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from canthus.data.batch import Batch, InputSpec
from canthus.models.estimates import Estimates
from canthus.models.mirrored import average_with_mirrored, mirror_batch
from canthus.schemes import Scheme, load_scheme

__all__ = ["Cascade", "cascade_of"]


class Cascade(nn.Module, ABC):
    """A cascade of landmark estimates: all that prediction needs of a method, and nothing of its training.

    A method is a subclass in ``canthus/models/NAME/cascade.py``. It takes every setting of the method, so that a
    config means the same wherever it is read, and holds everything that a checkpoint holds. The module of the method
    (`canthus.models.base.LandmarkModel`) trains it. Prediction builds the cascade alone, and so starts without
    Lightning.

    Args:
        scheme: landmark scheme of the points.
        stages: number of stages S.

    Raises:
        ValueError: the scheme is not one that the method is defined for.
    """

    active_stages: Tensor
    initialised: Tensor
    name: ClassVar[str]
    """What tables call the method."""
    schemes: ClassVar[tuple[str, ...] | None] = None
    """Schemes that the method is defined for; None for any."""

    def __init__(self, *, scheme: str | int, stages: int) -> None:
        super().__init__()
        self.scheme: Scheme = load_scheme(scheme)
        if self.schemes is not None and self.scheme.name not in self.schemes:
            raise ValueError(
                f"{type(self).__name__} places {' or '.join(self.schemes)} points and cannot be trained on the scheme "
                f"{self.scheme.name!r}; set data.scheme={self.schemes[0]}"
            )
        self.num_stages = stages
        self.flip_average = False  # in evaluation and prediction; methods and commands may set it
        # a buffer, so that a checkpoint written in the middle of the schedule is evaluated as far as it was trained
        self.register_buffer("active_stages", torch.tensor(stages))
        self._depth = stages  # the same as a number of the host's: reading the buffer would stop a GPU in every step
        self.register_load_state_dict_post_hook(_read_depth)  # type: ignore[no-untyped-call]
        self.register_buffer("initialised", torch.tensor(False))

    @property
    @abstractmethod
    def input(self) -> InputSpec:
        """The image that the network wants."""

    @abstractmethod
    def estimates(self, batch: Batch) -> Estimates:
        """Run the active stages."""

    @property
    def depth(self) -> int:
        """Number of stages that are run."""
        return self._depth

    def final_estimates(self, batch: Batch) -> Estimates:
        """Estimates as evaluation and prediction want them: with ``flip_average``, averaged with the mirror image's."""
        estimates = self.estimates(batch)
        if not self.flip_average:
            return estimates
        mirrored = self.estimates(mirror_batch(batch, self.scheme))
        return average_with_mirrored(estimates, mirrored, batch, self.scheme)


OWN = re.compile(r"(canthus\.models\.\w+)\.module\.(\w+)Module")
"""Modules of canthus' methods, as configs name them."""


def cascade_of(target: str) -> type[Cascade] | None:
    """The cascade of the module that a config names; None if canthus has none, of another's class for example.

    Args:
        target: dotted path, such as ``canthus.models.dan.module.DANModule``.
    """
    match = OWN.fullmatch(target)
    if match is None:
        return None
    place = f"{match[1]}.cascade"
    try:
        found = getattr(import_module(place), f"{match[2]}Cascade", None)
    except ModuleNotFoundError as error:
        if error.name is None or not place.startswith(error.name):
            raise
        return None
    return found if isinstance(found, type) and issubclass(found, Cascade) else None


def _read_depth(model: nn.Module, _: Any) -> None:
    """After weights were loaded: how many stages they are of."""
    assert isinstance(model, Cascade)
    model._depth = int(model.active_stages)
