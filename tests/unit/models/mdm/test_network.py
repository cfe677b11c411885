"""MDM's parts: parameter counts, the skip, the recurrence, and where gradients go."""

import pytest
import torch

from canthus.models.mdm import network as mdm
from canthus.models.mdm.network import MDM, PatchEncoder


def small(**options) -> MDM:
    torch.manual_seed(0)
    network = MDM(5, **{"patch": 10, "hidden": 8, "channels": 4, **options})
    with torch.no_grad():
        for parameter in network.parameters():  # the published deviation of 0.01 hides mistakes
            parameter.normal_(std=0.3)
    return network


def start(count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, 40, 40, generator=random), 10 + 20 * torch.rand(count, 5, 2, generator=random)


@pytest.mark.parametrize(("patch", "side", "length", "total"), [(30, 6, 2304, 80_558_632), (26, 5, 1600, 56_048_168)])
def test_parameter_counts_and_feature_lengths(patch: int, side: int, length: int, total: int) -> None:
    with torch.device("meta"):
        network = MDM(68, patch=patch)
    assert sum(parameter.numel() for parameter in network.parameters()) == total
    encoder = PatchEncoder(patch)
    assert encoder.features == length
    assert encoder.maps(torch.rand(2, 3, patch, patch)).shape == (2, 64, side, side)
    assert encoder(torch.rand(2, 4, 3, patch, patch)).shape == (2, 4, length)


def test_weights_do_not_depend_on_the_number_of_steps_unless_independent() -> None:
    def count(**options) -> int:
        return sum(parameter.numel() for parameter in MDM(5, patch=10, hidden=8, **options).parameters())

    assert count(steps=1) == count(steps=5)
    assert count(steps=3, independent=True) == 3 * (count(steps=1) - 8 * 8)


@pytest.mark.parametrize(("patch", "begin", "end"), [(30, 3, 9), (26, 2, 7)])
def test_the_skip_is_the_centre_of_the_second_convolution(patch: int, begin: int, end: int) -> None:
    """The released code's slices: rows 3 to 8 of 12, and for the odd side 2 to 6 of 10."""
    encoder = PatchEncoder(patch)
    seen = []
    encoder.second.register_forward_hook(lambda module, inputs, output: seen.append(output))
    maps = encoder.maps(torch.rand(2, 3, patch, patch))
    convolved = seen[0].relu()
    torch.testing.assert_close(maps[:, :32], convolved[..., begin:end, begin:end])
    torch.testing.assert_close(maps[:, 32:], torch.nn.functional.max_pool2d(convolved, 2))


def test_initialisation_is_the_released_codes() -> None:
    network = MDM(5, patch=18)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        else:
            assert parameter.abs().max() <= 0.02, name
    assert float(network.steps[0].from_features.weight.detach().std()) == pytest.approx(0.0088, abs=2e-4)  # 0.01, cut


def test_convolutions_may_start_larger() -> None:
    patches = torch.rand(2, 3, 3, 30, 30)
    torch.manual_seed(0)
    released, kaiming = (PatchEncoder(30, initialisation=name)(patches).std() for name in ("released", "kaiming"))
    assert kaiming > 50 * released


def test_without_an_output_every_step_stays_at_the_start() -> None:
    network = small()
    torch.nn.init.zeros_(network.steps[0].output.weight)
    torch.nn.init.zeros_(network.steps[0].output.bias)
    image, initial = start()
    for points in network(image, initial):
        assert torch.equal(points, initial)


def test_steps_follow_the_equations() -> None:
    network = small(steps=3, unit=2.0)
    image, initial = start()
    step = network.steps[0]
    memory, moved = torch.zeros(2, 8), torch.zeros(2, 5, 2)
    for points in network(image, initial):
        patches = mdm.extract_patches(image, initial + moved, 10)
        features = step.encoder(patches).flatten(1)
        weights = torch.cat([step.from_features.weight, step.from_memory.weight], 1)  # W [f ; h] + b
        memory = torch.tanh(torch.cat([features, memory], 1) @ weights.T + step.from_features.bias)
        moved = moved + 2.0 * step.output(memory).unflatten(1, (5, 2))
        torch.testing.assert_close(points, initial + moved)


def test_the_last_step_alone_teaches_the_first() -> None:
    network = small(steps=4)
    image, initial = start()
    outputs, memories, centres = [], [], []

    def keep(module, inputs, output) -> None:
        for tensor in output:
            tensor.retain_grad()
        outputs.append(output[0])
        memories.append(output[1])

    network.steps[0].register_forward_hook(keep)
    original = mdm.extract_patches
    try:
        mdm.extract_patches = lambda image, points, size: (centres.append(points), original(image, points, size))[1]
        network(image, initial)[-1].square().sum().backward()
    finally:
        mdm.extract_patches = original
    for tensor in (outputs[0], memories[0]):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0
    assert network.steps[0].encoder.first.weight.grad.abs().sum() > 0
    assert len(centres) == 4
    assert not any(points.requires_grad for points in centres)


def test_memory_matters_and_independent_steps_have_none() -> None:
    image, initial = start()
    network = small(steps=2)
    before = network(image, initial)
    with torch.no_grad():
        network.steps[0].from_memory.weight += 1
    after = network(image, initial)
    assert torch.equal(before[0], after[0])  # the first memory is zero
    assert not torch.equal(before[1], after[1])
    assert all(step.from_memory is None for step in small(steps=2, independent=True).steps)


def test_frozen_steps_get_no_gradient() -> None:
    network = small(steps=2, independent=True)
    network(*start(), frozen=1)[1].sum().backward()
    assert network.steps[0].output.weight.grad is None
    assert network.steps[1].output.weight.grad.abs().sum() > 0


def test_translation_of_picture_and_start_changes_no_displacement() -> None:
    network = small()
    image = torch.rand(1, 3, 80, 80)
    image[..., :20, :] = image[..., -20:, :] = image[..., :20] = image[..., -20:] = 0
    initial = 35 + 10 * torch.rand(1, 5, 2)
    offset = torch.tensor([7.0, -4.0])
    moved = network(torch.roll(image, (-4, 7), (2, 3)), initial + offset)
    for shifted, points in zip(moved, network(image, initial), strict=True):
        torch.testing.assert_close(shifted - initial - offset, points - initial, atol=1e-4, rtol=0)


def test_a_projection_shortens_each_landmarks_features() -> None:
    network = MDM(68, patch=18, projection=32)
    assert network.steps[0].reduce.weight.shape == (32, network.steps[0].encoder.features)
    assert network.steps[0].from_features.in_features == 68 * 32
    assert len(network(torch.rand(1, 3, 40, 40), torch.rand(1, 68, 2) * 40, depth=2)) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 9}, "at least 10 pixels"),
        ({"steps": 0}, "steps=0"),
        ({"initialisation": "zero"}, "'zero'; one of released, kaiming"),
    ],
)
def test_networks_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MDM(5, **options)
