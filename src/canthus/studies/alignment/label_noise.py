"""What noise of the labels does to a benchmark, and how much of it there may be."""

from collections.abc import Sequence

import torch
from torch import Tensor

from canthus.geometry import affine
from canthus.geometry.pose import geodesic_angle, rotation_of_angles
from canthus.geometry.shapes import procrustes_mean
from canthus.schemes import Scheme
from canthus.studies.alignment.frames import alignment_maps, alignment_points
from canthus.studies.alignment.measures import frame_shift
from canthus.studies.alignment.projection import project_pose

__all__ = ["noise_floor", "unforeseen"]

FOLDS = 5
RIDGE = 0.01
"""Of the regression, in shares of the mean variance of a coordinate."""
SIZE = 96


def noise_floor(
    labels: Tensor, scheme: Scheme, distances: dict[str, Tensor], percents: Sequence[float], *, seed: int
) -> list[dict[str, float | None]]:
    """What a method without any error scores against labels with noise, and what noise does to alignments.

    Args:
        labels: (N, K, 2) original pixels.
        scheme: of the labels.
        distances: normaliser -> (N,) original pixels; ``inter_ocular`` among them.
        percents: standard deviations of x and y of every point, percent of the eye distance.
        seed: of the noise.

    Returns:
        For each deviation ``noise``, ``nme_`` by normaliser in percent, ``points`` and ``pose``: how far the aligned
        frame moves by the five points and by the projected pose, percent of the frame's eye distance; ``turn``, degrees
        between the poses with and without noise, None if no pose is left; and ``lost``, faces whose noisy points tell
        none.
    """
    labels = labels.double()
    eyes = distances["inter_ocular"].double()
    plain = project_pose(labels, scheme)
    by_points, by_pose = alignment_maps(alignment_points(labels, scheme), SIZE), alignment_maps(plain.points, SIZE)
    rows: list[dict[str, float | None]] = []
    for percent in percents:
        random = torch.Generator().manual_seed(seed)  # the same noise, larger
        drawn = torch.randn(labels.shape, generator=random, dtype=labels.dtype) * eyes[:, None, None] * percent / 100
        noisy = labels + drawn
        other = project_pose(noisy, scheme)
        length = drawn.norm(dim=-1).mean(1)
        row: dict[str, float | None] = {"noise": float(percent)}
        row |= {f"nme_{name}": float(100 * (length / distance).mean()) for name, distance in distances.items()}
        for name, before, points in (
            ("points", by_points, alignment_points(noisy, scheme)),
            ("pose", by_pose, other.points),
        ):
            row[name] = float(frame_shift(before, alignment_maps(points, SIZE), SIZE).mean())
        turn = geodesic_angle(rotation_of_angles(plain.angles), rotation_of_angles(other.angles)).rad2deg()
        known = turn[~turn.isnan()]
        rows.append(row | {"turn": float(known.mean()) if len(known) else None, "lost": other.lost})
    return rows


def unforeseen(labels: Tensor, scheme: Scheme, photos: Sequence[str]) -> dict[str, float]:
    """How far every point lies from where all others let expect it: an upper bound of the noise of the labels.

    A linear (ridge) regression learns each point from the others, all in the frame that a similarity of the others
    makes, and is tested on other images. What is left is noise of the labels, and what the others cannot know.

    Args:
        labels: (N, K, 2), all labelled.
        scheme: of the labels.
        photos: of every face; faces of one image, clip or person are learned from together.

    Returns:
        Region -> root mean square of x and y, percent of the eye distance; ``all`` points, too.

    Raises:
        ValueError: fewer images than folds.
    """
    labels = labels.double()
    groups = sorted(set(photos))
    if len(groups) < FOLDS:
        raise ValueError(f"{len(groups)} images; {FOLDS} at least tell what points let expect of each other")
    fold = torch.tensor([groups.index(photo) % FOLDS for photo in photos])
    left, right = (labels[:, list(points)].mean(1) for points in scheme.normalisers["inter_ocular"])
    mean = procrustes_mean(labels, torch.full(labels.shape[:2], 2), scheme.flip).double()
    squared = torch.zeros(labels.shape[1], dtype=labels.dtype)
    for point in range(labels.shape[1]):
        others = [i for i in range(labels.shape[1]) if i != point]
        maps = affine.similarity_fit(labels[:, others], mean[others][None])
        framed = affine.apply(maps, labels)
        # of the frame, so that pixels of the original image do not matter
        eyes = (right - left).norm(dim=1) * torch.linalg.det(maps[..., :2]).sqrt()
        known, wanted = framed[:, others].flatten(1), framed[:, point]
        for number in range(FOLDS):
            train, test = fold != number, fold == number
            x, y = known[train] - known[train].mean(0), wanted[train] - wanted[train].mean(0)
            normal = x.mT @ x
            normal += RIDGE * normal.diagonal().mean() * torch.eye(len(normal), dtype=labels.dtype)
            expected = wanted[train].mean(0) + (known[test] - known[train].mean(0)) @ torch.linalg.solve(
                normal, x.mT @ y
            )
            away = (wanted[test] - expected) / eyes[test, None]
            squared[point] += away.square().mean(1).sum() / len(labels)
    found = {"all": squared.mean()} | {name: squared[list(points)].mean() for name, points in scheme.regions.items()}
    return {name: float(100 * value.sqrt()) for name, value in found.items()}
