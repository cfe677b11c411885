"""The faces of a comparison, as other tools get them: labels, tight boxes, and grey pixels as canthus reads them."""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from canthus.data.face import Face
from canthus.data.readers import W300
from canthus.schemes import load_scheme

__all__ = ["PREDICTIONS", "add_arguments", "write_faces"]

PREDICTIONS = "{}.predictions.json"
"""Name of a tool's file in the folder that ``canthus benchmark yardsticks=`` reads."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What every yardstick is told."""
    parser.add_argument("--data", type=Path, required=True, help="folder of 300-W")
    parser.add_argument("--output", type=Path, required=True, help="folder of the predictions, not in the repository")
    parser.add_argument("--train-parts", nargs="+", default=["helen/trainset", "afw"])
    parser.add_argument("--test-parts", nargs="+", default=["helen/testset"])


def write_faces(root: Path, output: Path, train_parts: list[str], test_parts: list[str]) -> None:
    """Write ``faces.json`` and a file of pixels for each image.

    Raises:
        ValueError: a part trains and tests.
    """
    if both := set(train_parts) & set(test_parts):
        raise ValueError(f"{', '.join(sorted(both))}: what tests may not train")
    reader = W300(root, allow_partial=True)
    pixels = output / "pixels"
    pixels.mkdir(parents=True, exist_ok=True)

    def entry(face: Face) -> dict[str, object]:
        name = face.image.relative_to(root).with_suffix("").as_posix()
        target = pixels / f"{name.replace('/', '__')}.npy"
        if not target.is_file():
            np.save(target, cv2.cvtColor(np.ascontiguousarray(reader.pixels(face.image)), cv2.COLOR_RGB2GRAY))
        return {
            "image": name,
            "pixels": target.relative_to(output).as_posix(),
            "points": face.landmarks.tolist(),
            "box": face.box.tolist(),
        }

    content: dict[str, object] = {"mirror": [int(point) for point in load_scheme("68").flip]}
    content |= {"train": [entry(face) for face in reader.faces(train_parts)]}
    content |= {"test": [entry(face) for face in reader.faces(test_parts)]}
    (output / "faces.json").write_text(json.dumps(content))
