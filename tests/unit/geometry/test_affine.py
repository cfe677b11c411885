import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from canthus.geometry import affine


def uniform(seed, *shape, low=-1.0, high=1.0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * (high - low) + low


def similarities(seed, batch, dtype=torch.float64):
    """Random rotations by any angle, scales from 0.25 to 4 and shifts up to 200 px."""
    angle = uniform(seed, batch, low=-torch.pi, high=torch.pi)
    scale = torch.exp2(uniform(seed + 1, batch, low=-2, high=2))
    matrix = affine.rotation_scale(angle, scale, torch.zeros(batch, 2, dtype=torch.float64))
    matrix[:, :, 2] = uniform(seed + 2, batch, 2, low=-200, high=200)
    return matrix.to(dtype)


def general(seed, batch):
    """Random affine maps that are no similarities, so that a transposed matrix shows."""
    matrix = uniform(seed, batch, 2, 3)
    matrix[:, 0, 0] += 2
    matrix[:, 1, 1] -= 2
    return matrix


POINTS = uniform(9, 32, 68, 2, low=0, high=200)


def test_a_matrix_acts_on_column_vectors():
    matrix = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    assert affine.apply(matrix, torch.tensor([[[10.0, 100.0]]])).tolist() == [[[213.0, 546.0]]]


def test_apply_agrees_with_homogeneous_coordinates():
    matrix = general(0, 32)
    homogeneous = torch.cat([POINTS, torch.ones(32, 68, 1, dtype=torch.float64)], -1)
    expected = torch.einsum("bij,bkj->bki", matrix, homogeneous)
    torch.testing.assert_close(affine.apply(matrix, POINTS), expected, rtol=0, atol=1e-11)


def test_apply_broadcasts_over_leading_axes():
    matrix = general(1, 4)
    stages = POINTS[:12].reshape(3, 4, 68, 2).transpose(0, 1)  # (B, S, K, 2)
    mapped = affine.apply(matrix[:, None], stages)
    assert mapped.shape == (4, 3, 68, 2)
    torch.testing.assert_close(mapped[:, 2], affine.apply(matrix, stages[:, 2]), rtol=0, atol=0)


def test_compose_applies_the_inner_map_first():
    f, g = general(2, 32), general(3, 32)
    expected = affine.apply(f, affine.apply(g, POINTS))
    torch.testing.assert_close(affine.apply(affine.compose(f, g), POINTS), expected, rtol=0, atol=1e-10)
    assert (affine.apply(affine.compose(g, f), POINTS) - expected).abs().max() > 1  # the order matters


def test_compose_is_associative_and_has_a_unit():
    f, g, h = general(4, 8), general(5, 8), general(6, 8)
    left, right = affine.compose(affine.compose(f, g), h), affine.compose(f, affine.compose(g, h))
    torch.testing.assert_close(left, right, rtol=0, atol=1e-12)
    unit = affine.identity(8, dtype=torch.float64)
    assert torch.equal(affine.compose(f, unit), f)
    assert torch.equal(affine.compose(unit, f), f)


def test_invert_undoes_on_both_sides():
    f, unit = general(7, 32), affine.identity(32, dtype=torch.float64)
    torch.testing.assert_close(affine.compose(f, affine.invert(f)), unit, rtol=0, atol=1e-12)
    torch.testing.assert_close(affine.compose(affine.invert(f), f), unit, rtol=0, atol=1e-12)
    torch.testing.assert_close(affine.invert(affine.invert(f)), f, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-4), (torch.float64, 1e-12)])
def test_similarity_and_back(dtype, tolerance):
    matrix, points = similarities(10, 32, dtype), POINTS.to(dtype)
    back = affine.apply(affine.invert(matrix), affine.apply(matrix, points))
    assert (back - points).abs().max() < tolerance


def test_identities_do_not_share_memory():
    maps = affine.identity(2)
    maps[0, 0, 0] = 5
    assert maps[1].tolist() == [[1, 0, 0], [0, 1, 0]]


