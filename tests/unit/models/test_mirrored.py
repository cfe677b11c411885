"""The mirror image of a batch, and the mean of estimates of both, by hand."""

import pytest
import torch

from canthus.data.batch import Batch
from canthus.models.estimates import Estimates
from canthus.models.mirrored import average_with_mirrored, mirror_batch
from canthus.schemes import load_scheme

WIDTH = 20
FIVE = load_scheme("5")
OTHER = [1, 0, 2, 4, 3]  # eyes and corners of the mouth change places


def batch_of(points: torch.Tensor) -> Batch:
    return Batch(
        image=torch.arange(float(WIDTH)).expand(1, 3, WIDTH, WIDTH).clone(),
        landmarks=points,
        visibility=torch.tensor([[2, 1, 2, 0, 2]], dtype=torch.uint8),
        box=torch.tensor([[2.0, 3.0, 12.0, 15.0]]),
        to_original=torch.tensor([[[2.0, 0.0, 5.0], [0.0, 2.0, 7.0]]]),
        index=torch.tensor([4]),
    )


def points() -> torch.Tensor:
    return torch.tensor([[[3.0, 4.0], [11.0, 5.0], [7.0, 8.0], [4.0, 12.0], [10.0, 13.0]]])


def mirrored_by_hand(values: torch.Tensor) -> torch.Tensor:
    turned = values[:, OTHER].clone()
    turned[..., 0] = WIDTH - 1 - turned[..., 0]
    return turned


def test_a_mirrored_batch() -> None:
    batch = batch_of(points())
    mirrored = mirror_batch(batch, FIVE)
    torch.testing.assert_close(mirrored["image"], batch["image"].flip(-1))
    torch.testing.assert_close(mirrored["landmarks"], mirrored_by_hand(points()))
    assert mirrored["visibility"].tolist() == [[1, 2, 2, 2, 0]]
    torch.testing.assert_close(mirrored["box"], torch.tensor([[7.0, 3.0, 17.0, 15.0]]))
    # column 0 of the mirror image is column 19, which lies at 2 * 19 + 5 of the original
    torch.testing.assert_close(mirrored["to_original"], torch.tensor([[[-2.0, 0.0, 43.0], [0.0, 2.0, 7.0]]]))
    assert mirrored["index"].tolist() == [4]


def test_the_mean_of_both() -> None:
    """What the mirror image says one pixel further to its right is half a pixel to the left."""
    scores = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5]])
    plain = Estimates([points(), points() + 1], scores=scores)
    other = Estimates([mirrored_by_hand(points()) + torch.tensor([1.0, 0.0]), mirrored_by_hand(points() + 3)])
    other.scores = torch.tensor([[0.3, 0.2, 0.1, 0.0, 0.8]])
    mean = average_with_mirrored(plain, other, batch_of(points()), FIVE)
    torch.testing.assert_close(mean.points[0], points() - torch.tensor([0.5, 0.0]))
    torch.testing.assert_close(mean.points[1], points() + 2)
    torch.testing.assert_close(mean.scores, torch.tensor([[0.15, 0.25, 0.2, 0.6, 0.25]]))


@pytest.mark.parametrize("angles", [(0.3, 0.1, -0.2), (-0.8, 0.0, 0.4)])
def test_the_mean_of_poses(angles: tuple[float, float, float]) -> None:
    """A mirrored head has the other yaw and roll; two equal poses have themselves as their mean."""
    yaw, pitch, roll = angles
    plain = Estimates([points()], pose=torch.tensor([angles]))
    other = Estimates([mirrored_by_hand(points())], pose=torch.tensor([[-yaw, pitch, -roll]]))
    mean = average_with_mirrored(plain, other, batch_of(points()), FIVE)
    torch.testing.assert_close(mean.pose, torch.tensor([angles]), atol=1e-5, rtol=0)
