"""CFAN's parts: parameter counts, tied auto-encoders, residual updates, units."""

import itertools

import pytest
import torch
from torch.nn import functional

from canthus.models.cfan.network import CFAN, StackedAutoencoder, TiedDecoder, from_unit, to_unit

SMALL = {"global_hidden": (12,), "local_hidden": (10,), "local_sizes": (20, 30)}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_of_the_recalled_widths() -> None:
    network = CFAN(68)
    assert [count(stage) for stage in network.stages] == [5_857_436, 12_667_064, 12_667_064, 12_667_064]
    # tied decoders: only the biases of 2,500, 1,600 and 900 units are new
    assert count(network.decoders[0]) == 2500 + 1600 + 900
    assert count(network.sift) == 0


def test_parameter_count_of_seetaface() -> None:
    network = CFAN(5, global_hidden=None, local_sizes=(80, 140), local_hidden=(400,))
    assert [count(stage) for stage in network.stages] == [260_410, 260_410]
    assert network.stages[0].encoder[0].in_features == 640
    # its model file: a mean shape, then counts, sizes, weights and biases of two networks, 4 bytes each
    assert (10 + 2 * 260_410) * 4 + 2 * 4 * 4 == 2_083_352


def test_hidden_layers_are_sigmoid_and_the_output_is_linear() -> None:
    san = StackedAutoencoder(7, (5, 4), 3, centre=0.1).double()
    torch.nn.init.normal_(san.head.weight)
    value = torch.rand(2, 7, dtype=torch.float64)
    first = torch.sigmoid((value - 0.1) @ san.encoder[0].weight.T + san.encoder[0].bias)
    second = torch.sigmoid((first - 0.5) @ san.encoder[1].weight.T + san.encoder[1].bias)
    torch.testing.assert_close(san.encode(value, 1), first)
    torch.testing.assert_close(san.encode(value), second)
    hidden = second.float() - 0.5
    torch.testing.assert_close(san.float()(value.float()), functional.linear(hidden, san.head.weight, san.head.bias))
    penalty = sum(float(weight.detach().square().sum()) for name, weight in san.named_parameters() if "weight" in name)
    assert float(san.penalty().detach()) == pytest.approx(penalty, rel=1e-5)


def tied(layer: int = 0) -> tuple[StackedAutoencoder, TiedDecoder, torch.Tensor]:
    torch.manual_seed(0)
    san, decoder = StackedAutoencoder(6, (5, 4), 3).double(), TiedDecoder(6, (5, 4)).double()
    return san, decoder, torch.rand(8, 6, dtype=torch.float64)


@pytest.mark.parametrize("layer", [0, 1])
def test_gradient_of_the_tied_auto_encoder_by_finite_differences(layer: int) -> None:
    san, decoder, value = tied()
    weight = san.encoder[layer].weight
    below = san.encode(value, layer).detach()

    def loss(tensor: torch.Tensor) -> torch.Tensor:
        """Equation by equation, with one matrix for both directions."""
        hidden = torch.sigmoid((below - 0.5) @ tensor.T + san.encoder[layer].bias.detach())
        decoded = torch.sigmoid((hidden - 0.5) @ tensor + decoder.biases[layer].detach())
        return (decoded - below).square().sum(1).mean() + 2 * 0.01 * tensor.square().sum()

    given = decoder(san, value, layer, 0.01)
    # the module rounds the difference to float32, which is what training sees
    torch.testing.assert_close(given, loss(weight.detach()), rtol=1e-5, atol=1e-6, check_dtype=False)
    given.backward()
    step, numeric = 1e-6, torch.zeros_like(weight)
    for index in range(weight.numel()):
        moved = torch.zeros(weight.numel(), dtype=torch.float64)
        moved[index] = step
        moved = moved.view_as(weight)
        numeric.view(-1)[index] = (loss(weight.detach() + moved) - loss(weight.detach() - moved)) / (2 * step)
    torch.testing.assert_close(weight.grad, numeric, rtol=1e-4, atol=1e-6)
    others = [parameter.grad for parameter in san.encoder[1 - layer].parameters()]
    assert others == [None, None]  # one layer at a time


def test_loss_of_the_auto_encoder_falls_monotonically_under_lbfgs() -> None:
    san, decoder, value = tied()
    parameters = [*san.encoder[0].parameters(), decoder.biases[0]]
    optimizer = torch.optim.LBFGS(parameters, max_iter=5, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = decoder(san, value, 0, 1e-4)
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure)) for _ in range(8)]
    assert all(after < before for before, after in itertools.pairwise(losses)), losses
    assert losses[-1] < 0.5 * losses[0]


