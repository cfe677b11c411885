"""Fit the head of the synthetic faces to labels by people and write src/canthus/data/synthetic/fit.yaml.

    python scripts/fit_head.py W300_FOLDER

First the pitch of a level head, until PnP tells the same mean pitch of rendered and of real labels. Then the landmarks
at rest: both sets of labels are reduced to their mean shapes (generalised Procrustes), and the landmarks move by what
is between the two, again and again, so that poses, perspective and the outline of turned cheeks act on both alike.
The pitch comes first, for a nod and a change of shape look alike, and the smaller change of shape is to be preferred.
Depths are not changed, and lips that meet keep meeting. Only faces of the training split of `data=w300` are read.
Two minutes on one core.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from canthus.data.readers import W300
from canthus.data.split import hold_out
from canthus.data.synthetic import Synthetic
from canthus.data.synthetic.labels import landmarks
from canthus.data.synthetic.mesh import head_mesh
from canthus.data.synthetic.surface import FIT, SEAM, controls, fit
from canthus.geometry import affine
from canthus.geometry.shapes import procrustes_mean
from canthus.inspection.measures import point_measures
from canthus.schemes import load_scheme

PITCH_STEPS, STEPS, FACES, DAMPING = 2, 6, 1500, 0.8
FLIP = list(load_scheme("68").flip)
EYES = (36, 45)
Floats = NDArray[np.float64]


def main(w300: Path) -> None:
    """Read, fit, write."""
    console = Console()
    faces = W300(w300, allow_partial=True).faces(["helen/trainset", "afw"])
    held_out = hold_out(faces, 0.1, 0)
    real = np.stack([face.landmarks for face, held in zip(faces, held_out, strict=True) if not held])
    goal, pitch = _mean(real), _pitch(real)
    points, level, first = np.zeros((68, 2)), 0.0, 0.0
    for step in range(PITCH_STEPS + STEPS + 1):
        _write(points, level, f"after {step} steps")
        drawn = _drawn()
        away, lack = _distance(_mean(drawn), goal), pitch - _pitch(drawn)
        error = np.linalg.norm(away, axis=1)
        first = first or error.mean()
        console.print(f"step {step}: {100 * error.mean():.2f} % of the eyes' distance, pitch off by {lack:.1f} degrees")
        if step < PITCH_STEPS:
            level += lack
        elif step < PITCH_STEPS + STEPS:
            move = away * np.linalg.norm(np.subtract(*controls().points[list(EYES), :2]))
            for pair in SEAM:
                move[list(pair)] = move[list(pair)].mean(0)
            points = points + DAMPING * move
    _write(
        points,
        level,
        f"Fitted to {len(real)} faces of 300-W (HELEN and AFW, the training split of data=w300), {FACES} rendered.\n"
        f"Mean distance of the mean shapes: {100 * first:.2f} % of the outer eye corners' distance before, "
        f"{100 * error.mean():.2f} % after;\n"
        f"the farthest point ({error.argmax()}) is {100 * error.max():.2f} % off, the mean pitch {lack:.2f} degrees.",
    )


def _drawn() -> Floats:
    """(FACES, 68, 2) labels of difficulty medium."""
    reader = Synthetic(without=["glasses", "hair", "hats", "occluders"])  # which move no label
    scenes = (reader.scene("train", i) for i in range(FACES))
    return np.stack([scene.project(landmarks(scene, "68")) for scene in scenes])


def _mean(points: Floats) -> Floats:
    mean = procrustes_mean(torch.from_numpy(points), torch.full(points.shape[:2], 2), FLIP)
    return np.asarray(mean.double().numpy())


def _distance(drawn: Floats, goal: Floats) -> Floats:
    """(68, 2) from the drawn shape to the goal, in distances of the outer eye corners."""
    start, end = torch.from_numpy(drawn), torch.from_numpy(goal)
    fitted = affine.apply(affine.similarity_fit(start[None], end[None]), start[None])[0]
    away = ((end - fitted) / (end[EYES[1]] - end[EYES[0]]).norm()).numpy()
    return np.asarray(away + away[FLIP] * (-1, 1)) / 2


def _pitch(points: Floats) -> float:
    return float(np.nanmean(point_measures(points, np.ones(points.shape[:2], dtype=np.bool_))["pitch"]))


def _write(points: Floats, level: float, provenance: str) -> None:
    lines = ["# Made by scripts/fit_head.py, which explains the method. Do not edit.\n"]
    lines += [f"# {line}\n" for line in provenance.splitlines()]
    lines += [f"pitch: {level:.2f} # degrees, of a head that looks at the camera, in the frame of the generic face\n"]
    lines += ["points: # x right, y down: millimetres to add to the 68 landmarks of the head at rest\n"]
    # half the points decide, so that rounding cannot spoil the symmetry
    rounded = np.where(np.arange(68)[:, None] <= np.array(FLIP)[:, None], points, points[FLIP] * (-1, 1)).round(2) + 0.0
    lines += [f"  - [{x:.2f}, {y:.2f}]\n" for x, y in rounded]
    FIT.write_text("".join(lines), encoding="utf-8")
    for cached in (fit, controls, head_mesh):
        cached.cache_clear()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