def test_translation():
    offset = torch.tensor([[3.0, -4.0]])
    assert affine.apply(affine.translation(offset), torch.zeros(1, 1, 2)).tolist() == [[[3.0, -4.0]]]


def test_rotation_turns_x_towards_y_about_the_centre():
    matrix = affine.rotation_scale(torch.tensor([torch.pi / 2]), torch.tensor([2.0]), torch.tensor([[10.0, 20.0]]))
    points = torch.tensor([[[10.0, 20.0], [11.0, 20.0], [10.0, 21.0]]])
    expected = torch.tensor([[[10.0, 20.0], [10.0, 22.0], [8.0, 20.0]]])
    torch.testing.assert_close(affine.apply(matrix, points), expected, rtol=0, atol=1e-5)


def test_mirror_is_width_minus_one_minus_x():
    matrix = affine.mirror(torch.tensor([True, False]), (112 - 1) / 2)
    points = torch.tensor([[[0.0, 5.0], [111.0, 6.0], [30.25, 7.0]]]).expand(2, 3, 2)
    mapped = affine.apply(matrix, points)
    assert mapped[0].tolist() == [[111.0, 5.0], [0.0, 6.0], [80.75, 7.0]]
    assert torch.equal(mapped[1], points[1])


def test_mirroring_twice_is_the_identity():
    matrix = affine.mirror(torch.tensor([True, False, True]), 55.5)
    assert torch.equal(affine.compose(matrix, matrix), affine.identity(3))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_similarity_fit_recovers_similarities(dtype, tolerance):
    # the frame of the landmark networks: points within a 112 px input
    source = (POINTS * 0.56).to(dtype)
    matrix = similarities(20, 32, dtype)
    matrix[:, :, 2] /= 4
    target = affine.apply(matrix, source)
    fitted = affine.similarity_fit(source, target)
    assert fitted.dtype == dtype
    scale = matrix[:, 0].square()[:, :2].sum(-1).sqrt()
    # pixels of the source frame, as DAN's round trip is stated
    error = (affine.apply(fitted, source) - target).norm(dim=-1).amax(-1) / scale
    assert error.max() < tolerance
    assert (fitted - matrix)[:, :, :2].abs().max() < tolerance


def test_round_trip_of_a_fitted_similarity():
    source = (POINTS * 0.56).float()
    target = source + uniform(23, 32, 68, 2, low=-8, high=8, dtype=torch.float32)
    fitted = affine.similarity_fit(source, target)
    back = affine.apply(affine.invert(fitted), affine.apply(fitted, source))
    assert (back - source).abs().max() < 1e-4


def test_similarity_fit_of_equal_shapes_is_the_identity():
    fitted = affine.similarity_fit(POINTS, POINTS)
    torch.testing.assert_close(fitted, affine.identity(32, dtype=torch.float64), rtol=0, atol=1e-12)


def test_similarity_fit_never_reflects():
    mirrored = POINTS * torch.tensor([-1.0, 1.0], dtype=torch.float64)
    fitted = affine.similarity_fit(POINTS, mirrored)
    a, b, c, d = fitted[:, 0, 0], fitted[:, 0, 1], fitted[:, 1, 0], fitted[:, 1, 1]
    assert (a * d - b * c > 0).all()
    torch.testing.assert_close(a, d, rtol=0, atol=0)
    torch.testing.assert_close(b, -c, rtol=0, atol=0)


def test_similarity_fit_is_the_least_squares_solution():
    source, target = POINTS[0].numpy(), POINTS[1].numpy()

    # linear in (a, b, tx, ty): numpy solves the normal equations without knowing the closed form
    zeros, ones = np.zeros(68), np.ones(68)
    rows_x = np.stack([source[:, 0], -source[:, 1], ones, zeros], 1)
    rows_y = np.stack([source[:, 1], source[:, 0], zeros, ones], 1)
    solution = np.linalg.lstsq(np.concatenate([rows_x, rows_y]), target.T.ravel(), rcond=None)[0]
    fitted = affine.similarity_fit(POINTS[:1], POINTS[1:2])[0].numpy()
    np.testing.assert_allclose([fitted[0, 0], fitted[1, 0], *fitted[:, 2]], solution, atol=1e-10)


