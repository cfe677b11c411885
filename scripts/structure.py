"""A 3-D face and how it varies, from the labelled points of many images (non-rigid structure from motion).

The start is the rank-3 factorisation of Tomasi and Kanade, IJCV 1992, made metric. It is refined as in Torresani,
Hertzmann and Bregler, "Nonrigid structure-from-motion", PAMI 2008: every face is the mean face plus modes with normally
distributed coefficients, and expectation maximisation alternates between poses (here by `solve_pnp`, under the camera
that is to be used), coefficients, and shapes. Two things are ours: the face is exactly symmetric, and the points of the
jaw that annotators moved along the visible outline of a turned head are left out.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from canthus.geometry import boxes
from canthus.geometry.camera import CROP, Camera, placed
from canthus.geometry.pnp import PoseSolution, solve_pnp

__all__ = ["Anchors", "Structure", "recover_structure", "separate_modes"]

ROBUST = 3.0
"""Standard deviations at which a residual counts half."""
OUTLINE = 0.1
"""Weight of the jaw where the poses are not known yet, and so not what slides."""
RIGID = 4
"""Iterations before the modes begin."""
TURNED = 0.1
"""Share of the faces, those turned furthest, that the depth of the mean face is measured on."""
SLIDING = 0.1
"""Yaw in radians from which the outline of the far side is no longer the jaw."""


@dataclass(frozen=True)
class Anchors:
    """Where the mean face stands: what a factorisation leaves open.

    Attributes:
        upper: pair of points (image-left, image-right) on the x axis of the face.
        lower: likewise, further down.
        nose: a point that stands out towards the camera.
        outline: the points that slide, image-left side first, chin in the middle.
        upper_place: y and z of the upper pair's middle.
        lower_place: y and z of the lower pair's middle; only its direction from the upper one counts.
        distance: between the upper pair.
    """

    upper: tuple[int, int]
    lower: tuple[int, int]
    nose: int
    outline: tuple[int, ...]
    upper_place: tuple[float, float]
    lower_place: tuple[float, float]
    distance: float


@dataclass(frozen=True)
class Structure:
    """What was recovered from N faces.

    Attributes:
        mean: (K, 3), exactly symmetric.
        modes: (M, K, 3) for one standard deviation each, symmetric; the largest first.
        coefficients: (N, M).
        poses: of the faces with their own shapes.
        deviation: (K,) root mean square distance between the points and the mean face under its best pose, units of
            the 3-D face at its depth: expression, identity and labelling together.
        rigid_error: (N,) re-projection error of the mean face, pixels of the camera.
        error: (N,) likewise of the face with its modes.
    """

    mean: Tensor
    modes: Tensor
    coefficients: Tensor
    poses: PoseSolution
    deviation: Tensor
    rigid_error: Tensor
    error: Tensor


def recover_structure(
    points: Tensor,
    flip: Sequence[int],
    anchors: Anchors,
    camera: Camera,
    *,
    modes: int = 8,
    iterations: int = 12,
    progress: Callable[[int, float], None] | None = None,
) -> Structure:
    """Recover the mean face and its modes.

    Depth is measured on the faces that are turned furthest; see `_with_depth`.

    Args:
        points: (N, K, 2) pixels of any images; all labelled. They are framed by the square of 1.5 boxes.
        flip: the scheme's permutation.
        anchors: scale, place and tilt of the mean face.
        camera: that looks at the square.
        modes: M.
        iterations: of expectation maximisation.
        progress: is told the iteration and the standard deviation of the residuals, pixels of the camera.

    Raises:
        ValueError: the points do not determine a shape: fewer faces than needed, or all turned alike.
    """
    points = _framed(points.double(), camera)
    mirror = torch.as_tensor(flip)
    mean = _anchored(_factorised(points), mirror, anchors)
    shapes, coefficients = mean.new_zeros(0, *mean.shape), points.new_zeros(len(points), 0)
    base = torch.ones_like(mean[:, 0])
    base[list(anchors.outline)] = OUTLINE
    weight, sigma = base.expand(points.shape[:2]), mean.new_tensor(3.0)
    for iteration in range(iterations):
        own = mean + torch.einsum("nm,mkc->nkc", coefficients, shapes)
        poses = solve_pnp(points, own, camera, weight)
        if iteration == RIGID:  # the rigid face comes first: modes must not explain what a better mean explains
            shapes = _first_modes(points, mean, poses, camera, mirror, modes)
        views, seen = _linearised(points, poses, own, camera)
        used = weight * _visible_outline(poses, anchors, points.shape[1])
        coefficients, second = _expected(views, seen, mean, shapes, used, sigma)
        residual = _residual(views, seen, mean, shapes, coefficients)
        sigma = ((used * residual.square()).sum() / (2 * used.sum())).sqrt()
        weight = poses.valid[:, None] / (1 + (residual / (2**0.5 * ROBUST * sigma)).square())
        used = weight * _visible_outline(poses, anchors, points.shape[1])
        basis = _shapes(views, seen, used, coefficients, second, mirror)
        mean = _with_depth(_anchored(basis[0], mirror, anchors), points, poses, camera, mirror, anchors)
        size = (mean - mean.mean(0)).norm() / (basis[0] - basis[0].mean(0)).norm()
        shapes, coefficients = _own_modes(basis[1:] * size, mean, coefficients)
        if progress is not None:
            progress(iteration, float(sigma))
    rigid = solve_pnp(points, mean, camera, base)
    deviation = _deviation(points, mean, rigid, camera)
    own = mean + torch.einsum("nm,mkc->nkc", coefficients, shapes)
    final = solve_pnp(points, own, camera, base)
    deviation = ((deviation.square() + deviation[mirror].square()) / 2).sqrt()
    return Structure(mean, shapes, coefficients, final, deviation, rigid.error, final.error)


def _framed(points: Tensor, camera: Camera) -> Tensor:
    """(N, K, 2) in the frame of an image that shows the square of 1.5 longer sides of the box around the points."""
    box = boxes.box_of_points(points)
    side = CROP * (box[:, 2:] - box[:, :2]).amax(1)
    return (points - boxes.centre(box)[:, None]) * (camera.side / side)[:, None, None] + camera.side / 2


def _deviation(points: Tensor, mean: Tensor, poses: PoseSolution, camera: Camera) -> Tensor:
    """(K,) root mean square distance of the points from the mean face, in its units, over the valid poses."""
    seen = placed(mean, poses.rotation, poses.translation)
    offset = (points - camera.project(seen)) * seen[..., 2:] / camera.focal
    return offset[poses.valid].square().sum(-1).mean(0).sqrt()


def separate_modes(coefficients: Tensor, groups: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the modes so that persons and expressions come apart (a linear discriminant analysis).

    Args:
        coefficients: (N, M) of the faces whose person is known.
        groups: N persons; those with one face do not count.

    Returns:
        (M, M) whose rows make the new modes out of the old ones, each for one standard deviation, and (M,) variances
        between and within persons, of which the sum is 1. The largest share between persons comes first.

    Raises:
        ValueError: no person has two faces.
    """
    names = sorted(name for name, count in Counter(groups).items() if count > 1)
    if not names:
        raise ValueError("no person has two faces, so modes of identity and expression cannot be told apart")
    place = {name: i for i, name in enumerate(names)}
    kept = torch.tensor([name in place for name in groups])
    person = torch.tensor([place[name] for name in groups if name in place])
    values = coefficients[kept]
    counts = torch.bincount(person).to(values)
    means = values.new_zeros(len(names), values.shape[1]).index_add(0, person, values) / counts[:, None]
    inner = values - means[person]
    within = inner.mT @ inner / (len(values) - len(names))
    centred = means - means.mean(0)
    # a mean of n faces still holds an n-th of the variance within
    between = centred.mT @ centred / (len(names) - 1) - within * (1 / counts).mean()
    factor = torch.linalg.cholesky(within + between)
    white = torch.linalg.solve(factor, torch.linalg.solve(factor, between).mT)
    share, directions = torch.linalg.eigh((white + white.mT) / 2)
    order = share.argsort(descending=True)
    share = share[order].clamp(0, 1)
    return (factor @ directions[:, order]).mT, share, 1 - share