def test_untrained_local_stages_leave_the_shape_as_it_is() -> None:
    network = CFAN(68, **SMALL).eval()
    mean = torch.rand(68, 2)
    network.set_mean_shape(mean)
    points = network(torch.rand(2, 1, 40, 40))
    assert len(points) == 3
    for stage in points:  # the global stage's bias is the mean shape
        torch.testing.assert_close(to_unit(stage, 40), mean.expand(2, -1, -1))


def test_updates_are_residual() -> None:
    network = CFAN(5, **SMALL).eval()
    network.set_mean_shape(torch.rand(5, 2))
    image = torch.rand(2, 1, 30, 30)
    before = network(image)
    with torch.no_grad():
        network.stages[2].head.bias += 0.1  # of the last stage: earlier ones must not move
    after = network(image)
    torch.testing.assert_close(after[:2], before[:2])
    torch.testing.assert_close(after[2], before[2] + 3.0)  # a tenth of 30 pixels


def test_without_a_global_stage_the_cascade_starts_from_the_mean_shape() -> None:
    network = CFAN(5, global_hidden=None, local_sizes=(20,), local_hidden=(4,)).eval()
    mean = torch.rand(5, 2)
    network.set_mean_shape(mean)
    torch.testing.assert_close(to_unit(network(torch.rand(1, 1, 20, 20))[0][0], 20), mean)


def test_a_change_of_resolution_and_back_is_exact() -> None:
    points = torch.rand(3, 68, 2, dtype=torch.float64) * 80
    larger = from_unit(to_unit(points, 80), 140)
    torch.testing.assert_close(from_unit(to_unit(larger, 140), 80), points, rtol=0, atol=1e-12)
    # pixel centres at integers: the middle of a crop stays its middle
    torch.testing.assert_close(from_unit(to_unit(torch.tensor(39.5), 80), 140), torch.tensor(69.5))


def test_a_stage_sees_its_own_resolution() -> None:
    network = CFAN(5, **SMALL)
    image = torch.rand(2, 1, 30, 30)
    assert network.features(0, image, None).shape == (2, 2500)
    seen = []
    network.sift.register_forward_hook(lambda module, inputs, output: seen.append(inputs))
    shape = torch.full((2, 5, 2), 0.5)
    for stage, size in ((1, 20), (2, 30)):
        assert network.features(stage, image, shape).shape == (2, 5 * 128)
        assert seen[-1][0].shape[-1] == size
        torch.testing.assert_close(seen[-1][1], torch.full((2, 5, 2), (size - 1) / 2))


def test_gradients_stay_within_a_stage() -> None:
    network = CFAN(5, **SMALL)
    for stage in network.stages:
        torch.nn.init.normal_(stage.head.weight, std=0.01)
    network(torch.rand(2, 1, 30, 30))[2].square().sum().backward()
    assert network.stages[2].encoder[0].weight.grad.abs().sum() > 0
    assert network.stages[1].encoder[0].weight.grad is None


def test_jitter_only_while_training() -> None:
    network = CFAN(5, **SMALL, jitter=0.1)
    image = torch.rand(2, 1, 30, 30)
    assert not torch.equal(network(image)[2], network(image)[2])
    network.eval()
    assert torch.equal(network(image)[2], network(image)[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"descriptor": "hog"}, "'hog'; one of dense, kornia"), ({"global_hidden": None, "local_sizes": ()}, "needs a")],
)
def test_cascades_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CFAN(5, **options)


def test_linear_units_make_one_linear_map() -> None:
    """With the sigmoid's value and slope at zero."""
    torch.manual_seed(0)
    made = StackedAutoencoder(6, (5, 4), 3, units="linear")
    torch.nn.init.normal_(made.head.weight)
    a, b = torch.randn(2, 1, 6)
    torch.testing.assert_close(made(a) + made(b), made(a + b) + made(torch.zeros(1, 6)))
    zero = torch.zeros(1, requires_grad=True)
    for units in ("linear", "sigmoid"):
        value = StackedAutoencoder(1, (1,), 1, units=units).activated(zero)
        assert (float(value), float(torch.autograd.grad(value, zero)[0])) == (0.5, 0.25)


def test_units_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="units is 'relu'"):
        CFAN(5, units="relu")
