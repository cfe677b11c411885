"""Recover the generic 3-D face from 300-W and YouTube Faces labels and write src/canthus/geometry/generic_face.yaml.

    python scripts/make_generic_face.py W300_FOLDER YTF68_FOLDER [PICTURE]

Takes about two minutes on one core. The picture shows the face from three sides, and its modes.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from canthus.data.readers import W300, YTF68
from canthus.geometry.camera import Camera
from canthus.geometry.generic_face import ANCHORS, FILE, SCHEME, generic_face, write_generic_face
from canthus.geometry.structure import recover_structure, separate_modes
from canthus.schemes import load_scheme
from canthus.visualization.face import face_picture


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
        "Made by scripts/make_generic_face.py; canthus.geometry.structure explains the method. Do not edit.\n"
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