def _factorised(points: Tensor) -> Tensor:
    """(K, 3) rigid shape up to a rotation, a scale and a reflection."""
    centred = points - points.mean(1, keepdim=True)
    centred = centred / centred.square().sum((1, 2), keepdim=True).sqrt()
    measured = centred.mT.flatten(0, 1)  # (2N, K)
    u, s, vt = torch.linalg.svd(measured, full_matrices=False)
    motion, shape = u[:, :3] * s[:3].sqrt(), s[:3].sqrt()[:, None] * vt[:3]
    # rows of every face's motion shall be orthogonal and equally long under Q Q^T
    rows = motion.unflatten(0, (-1, 2))
    first, second = rows.unbind(1)
    equations = torch.cat(
        [
            _products(first, first) - _products(second, second),
            _products(first, second),
            len(points) * (_products(first, first) + _products(second, second)).mean(0, keepdim=True),
        ]
    )
    target = equations.new_zeros(len(equations))
    target[-1] = len(points)
    entries = torch.linalg.lstsq(equations, target[:, None]).solution[:, 0]
    gram = entries.new_zeros(3, 3)
    upper = torch.triu_indices(3, 3)
    gram[upper[0], upper[1]] = entries
    gram = gram + gram.triu(1).mT
    factor, info = torch.linalg.cholesky_ex(gram)
    if int(info) or len(points) < 3:
        raise ValueError(
            f"{len(points)} faces do not determine a 3-D shape; take more faces, and such that are turned differently"
        )
    rigid: Tensor = torch.linalg.solve(factor, shape).mT
    return rigid