def test_weighted_similarity_fit_is_the_weighted_least_squares_solution():
    source, target = POINTS[2], POINTS[3]
    weight = uniform(30, 68, low=0, high=3)

    def residuals(parameters):
        a, b, x, y = parameters
        matrix = torch.tensor([[a, -b, x], [b, a, y]], dtype=torch.float64)
        return (weight.sqrt()[:, None] * (affine.apply(matrix[None], source[None])[0] - target)).flatten().numpy()

    solution = least_squares(residuals, [1, 0, 0, 0], xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    fitted = affine.similarity_fit(source[None], target[None], weight[None])[0].numpy()
    np.testing.assert_allclose([fitted[0, 0], fitted[1, 0], *fitted[:, 2]], solution, atol=1e-6)


def test_points_of_weight_zero_do_not_count_even_when_nan():
    matrix = similarities(40, 32)
    target, source, weight = affine.apply(matrix, POINTS), POINTS.clone(), torch.ones(32, 68, dtype=torch.float64)
    weight[:, ::3] = 0
    source[:, ::6], target[:, 3::6] = torch.nan, 1e9
    fitted = affine.similarity_fit(source, target, weight)
    torch.testing.assert_close(fitted, matrix, rtol=0, atol=1e-10)


def test_one_target_serves_a_whole_batch():
    one = affine.similarity_fit(POINTS, POINTS[:1])
    each = affine.similarity_fit(POINTS, POINTS[:1].expand(32, 68, 2))
    assert torch.equal(one, each)


def test_similarity_fit_keeps_float32_under_autocast():
    source = (POINTS * 0.56).float()
    target = affine.apply(similarities(50, 32, torch.float32), source)
    plain = affine.similarity_fit(source, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = affine.similarity_fit(source, target)
    assert cast.dtype == torch.float32
    assert torch.equal(cast, plain)


def test_similarity_fit_of_bfloat16_points_is_computed_in_float32():
    source, target = POINTS.bfloat16(), POINTS.flip(0).bfloat16()
    fitted = affine.similarity_fit(source, target)
    assert fitted.dtype == torch.float32
    assert torch.equal(fitted, affine.similarity_fit(source.float(), target.float()))


def test_gradients():
    source, target = (uniform(seed, 2, 5, 2).requires_grad_() for seed in (60, 61))
    weight = uniform(62, 2, 5, low=0.1, high=2).requires_grad_()
    assert torch.autograd.gradcheck(affine.similarity_fit, (source, target, weight))
    matrix = general(63, 2).requires_grad_()
    assert torch.autograd.gradcheck(affine.apply, (matrix, source))
    assert torch.autograd.gradcheck(affine.invert, (matrix,))


def test_points_of_weight_zero_give_no_nan_gradients():
    source, weight = POINTS[:1].clone(), torch.ones(1, 68)
    source[0, 3], weight[0, 3] = torch.nan, 0
    source.requires_grad_()
    affine.similarity_fit(source, POINTS[1:2], weight).sum().backward()
    assert source.grad[0, 3].tolist() == [0, 0]
    assert source.grad.isfinite().all()
    assert source.grad.abs().max() > 0


def test_maps_stay_float32_under_autocast():
    """A matrix product in bfloat16 would move points by up to a pixel."""
    matrix, points = similarities(70, 32, torch.float32), (POINTS * 0.56).float()
    plain = affine.apply(matrix, points), affine.compose(matrix, matrix), affine.invert(matrix)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = affine.apply(matrix, points), affine.compose(matrix, matrix), affine.invert(matrix)
    for expected, each in zip(plain, cast, strict=True):
        assert torch.equal(each, expected)
