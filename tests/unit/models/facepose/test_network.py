"""The published network's sizes, and the heads."""

import pytest
import torch

from canthus.geometry.pose import geodesic_angle, rotation_of_vector
from canthus.models.facepose.heads import HEADS
from canthus.models.facepose.network import AlexNet, local_response_norm, pose_network


def test_published_size() -> None:
    with torch.device("meta"):
        network = AlexNet(6)
    assert sum(parameter.numel() for parameter in network.parameters()) == 56_892_806
    convolutions = [layer for layer in network.features if hasattr(layer, "weight")]
    counts = [sum(p.numel() for p in layer.parameters()) for layer in convolutions]
    assert counts == [34_944, 307_456, 885_120, 663_936, 442_624]
    dense = [layer for layer in network.classifier if isinstance(layer, torch.nn.Linear)]
    assert [sum(p.numel() for p in layer.parameters()) for layer in dense] == [37_752_832, 16_781_312, 24_582]


def test_published_maps() -> None:
    network = AlexNet(6, width=0.05)
    x, sides = torch.rand(1, 3, 227, 227), []
    for layer in network.features:
        x = layer(x)
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.MaxPool2d)):
            sides.append(x.shape[-1])
    assert sides == [57, 28, 28, 13, 13, 13, 13, 6]
    assert network.classifier(x).shape == (1, 6)


def test_normalisation_is_tensorflow_s() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 9, 2, 2) * 100
    padded = torch.nn.functional.pad(x.square(), (0, 0, 0, 0, 2, 2))
    squares = torch.stack([padded[:, i : i + 5].sum(1) for i in range(9)], 1)
    torch.testing.assert_close(local_response_norm()(x), x / (1 + 2e-5 * squares) ** 0.75)


def test_the_last_layer_begins_small() -> None:
    for network in (AlexNet(6, width=0.05), pose_network("test_resnet", 9)):
        last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)][-1]
        assert 0.005 < last.weight.std() < 0.015
        assert not last.bias.any()


def test_any_network_of_timm() -> None:
    assert pose_network("test_resnet", 9)(torch.rand(2, 3, 64, 64)).shape == (2, 9)
    with pytest.raises(ValueError, match=r"model\.backbone=resnot18: neither alexnet nor a network of timm"):
        pose_network("resnot18", 6)
    with pytest.raises(ValueError, match=r"model\.width=0\.5 is for the AlexNet"):
        pose_network("test_resnet", 6, width=0.5)
    with pytest.raises(ValueError, match=r"model\.pretrained=true"):
        pose_network("alexnet", 6, pretrained=True)


@pytest.fixture(params=sorted(HEADS))
def head(request):
    return HEADS[request.param]()


@pytest.fixture
def poses():
    torch.manual_seed(0)
    rotation = rotation_of_vector(torch.randn(400, 3) * torch.tensor([0.2, 0.5, 0.3]))
    return rotation, torch.randn(400, 3) * torch.tensor([10.0, 8.0, 200.0]) + torch.tensor([1.0, 5.0, 3000.0])


def test_scores_have_mean_0_and_deviation_1_and_come_back(head, poses) -> None:
    head.fit(*poses)
    scores = head.encode(*poses)
    assert scores.shape == (400, head.size)
    torch.testing.assert_close(scores.mean(0), torch.zeros(head.size), atol=1e-3, rtol=0)
    torch.testing.assert_close(scores.std(0), torch.ones(head.size), atol=1e-3, rtol=0)
    rotation, translation = head.decode(scores)
    assert geodesic_angle(rotation, poses[0]).max() < 1e-3
    torch.testing.assert_close(translation, poses[1], atol=0.1, rtol=1e-4)


def test_errors_vanish_at_the_truth_and_begin_near_the_number_of_degrees_of_freedom(head, poses) -> None:
    head.fit(*poses)
    assert head.errors(head.encode(*poses), *poses).max() < 1e-3
    begin = head.errors(torch.zeros(400, head.size), *poses).mean().item()
    assert begin == pytest.approx(6, abs=1.0)


def test_statistics_are_in_the_state(head, poses) -> None:
    head.fit(*poses)
    again = type(head)()
    again.load_state_dict(head.state_dict())
    torch.testing.assert_close(again.encode(*poses), head.encode(*poses))
