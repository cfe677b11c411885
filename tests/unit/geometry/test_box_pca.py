import pytest
import torch

from canthus.geometry import boxes
from canthus.geometry.box_pca import BoxPCA


def pairs(count=4000):
    """True boxes, and detector boxes that are shifted right by a tenth and vary in place and size."""
    random = torch.Generator().manual_seed(0)
    corner, sides = torch.rand(count, 2, generator=random) * 90, 30 + 80 * torch.rand(count, 2, generator=random)
    true = torch.cat([corner, corner + sides], 1)
    shift = torch.tensor([0.1, 0.0]) + 0.03 * torch.randn(count, 2, generator=random)
    growth = 1 + 0.08 * torch.randn(count, 1, generator=random)
    centre = boxes.centre(true) + shift * sides
    return torch.cat([centre - growth * sides / 2, centre + growth * sides / 2], 1), true


def relative(box, true):
    sides = (true[:, 2:] - true[:, :2]).repeat(1, 2)
    return (box - boxes.centre(true).repeat(1, 2)) / sides


def test_drawn_boxes_vary_as_the_measured_ones_do():
    detected, true = pairs()
    drawn = BoxPCA.fit(detected, true).sample(true, torch.Generator().manual_seed(1))
    expected, found = relative(detected, true), relative(drawn, true)
    torch.testing.assert_close(found.mean(0), expected.mean(0), atol=4e-3, rtol=0)
    torch.testing.assert_close(found.T.cov(), expected.T.cov(), atol=3e-4, rtol=0)
    assert found[:, 0].mean() == pytest.approx(-0.4, abs=0.01)


def test_components_are_those_of_the_eight_corner_coordinates():
    detected, true = pairs(200)
    fitted = BoxPCA.fit(detected, true)
    corners = boxes.corners(relative(detected, true)).flatten(1).double()
    variances = torch.linalg.eigvalsh(corners.T.cov()).flip(0)[:4]
    torch.testing.assert_close(2 * fitted.axes.double().square().sum(1), variances, atol=1e-6, rtol=1e-4)


def test_equal_boxes_do_not_vary():
    _, true = pairs(10)
    torch.testing.assert_close(BoxPCA.fit(true, true).sample(true, torch.Generator()), true, atol=1e-3, rtol=0)


def test_few_faces_or_empty_boxes_are_refused():
    detected, true = pairs(5)
    with pytest.raises(ValueError, match="at least 2 faces, not 1"):
        BoxPCA.fit(detected[:1], true[:1])
    with pytest.raises(ValueError, match="without width or height"):
        BoxPCA.fit(detected, torch.zeros(5, 4))
    fitted = BoxPCA.fit(detected[:2], true[:2])  # fewer faces than numbers: one direction
    assert fitted.axes.shape == (4, 4)
    assert (fitted.axes.norm(dim=1) > 1e-6).sum() == 1
