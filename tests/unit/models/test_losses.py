"""The losses that may stand in place of a method's own, against the papers' formulas."""

import math

import pytest
import torch

from canthus.models.dan.module import DANModule
from canthus.models.estimates import Votes
from canthus.models.losses import adaptive_wing, check_loss, coordinate_loss, vote_loss, wing
from canthus.models.san.module import map_loss


def wing_by_hand(x: float) -> float:
    """Feng et al., equation 5."""
    w, epsilon = 10.0, 2.0
    c = w - w * math.log(1 + w / epsilon)
    return w * math.log(1 + abs(x) / epsilon) if abs(x) < w else abs(x) - c


def adaptive_wing_by_hand(y: float, found: float) -> float:
    """Wang et al., equation 3, with A and C as they stand there."""
    alpha, omega, epsilon, theta = 2.1, 14.0, 1.0, 0.5
    power = alpha - y
    a = omega * (1 / (1 + (theta / epsilon) ** power)) * power * (theta / epsilon) ** (power - 1) * (1 / epsilon)
    c = theta * a - omega * math.log(1 + (theta / epsilon) ** power)
    error = abs(y - found)
    return omega * math.log(1 + abs(error / epsilon) ** power) if error < theta else a * error - c


ERRORS = [0.0, 0.001, -0.5, 1.0, -1.7, 9.999, 10.0, -10.001, 300.0]


def test_wing() -> None:
    found = wing(torch.tensor(ERRORS, dtype=torch.float64))
    assert found.tolist() == pytest.approx([wing_by_hand(x) for x in ERRORS])
    assert wing_by_hand(10.0) == pytest.approx(10 * math.log(6))  # continuous
    x = torch.tensor([0.0, 1.0, 20.0], requires_grad=True)
    wing(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([0.0, 10 / 3, 1.0])


def test_adaptive_wing() -> None:
    pairs = [(y, found) for y in (0.0, 0.2, 0.7, 1.0) for found in (-1.0, 0.0, 0.19, 0.5, 0.69, 1.0, 2.5)]
    y, found = torch.tensor(pairs, dtype=torch.float64).T
    expected = [adaptive_wing_by_hand(*pair) for pair in pairs]
    assert adaptive_wing(found, y).tolist() == pytest.approx(expected)
    maps = torch.tensor([0.0, 1.0, 0.4], requires_grad=True)
    adaptive_wing(maps, torch.tensor([0.0, 1.0, 0.9])).sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_a_loss_of_coordinates_is_a_mean_over_labelled_points_in_shares_of_the_input() -> None:
    truth = torch.rand(2, 3, 2) * 112
    errors = torch.tensor([[[1.0, 0.2], [-6.0, 3.0], [50.0, 50.0]], [[0.0, 9.0], [2.0, -2.0], [50.0, 50.0]]])
    shown = torch.tensor([[2, 1, 0], [2, 2, 0]])
    truth[:, 2] = torch.nan
    one = {
        "l1": abs,
        "smooth_l1": lambda x: 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5,
        "wing": wing_by_hand,
    }
    for name, formula in one.items():
        values = [formula(x * 256 / 112) for x in errors[:, :2].reshape(-1).tolist()]
        points = (truth.nan_to_num() + errors).requires_grad_()
        found = coordinate_loss(name, points, truth, shown, 112)
        assert float(found) == pytest.approx(sum(values) / 4 / 256, rel=1e-4)
        found.backward()
        assert points.grad is not None
        assert points.grad.isfinite().all()
        assert points.grad[:, 2].abs().max() == 0


def test_votes_are_measured_in_what_each_network_sees() -> None:
    """Two networks that see 100 and 20 pixels: the same share of what they see is the same error."""
    truth = torch.tensor([[[50.0, 50.0], [20.0, 30.0]]])
    units = torch.tensor([50.0, 10.0])[:, None]
    votes = Votes(truth + torch.tensor([[[10.0, 0.0], [0.0, 2.0]]]), torch.tensor([0, 1]), units)
    shown = torch.tensor([[2, 2]])
    assert float(vote_loss(votes, truth, shown, "wing")) == pytest.approx(wing_by_hand(25.6) / 256, rel=1e-5)
    assert float(vote_loss(votes, truth, shown)) == pytest.approx(0.04)


def test_cells_near_a_landmark_weigh_more() -> None:
    target = torch.zeros(1, 2, 5, 5)
    target[0, 0, 0, 0], target[0, 1] = 1.0, 1.0
    maps, weight = target + 0.1, torch.tensor([[1.0, 1.0]])
    low, high = adaptive_wing_by_hand(0.0, 0.1), adaptive_wing_by_hand(1.0, 1.1)
    expected = (11 * (high + 3 * low) + 21 * low + 25 * high) / 2
    assert float(map_loss(maps, target, weight, "adaptive_wing")) == pytest.approx(expected, rel=1e-4)
    assert float(map_loss(maps, target, weight)) == pytest.approx(50 * 0.01 / 2, rel=1e-4)


def test_a_model_trains_on_the_loss_that_it_is_given() -> None:
    model = DANModule(optimizer=torch.optim.Adam, width=0.05, loss="smooth_l1")  # type: ignore[arg-type]
    truth = torch.rand(1, 68, 2) * 112
    batch = {"landmarks": truth, "visibility": torch.full((1, 68), 2)}
    points = truth + 4.0
    from canthus.models.estimates import Estimates

    (value,) = model.losses(batch, Estimates([points])).values()  # type: ignore[arg-type]
    assert float(value) == pytest.approx(2 * (4 * 256 / 112 - 0.5) / 256, rel=1e-4)
    with pytest.raises(ValueError, match=r"model.loss is 'wings'; one of published, l1, smooth_l1, wing"):
        check_loss("wings")