def _products(a: Tensor, b: Tensor) -> Tensor:
    """(N, 6) coefficients of a L b^T in the six entries of a symmetric L."""
    upper = torch.triu_indices(3, 3)
    product = a[:, :, None] * b[:, None]
    both = (product + product.mT)[:, upper[0], upper[1]]
    return torch.where(upper[0] == upper[1], both / 2, both)


def _anchored(shape: Tensor, mirror: Tensor, anchors: Anchors) -> Tensor:
    """Upright, symmetric, at its scale and place."""
    pairs = shape - shape[mirror]
    across = torch.linalg.svd(pairs, full_matrices=False).Vh[0]
    left, right = anchors.upper
    across = across * torch.sign((shape[right] - shape[left]) @ across)
    middle_up, middle_low = (shape[list(pair)].mean(0) for pair in (anchors.upper, anchors.lower))
    down = middle_low - middle_up
    down = torch.nn.functional.normalize(down - (down @ across) * across, dim=0)
    axes = torch.stack([across, down, torch.linalg.cross(across, down)])
    turned = (shape - middle_up) @ axes.mT
    if turned[anchors.nose, 2] > 0:  # reversed depth fits as well in a weak perspective
        turned = turned * turned.new_tensor([1, 1, -1])
    turned = (turned + turned[mirror] * turned.new_tensor([-1, 1, 1])) / 2
    wanted = torch.tensor(anchors.lower_place) - torch.tensor(anchors.upper_place)
    tilt = torch.atan2(wanted[1], wanted[0]).double() - torch.atan2(*turned[anchors.lower[0], [2, 1]])
    y = turned[:, 1] * tilt.cos() - turned[:, 2] * tilt.sin()
    z = turned[:, 1] * tilt.sin() + turned[:, 2] * tilt.cos()
    scale = anchors.distance / (turned[right, 0] - turned[left, 0])
    placed_shape = torch.stack([turned[:, 0], y, z], 1) * scale
    return placed_shape + torch.tensor([0.0, *anchors.upper_place], dtype=shape.dtype)


def _with_depth(
    mean: Tensor, points: Tensor, poses: PoseSolution, camera: Camera, mirror: Tensor, anchors: Anchors
) -> Tensor:
    """The face with the depth that explains best, rigidly, the faces that are turned furthest.

    Poses and depth found in turns hardly move from where they began (a deeper face that is turned less looks nearly the
    same), and modes take what foreshortening should tell for narrow faces.
    """
    yaw = poses.angles[:, 0].abs()
    turned = points[yaw >= yaw.quantile(1 - TURNED)]
    weight = torch.ones_like(mean[:, 0])
    weight[list(anchors.outline)] = 0
    factors = torch.linspace(0.85, 1.15, 7, dtype=mean.dtype)
    shapes = [_anchored(mean * torch.stack([factor**0, factor**0, factor]), mirror, anchors) for factor in factors]
    errors = [solve_pnp(turned, shape, camera, weight).error for shape in shapes]
    limit = 2 * errors[3].median()  # beyond it a label is wrong or an expression strong
    costs = torch.stack([error.square().div(1 + (error / limit).square()).mean() for error in errors])
    best = int(costs.argmin().clamp(1, 5))
    left, middle, right = costs[best - 1 : best + 2]
    step = 0.5 * (left - right) / (left - 2 * middle + right)
    factor = factors[best] + step.clamp(-1, 1) * (factors[1] - factors[0])
    return _anchored(mean * torch.stack([factor**0, factor**0, factor]), mirror, anchors)


