"""Belief maps: rendering them from points and reading points from them, beside the field's loops (see README.md)."""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from patches import Contender, equal, measure, report
from rich.console import Console
from torch import Tensor

from canthus.models.heatmaps import SMALLEST, GaussianMaps, decode_maps

LANDMARKS, SIDE = 68, 64
SIGMA = 2.0
"""Cells, of maps as large as HRNet's and mmpose's."""
RADIUS = 3


def mmpose_maps(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The `generate_gaussian_heatmaps` of mmpose: for every point, a patch of three deviations."""
    maps = np.zeros((*points.shape[:2], SIDE, SIDE), np.float32)
    radius = SIGMA * 3
    size = 2 * radius + 1
    x = np.arange(0, size, 1, dtype=np.float32)
    y = x[:, None]
    x0 = y0 = size // 2
    for face, shape in enumerate(points):
        for number, point in enumerate(shape):
            mu = (point + 0.5).astype(np.int64)
            left, top = (mu - radius).astype(np.int64)
            right, bottom = (mu + radius + 1).astype(np.int64)
            if left >= SIDE or top >= SIDE or right < 0 or bottom < 0:
                continue
            gaussian = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * SIGMA**2))
            g_x1, g_x2 = max(0, -left), min(SIDE, right) - left
            g_y1, g_y2 = max(0, -top), min(SIDE, bottom) - top
            h_x1, h_x2 = max(0, left), min(SIDE, right)
            h_y1, h_y2 = max(0, top), min(SIDE, bottom)
            region = maps[face, number, h_y1:h_y2, h_x1:h_x2]
            np.maximum(region, gaussian[g_y1:g_y2, g_x1:g_x2], out=region)
    return maps


def hrnet_maps(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """HRNet-Facial-Landmark-Detection's `generate_target`, a map at a time."""
    maps = np.zeros((*points.shape[:2], SIDE, SIDE), np.float32)
    for face, shape in enumerate(points):
        for number, pt in enumerate(shape):
            tmp = SIGMA * 3
            ul = [int(pt[0] - tmp), int(pt[1] - tmp)]
            br = [int(pt[0] + tmp + 1), int(pt[1] + tmp + 1)]
            if ul[0] >= SIDE or ul[1] >= SIDE or br[0] < 0 or br[1] < 0:
                continue
            size = 2 * tmp + 1
            x = np.arange(0, size, 1, np.float32)
            y = x[:, np.newaxis]
            x0 = y0 = size // 2
            g = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * SIGMA**2))
            g_x = max(0, -ul[0]), min(br[0], SIDE) - ul[0]
            g_y = max(0, -ul[1]), min(br[1], SIDE) - ul[1]
            i_x, i_y = (max(0, ul[0]), min(br[0], SIDE)), (max(0, ul[1]), min(br[1], SIDE))
            maps[face, number, i_y[0] : i_y[1], i_x[0] : i_x[1]] = g[g_y[0] : g_y[1], g_x[0] : g_x[1]]
    return maps


def broadcast_maps(points: Tensor) -> Tensor:
    """Every cell's distance from every point, then one exponential a cell."""
    axis = torch.arange(SIDE, dtype=torch.float32)
    squared = (axis - points[..., 0, None, None]).square() + (axis[:, None] - points[..., 1, None, None]).square()
    maps = torch.exp(-squared / (2 * SIGMA**2))
    return torch.where(maps < SMALLEST, 0, maps)


def looped_centroids(maps: Tensor) -> Tensor:
    """The same local soft-arg-max, a point at a time."""
    points = torch.empty(*maps.shape[:2], 2)
    for face in range(len(maps)):
        for number in range(maps.shape[1]):
            one = maps[face, number]
            row, column = divmod(int(one.argmax()), SIDE)
            top, left = max(row - RADIUS, 0), max(column - RADIUS, 0)
            window = one[top : row + RADIUS + 1, left : column + RADIUS + 1].clamp_min(0)
            total = window.sum()
            rows, columns = (torch.arange(side, dtype=torch.float32) for side in window.shape)
            points[face, number, 0] = left + (window.sum(0) * columns).sum() / total
            points[face, number, 1] = top + (window.sum(1) * rows).sum() / total
    return points


