"""The norm that is logged is that of the first layer's gradient, mean over the steps of an epoch."""

import pytest
import torch

from canthus.callbacks import GradientNorm


class Module(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.ones(3))
        self.frozen = torch.nn.Parameter(torch.ones(2, 2), requires_grad=False)
        self.first = torch.nn.Parameter(torch.ones(2, 2))
        self.second = torch.nn.Parameter(torch.ones(2, 2))
        self.logged: list[float] = []

    def log(self, name: str, value: torch.Tensor, sync_dist: bool) -> None:
        assert (name, sync_dist) == ("train/gradient_norm", True)
        self.logged.append(float(value))


def test_the_first_layer_s_gradient() -> None:
    module, callback = Module(), GradientNorm()
    for epoch in (1.0, 2.0):
        for step in (1.0, 3.0):
            module.bias.grad, module.second.grad = torch.full((3,), 9.0), torch.full((2, 2), 9.0)
            module.first.grad = torch.full((2, 2), epoch * step)
            callback.on_before_optimizer_step(None, module, None)
        callback.on_train_epoch_end(None, module)
    assert module.logged == [pytest.approx(4.0), pytest.approx(8.0)]


def test_without_a_step_nothing_is_logged() -> None:
    module, callback = Module(), GradientNorm()
    callback.on_train_epoch_end(None, module)
    assert module.logged == []
