"""Grouped layers and votes, which more than one method is made of."""

import torch
from torch.nn import functional

from canthus.models.estimates import Votes
from canthus.models.experts import GroupedLinear
from canthus.models.losses import vote_loss


def test_a_grouped_dense_layer_is_many_dense_layers() -> None:
    torch.manual_seed(0)
    layer = GroupedLinear(7, 12, 5)
    torch.nn.init.normal_(layer.bias)
    features = torch.rand(3, 7, 12)
    out = layer(features)
    for expert, (weight, bias) in enumerate(zip(layer.weight.chunk(7), layer.bias.chunk(7), strict=True)):
        torch.testing.assert_close(out[:, expert], functional.linear(features[:, expert], weight, bias))


def test_initial_weights_have_the_deviation_of_a_single_layer() -> None:
    torch.manual_seed(0)
    assert abs(GroupedLinear(50, 200, 100).weight.std() - (2 / 200) ** 0.5) < 1e-3


def test_votes_are_averaged_by_landmark() -> None:
    points = torch.tensor([[[0.0, 0.0], [2.0, 4.0], [9.0, 9.0], [4.0, 2.0]]])
    votes = Votes(points, torch.tensor([1, 0, 2, 1]), torch.ones(1))
    assert votes.average(3).tolist() == [[[2.0, 4.0], [2.0, 1.0], [9.0, 9.0]]]


def test_vote_loss_is_the_squared_error_of_encoded_targets() -> None:
    torch.manual_seed(0)
    centre, half = torch.tensor([10.0, 20.0]), torch.tensor([[4.0, 2.0], [8.0, 8.0]])
    encoded = torch.rand(6, 2, 2) * 2 - 1
    truth = torch.rand(6, 1, 2) * 10 + 10
    votes = Votes(centre + half * encoded, torch.tensor([0, 0]), half)
    expected = (encoded - (truth - centre) / half).square().sum(-1).mean()
    torch.testing.assert_close(vote_loss(votes, truth, torch.full((6, 1), 2)), expected)


def test_unlabelled_points_enter_no_vote_loss_whatever_they_hold() -> None:
    points = torch.zeros(1, 2, 2, requires_grad=True)
    votes = Votes(points, torch.tensor([0, 1]), torch.ones(1))
    truth = torch.tensor([[[3.0, 4.0], [torch.nan, torch.nan]]])
    loss = vote_loss(votes, truth, torch.tensor([[2, 0]]))
    loss.backward()
    assert loss == 25
    assert points.grad.tolist() == [[[-6.0, -8.0], [0.0, 0.0]]]
    assert vote_loss(votes, truth, torch.zeros(1, 2)) == 0
