import math

import pytest
import torch

from canthus.geometry import affine
from canthus.geometry.shapes import procrustes_mean
from canthus.schemes import load_scheme

FLIP = load_scheme("68").flip


def known_shape():
    """A random shape that is symmetric under the scheme's flip, centroid 0, larger side 1."""
    shape = torch.rand(68, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shape = (shape + torch.stack([1 - shape[list(FLIP), 0], shape[list(FLIP), 1]], -1)) / 2
    shape = shape - shape.mean(0)
    return shape / (shape.amax(0) - shape.amin(0)).max()


def copies(count, noise=0.0, seed=1):
    """Similar copies of the known shape: 40 to 200 px, anywhere, turned by up to 30 degrees, in opposite pairs."""
    random = torch.Generator().manual_seed(seed)
    half = torch.rand(count // 2, generator=random) * math.radians(30)
    angle = torch.cat([half, -half])
    scale = 40 + 160 * torch.rand(count, generator=random)
    matrix = affine.rotation_scale(angle.double(), scale.double(), torch.zeros(count, 2, dtype=torch.float64))
    matrix[:, :, 2] = torch.rand(count, 2, generator=random) * 300
    shapes = affine.apply(matrix, known_shape().expand(count, 68, 2))
    return shapes + noise * scale[:, None, None] * torch.randn(shapes.shape, generator=random)


def everywhere(count):
    return torch.full((count, 68), 2, dtype=torch.uint8)


def test_exact_copies_give_back_the_shape():
    mean = procrustes_mean(copies(40), everywhere(40), FLIP)
    torch.testing.assert_close(mean.double(), known_shape(), rtol=0, atol=1e-6)


def test_noise_averages_out():
    mean = procrustes_mean(copies(1000, noise=0.02), everywhere(1000), FLIP)
    error = (mean.double() - known_shape()).abs()
    # 0.02 / sqrt(2 * 1000) for a point and its mirror image: 4.5e-4; 4.5 deviations over 136 numbers
    assert error.max() < 2e-3
    single = procrustes_mean(copies(2, noise=0.02), everywhere(2), FLIP)
    assert (single.double() - known_shape()).abs().max() > 1e-2  # so the bound means something


def test_the_mean_is_exactly_symmetric_and_normalised():
    mean = procrustes_mean(copies(10, noise=0.1), everywhere(10), FLIP)
    mirrored = mean[list(FLIP)] * torch.tensor([-1.0, 1.0])
    assert torch.equal(mean, mirrored)
    assert mean.dtype == torch.float32
    assert mean.mean(0).abs().max() < 1e-6
    assert float((mean.amax(0) - mean.amin(0)).max()) == pytest.approx(1, abs=1e-6)


def test_the_order_of_the_faces_does_not_matter():
    shapes = copies(30, noise=0.05)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(3))
    mean, other = (procrustes_mean(each, everywhere(30), FLIP) for each in (shapes, shapes[order]))
    torch.testing.assert_close(mean, other, rtol=0, atol=1e-6)


def test_the_mean_stays_upright():
    mean = procrustes_mean(copies(20, noise=0.02), everywhere(20), FLIP)
    top, bottom = known_shape()[:, 1].argmin(), known_shape()[:, 1].argmax()
    assert mean[bottom, 1] - mean[top, 1] > 0.9


@pytest.mark.parametrize("filler", [0.0, 1e6, math.nan])
def test_unlabelled_points_do_not_count(filler):
    shapes, visibility = copies(60), everywhere(60)
    hidden = torch.rand(60, 68, generator=torch.Generator().manual_seed(4)) < 0.3
    visibility[hidden], shapes[hidden] = 0, filler
    mean = procrustes_mean(shapes, visibility, FLIP, iterations=50)
    torch.testing.assert_close(mean.double(), known_shape(), rtol=0, atol=1e-4)


def test_occluded_points_count_like_visible_ones():
    shapes = copies(10, noise=0.05)
    assert torch.equal(procrustes_mean(shapes, everywhere(10), FLIP), procrustes_mean(shapes, everywhere(10) - 1, FLIP))


def test_a_landmark_that_no_face_has_is_named():
    visibility = everywhere(4)
    visibility[:, [7, 30]] = 0
    with pytest.raises(ValueError, match=r"\[7, 30\] are labelled in no face"):
        procrustes_mean(copies(4), visibility, FLIP)


@pytest.mark.parametrize("labelled", [0, 1])
def test_a_face_with_too_few_points_does_not_spoil_the_mean(labelled):
    shapes, visibility = copies(10), everywhere(10)
    visibility[3, labelled:] = 0
    mean = procrustes_mean(shapes, visibility, FLIP, iterations=50)
    torch.testing.assert_close(mean.double(), known_shape(), rtol=0, atol=1e-4)


def test_faces_without_two_points_each_are_an_error():
    visibility = torch.eye(68, dtype=torch.uint8)
    with pytest.raises(ValueError, match="two labelled points"):
        procrustes_mean(copies(68), visibility, FLIP)
