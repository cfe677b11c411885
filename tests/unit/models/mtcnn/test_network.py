"""Fixtures of MTCNN's networks: parameter counts, sizes, and that P-Net reads a picture as it reads crops."""

import pytest
import torch

from canthus.models.mtcnn.network import MTCNN, ONet, PNet, RNet


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_papers() -> None:
    assert [count(PNet(landmarks=False)), count(RNet(landmarks=False)), count(ONet())] == [6_632, 100_178, 389_040]
    assert [count(PNet()), count(RNet())] == [6_632 + 330, 100_178 + 1_290]


@pytest.mark.parametrize(
    ("size", "cells"), [((12, 12), (1, 1)), ((13, 12), (2, 1)), ((14, 12), (2, 1)), ((15, 20), (3, 5)),
                        ((100, 151), (45, 71))],
)  # fmt: skip
def test_number_of_cells(size: tuple[int, int], cells: tuple[int, int]) -> None:
    outputs = PNet()(torch.rand(2, 3, *size))
    assert outputs.logits.shape == (2, 2, *cells)
    assert outputs.offsets.shape == (2, 4, *cells)
    assert outputs.landmarks.shape == (2, 10, *cells)


def test_outputs_of_windows() -> None:
    for network in (RNet(), ONet()):
        outputs = network(torch.rand(3, 3, network.window, network.window))
        assert [output.shape for output in outputs] == [(3, 2), (3, 4), (3, 10)]
    assert RNet(landmarks=False)(torch.rand(1, 3, 24, 24)).landmarks is None


def test_a_picture_is_read_as_its_windows_are() -> None:
    torch.manual_seed(0)
    network, picture = PNet().eval(), torch.rand(1, 3, 41, 30) * 2 - 1
    maps = network(picture)
    rows, columns = (41 - 12) // 2 + 1, (30 - 12) // 2 + 1
    windows = picture.unfold(2, 12, 2).unfold(3, 12, 2)[0].permute(1, 2, 0, 3, 4)
    assert windows.shape[:2] == (rows, columns)
    single = network(windows.flatten(0, 1))
    for of_map, of_windows in zip(maps, single, strict=True):
        cells = of_map[0, :, :rows, :columns].flatten(1).T
        torch.testing.assert_close(cells, of_windows[:, :, 0, 0], atol=1e-6, rtol=0)


def test_what_a_cell_sees() -> None:
    torch.manual_seed(0)
    picture = torch.zeros(1, 3, 60, 60, requires_grad=True)
    network = PNet()
    support = torch.zeros(60, 60, dtype=torch.bool)
    for _ in range(20):  # a pool passes the gradient of its largest input alone
        (gradient,) = torch.autograd.grad(network(picture + torch.rand(1, 3, 60, 60)).logits[0, 1, 5, 7], picture)
        support |= (gradient[0] != 0).any(0)
    rows, columns = support.any(1).nonzero()[:, 0], support.any(0).nonzero()[:, 0]
    assert rows.tolist() == list(range(10, 22))
    assert columns.tolist() == list(range(14, 26))


def test_stages_own_their_parameters() -> None:
    network = MTCNN()
    owned = [id(parameter) for stage in range(3) for parameter in network.stage_parameters(stage)]
    assert sorted(owned) == sorted(id(parameter) for parameter in network.parameters())
    assert MTCNN(landmarks=False).pnet.landmarks is None
