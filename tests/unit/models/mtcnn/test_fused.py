"""The fast form computes what the networks compute."""

import pytest
import torch
from torch.nn import functional

from canthus.models.mtcnn.fused import FusedNetwork, max_pool
from canthus.models.mtcnn.network import MTCNN
from tests.helpers.published import random_network


def scaled(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels - 127.5) / 128


@pytest.mark.parametrize("stage", [1, 2])
def test_windows(stage: int) -> None:
    network = MTCNN().train() if stage == 1 else random_network()
    part = network.stages[stage]
    fused = FusedNetwork(part)
    pixels = torch.randint(0, 256, (5, 3, part.window, part.window), dtype=torch.uint8)
    expected = part.eval()(scaled(pixels))
    features = fused(pixels)
    logits = expected.logits
    torch.testing.assert_close(fused.evidence(features), logits[:, 1] - logits[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fused.offsets(features), expected.offsets, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fused.landmarks(features), expected.landmarks, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("size", [(12, 12), (13, 12), (40, 31), (41, 30), (25, 25)])
def test_pictures(size: tuple[int, int], partial: bool) -> None:
    part = random_network().pnet
    pixels = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    fused = FusedNetwork(part, partial_cells=partial)
    features = fused(pixels)
    expected = part(scaled(pixels))
    rows, columns = expected.logits.shape[2:] if partial else ((side - 12) // 2 + 1 for side in size)
    assert features.shape[1:3] == (rows, columns)
    evidence = (expected.logits[:, 1] - expected.logits[:, 0])[:, :rows, :columns]
    torch.testing.assert_close(fused.evidence(features), evidence, atol=1e-5, rtol=1e-5)
    offsets = expected.offsets.permute(0, 2, 3, 1)[:, :rows, :columns]
    torch.testing.assert_close(fused.offsets(features), offsets, atol=1e-5, rtol=1e-5)


def test_later_training_does_not_reach_it() -> None:
    network = random_network()
    fused, pixels = FusedNetwork(network.rnet), torch.rand(1, 3, 24, 24) * 255
    before = fused(pixels)
    with torch.no_grad():
        network.rnet.features[0].weight.zero_()
    assert torch.equal(fused(pixels), before)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("size", [(3, 3), (4, 7), (9, 9), (10, 10), (22, 13), (46, 46)])
def test_pool(kernel: int, size: tuple[int, int]) -> None:
    images = torch.randn(2, 5, *size).contiguous(memory_format=torch.channels_last)
    assert torch.equal(max_pool(images, kernel), functional.max_pool2d(images, kernel, 2, ceil_mode=True))