def _linearised(points: Tensor, poses: PoseSolution, own: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """(N, K, 2, 3) maps from shape to image at the depths found so far, and (N, K, 2) what they should give."""
    depth = placed(own, poses.rotation, poses.translation)[..., 2]
    zoom = (camera.focal / depth)[..., None]
    views = zoom[..., None] * poses.rotation[:, None, :2]
    return views, points - camera.side / 2 - zoom * poses.translation[:, None, :2]


def _visible_outline(poses: PoseSolution, anchors: Anchors, count: int) -> Tensor:
    """(N, K) 0 for the points of the jaw on the side that is turned away, 1 elsewhere."""
    yaw = poses.angles[:, 0]
    half = len(anchors.outline) // 2
    still = torch.ones(len(yaw), count, dtype=yaw.dtype)
    # the nose points to the image's left where yaw is positive: the left side is the far one
    for side, away in ((anchors.outline[:half], yaw > SLIDING), (anchors.outline[half + 1 :], yaw < -SLIDING)):
        still[:, list(side)] = torch.where(away, 0.0, 1.0).to(yaw)[:, None]
    return still


def _first_modes(points: Tensor, mean: Tensor, poses: PoseSolution, camera: Camera, mirror: Tensor, m: int) -> Tensor:
    """Principal components of what the rigid face leaves, taken as movements parallel to the image plane."""
    views, seen = _linearised(points, poses, mean, camera)
    left = seen - (views @ mean[:, :, None])[..., 0]
    scale = views[..., 0, :].square().sum(-1, keepdim=True)
    moved = (views.mT @ left[..., None])[..., 0] / scale
    moved = (moved + moved[:, mirror] * moved.new_tensor([-1, 1, 1])) / 2
    moved = moved - moved.median(0).values
    limit = moved.flatten(1).norm(dim=1)
    moved = moved[limit <= limit.quantile(0.95)]
    _, spread, directions = torch.linalg.svd(moved.flatten(1), full_matrices=False)
    first: Tensor = (directions[:m] * spread[:m, None] / len(moved) ** 0.5).unflatten(1, (-1, 3))
    return first


def _expected(
    views: Tensor, seen: Tensor, mean: Tensor, shapes: Tensor, weight: Tensor, sigma: Tensor
) -> tuple[Tensor, Tensor]:
    """(N, M) coefficients expected of every face and (N, M + 1, M + 1) their second moments with the constant 1."""
    design = torch.einsum("nkac,mkc->nkam", views, shapes).flatten(1, 2)
    left = (seen - (views @ mean[:, :, None])[..., 0]).flatten(1)
    weighted = design * (weight / sigma.square()).repeat_interleave(2, 1)[..., None]
    precision = weighted.mT @ design + torch.eye(len(shapes), dtype=mean.dtype)
    covariance = torch.linalg.inv(precision)
    coefficients = (covariance @ (weighted.mT @ left[..., None]))[..., 0]
    extended = torch.nn.functional.pad(coefficients, (1, 0), value=1.0)
    second = extended[:, :, None] * extended[:, None]
    second[:, 1:, 1:] += covariance
    return coefficients, second


def _residual(views: Tensor, seen: Tensor, mean: Tensor, shapes: Tensor, coefficients: Tensor) -> Tensor:
    """(N, K) distances in pixels."""
    own = mean + torch.einsum("nm,mkc->nkc", coefficients, shapes)
    return (seen - (views @ own[..., None])[..., 0]).square().sum(-1).sqrt()


def _shapes(
    views: Tensor,
    seen: Tensor,
    weight: Tensor,
    coefficients: Tensor,
    second: Tensor,
    mirror: Tensor,
) -> Tensor:
    """(1 + M, K, 3) mean and modes by least squares; a point and its mirror image share their equations."""
    m = second.shape[1]
    sign = seen.new_tensor([-1, 1, 1])
    gram = torch.einsum("nk,nkac,nkad->nkcd", weight, views, views)
    normal = torch.einsum("nij,nkcd->kicjd", second, gram).flatten(3, 4).flatten(1, 2)
    extended = torch.nn.functional.pad(coefficients, (1, 0), value=1.0)
    right = torch.einsum("ni,nk,nkac,nka->kic", extended, weight, views, seen).flatten(1)
    signs = sign.repeat(m)
    normal = normal + (signs[:, None] * normal * signs)[mirror]
    right = right + (signs * right)[mirror]
    ridge = 1e-9 * normal.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    solved = torch.linalg.solve(normal + ridge * torch.eye(3 * m, dtype=seen.dtype), right[..., None])[..., 0]
    solved = (solved + (signs * solved)[mirror]) / 2
    basis: Tensor = solved.unflatten(1, (m, 3)).transpose(0, 1)
    return basis


def _own_modes(shapes: Tensor, mean: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """Modes without the share that a pose explains, with coefficients of unit variance, largest first."""
    if not len(shapes):
        return shapes, coefficients
    centred = mean - mean.mean(0)
    _, along_y, along_z = torch.eye(3, dtype=mean.dtype).expand(len(mean), 3, 3).unbind(1)
    nod = centred[:, [0, 2, 1]] * mean.new_tensor([0, -1, 1])
    pose = torch.stack([along_y, along_z, centred, nod]).flatten(1)
    basis = torch.linalg.qr(pose.mT).Q
    flat = shapes.flatten(1)
    flat = flat - (flat @ basis) @ basis.mT
    covariance = torch.cov(coefficients.mT).reshape(len(shapes), len(shapes))
    factor = torch.linalg.cholesky(covariance + 1e-9 * torch.eye(len(shapes), dtype=mean.dtype))
    _, spread, directions = torch.linalg.svd(factor.mT @ flat, full_matrices=False)
    modes = spread[:, None] * directions
    new = coefficients @ flat @ torch.linalg.pinv(modes)
    return modes.unflatten(1, (-1, 3)), new