def hrnet_points(maps: Tensor) -> Tensor:
    """HRNet's `decode_preds` before its crop is undone: the highest cell, moved a quarter to the higher neighbour."""
    values, index = torch.max(maps.view(maps.size(0), maps.size(1), -1), 2)
    index = index.view(maps.size(0), maps.size(1), 1) + 1
    coords = index.repeat(1, 1, 2).float()
    coords[:, :, 0] = (coords[:, :, 0] - 1) % maps.size(3) + 1
    coords[:, :, 1] = torch.floor((coords[:, :, 1] - 1) / maps.size(2)) + 1
    coords *= values.view(maps.size(0), maps.size(1), 1).gt(0).repeat(1, 1, 2).float()
    for n in range(coords.size(0)):
        for p in range(coords.size(1)):
            hm = maps[n][p]
            px, py = math.floor(coords[n][p][0]), math.floor(coords[n][p][1])
            if 1 < px < SIDE and 1 < py < SIDE:
                difference = torch.Tensor([hm[py - 1][px] - hm[py - 1][px - 2], hm[py][px - 1] - hm[py - 2][px - 1]])
                coords[n][p] += difference.sign() * 0.25
    return coords - 1


def render_contenders(points: Tensor) -> dict[str, Contender]:
    render = GaussianMaps((SIDE, SIDE), 1, SIGMA)
    ours, arrays = render(points)[:, :-1].clone(), points.numpy()
    equal("broadcasting", ours, broadcast_maps(points), 1e-4)
    rounded = GaussianMaps((SIDE, SIDE), 1, SIGMA)(points.round())[:, :-1]
    nearby = torch.from_numpy(mmpose_maps(points.round().numpy()))  # square patches, and ours ends at 1 % of the peak
    equal("mmpose, whole cells", rounded, torch.where(nearby < SMALLEST, 0, nearby), 1e-2)
    equal("HRNet, whole cells", nearby, torch.from_numpy(hrnet_maps(points.round().numpy())), 1e-4)
    return {
        "canthus, with background": lambda: render(points),
        "mmpose's loop": lambda: torch.from_numpy(mmpose_maps(arrays)),
        "HRNet's loop": lambda: torch.from_numpy(hrnet_maps(arrays)),
        "broadcasting": lambda: broadcast_maps(points),
    }


def decode_contenders(points: Tensor) -> dict[str, Contender]:
    maps = GaussianMaps((SIDE, SIDE), 1, SIGMA)(points)[:, :-1].clone()
    ours = decode_maps(maps, 1, radius=RADIUS)[0]
    equal("loop over points", ours, looped_centroids(maps), 1e-3)
    for name, read in (("canthus", ours), ("HRNet", hrnet_points(maps))):
        print(f"{name}: mean error on ideal maps {(read - points).norm(dim=-1).mean():.3f} cells")
    return {
        "canthus, one gather": lambda: decode_maps(maps, 1, radius=RADIUS)[0],
        "the same, a loop over points": lambda: looped_centroids(maps),
        "HRNet's loop (quarter cells)": lambda: hrnet_points(maps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    random = torch.Generator().manual_seed(0)
    points = torch.rand(options.batch, LANDMARKS, 2, generator=random) * (SIDE - 16) + 8
    console, size = Console(width=120), f"{options.batch} x {LANDMARKS} maps of {SIDE}x{SIDE}"
    results = {
        title: report(title, measure(contenders(points), options.rounds), console)
        for title, contenders in (
            (f"rendering {size}", render_contenders),
            (f"reading points from {size}", decode_contenders),
        )
    }
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
