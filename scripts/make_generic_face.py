"""Recover the generic 3-D face from 300-W and YouTube Faces labels and write src/canthus/geometry/generic_face.yaml.

    python -m scripts.make_generic_face W300_FOLDER YTF68_FOLDER [PICTURE]

Takes about two minutes on one core. The picture shows the face from three sides, and its modes.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from canthus.data.readers import W300, YTF68
from canthus.geometry.camera import Camera
from canthus.geometry.generic_face import FILE, SCHEME, generic_face
from canthus.schemes import load_scheme
from scripts.face_picture import face_picture
from scripts.structure import Anchors, Structure, recover_structure, separate_modes

ANCHORS = Anchors(
    upper=(36, 45),  # outer eye corners: in model 10 at (-39.37, -30.15, -15.86) and (39.69, -30.16, -15.74)
    lower=(48, 54),  # mouth corners: (-24.90, 31.22, -25.29) and (23.11, 31.19, -24.84)
    nose=30,
    outline=tuple(range(17)),
    upper_place=(-30.155, -15.8),
    lower_place=(31.205, -25.065),
    distance=79.06,
)
"""Facts about the published 3-D face that fix scale, place and tilt of ours."""


def main(w300: Path, ytf68: Path, picture: Path | None) -> None:
    """Read, recover, write, draw."""
    console = Console()
    images = W300(w300, allow_partial=True).faces(["helen/trainset", "afw"])
    frames = YTF68(ytf68).faces(["training"])
    points = torch.from_numpy(np.stack([face.landmarks for face in [*images, *frames]]))
    structure = recover_structure(
        points,
        load_scheme(SCHEME).flip,
        ANCHORS,
        Camera(),
        progress=lambda step, sigma: console.print(f"iteration {step + 1}: residual deviation {sigma:.3f} px of 224"),
    )
    turn, between, within = separate_modes(
        structure.coefficients[len(images) :], [str(face.identity) for face in frames]
    )
    modes = torch.einsum("ij,jkc->ikc", turn, structure.modes)
    first, second = slice(0, len(images)), slice(len(images), None)
    yaw = structure.poses.angles[:, 0].rad2deg()
    provenance = (
        "Made by scripts/make_generic_face.py; scripts/structure.py explains the method. Do not edit.\n"
        f"From the labels of {len(images)} faces of 300-W (HELEN and AFW, by people) and {len(frames)} frames of "
        "YouTube Faces (by a model).\n"
        "Median re-projection error in pixels of the 224 px crop, weighted as in the fit: "
        f"{structure.rigid_error[first].median():.2f} on 300-W and\n"
        f"{structure.rigid_error[second].median():.2f} on YouTube Faces for the mean face alone, "
        f"{structure.error[first].median():.2f} and {structure.error[second].median():.2f} with {len(modes)} modes.\n"
        f"Yaw of the faces: standard deviation {yaw.std():.1f}, largest {yaw.abs().max():.0f} degrees."
    )
    write_generic_face(FILE, structure, modes, between, within, provenance)
    console.print(provenance)
    if picture:
        generic_face.cache_clear()
        face_picture(generic_face(), load_scheme(SCHEME), picture)


def write_generic_face(
    path: Path, structure: Structure, modes: Tensor, between: Tensor, within: Tensor, provenance: str
) -> None:
    """Write the file that `generic_face` reads.

    Args:
        path: of the file.
        structure: mean and deviation.
        modes: (M, 68, 3) for one standard deviation.
        between: (M,) share of each mode's variance that lies between persons.
        within: (M,) share within persons.
        provenance: lines of comment.
    """
    parts = ["".join(f"# {line}\n" for line in provenance.splitlines())]
    parts += ["points: # x right, y down, z away from the camera\n"]
    parts += [f"  - [{line}]\n" for line in _lines(structure.mean, 3)]
    parts += ["deviation:\n  [\n", *(f"    {line},\n" for line in _lines(structure.deviation, 17)), "  ]\n"]
    parts += ["modes: # changes for one standard deviation; x, y, z of four points in a line\n"]
    for mode, persons, expressions in zip(modes, between.tolist(), within.tolist(), strict=True):
        parts += [f"  - kind: {'shape' if persons > expressions else 'expression'}\n"]
        parts += [f"    between_persons: {persons:.2f}\n    within_persons: {expressions:.2f}\n"]
        parts += ["    points:\n      [\n", *(f"        {line},\n" for line in _lines(mode, 12)), "      ]\n"]
    path.write_text("".join(parts), encoding="utf-8")


def _lines(values: Tensor, columns: int) -> list[str]:
    rows = (values.reshape(-1, columns) + 0.0).round(decimals=3) + 0.0  # no -0.000
    return [", ".join(f"{value:.3f}" for value in row) for row in rows.tolist()]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
