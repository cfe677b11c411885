"""dlib's ensemble of regression trees, trained on the faces that the models are trained on.

dlib comes from the package index (dlib-bin) into an environment of its own below OUT, which may be removed afterwards.
Training takes about 50 minutes of one core and keeps its model in OUT/ert.dat: another call only predicts.
"""

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path

import cv2
import numpy as np

from canthus.data.face import Face
from canthus.data.readers import W300
from canthus.schemes import load_scheme

HERE = Path(__file__).resolve().parent
PACKAGES = ("dlib-bin", "numpy")


def main() -> None:
    """Hand the faces to dlib; leaves OUT/ert_predictions.json and what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of 300-W")
    parser.add_argument("--output", type=Path, required=True, help="outside of the repository")
    parser.add_argument("--train-parts", nargs="+", default=["helen/trainset", "afw"])
    parser.add_argument("--test-parts", nargs="+", default=["helen/testset"])
    parser.add_argument("--python", type=Path, help="interpreter of an environment that has dlib; default: made in OUT")
    parser.add_argument("--options", default="{}", help="other settings of dlib's trainer, as JSON; quick: {...}")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    write_faces(args.data, args.output, args.train_parts, args.test_parts)
    python = args.python or environment(args.output / "venv")
    words = [args.output, "--model", args.output / "ert.dat", "--predictions", args.output / "ert_predictions.json"]
    subprocess.run([python, HERE / "ert_dlib.py", *words, "--options", args.options], check=True)
    score = f"predictions={args.output / 'ert_predictions.json'} name=ert data=w300 data.root={args.data}"
    print(f"canthus-eval {score} data.test_parts=[{','.join(args.test_parts)}] data.allow_partial=true")


def write_faces(root: Path, output: Path, train_parts: list[str], test_parts: list[str]) -> None:
    """faces.json with labels and tight boxes, and the grey pixels of every image as canthus reads it."""
    reader = W300(root, allow_partial=True)
    pixels = output / "pixels"
    pixels.mkdir(exist_ok=True)

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


def environment(folder: Path) -> Path:
    """The interpreter of a virtual environment with dlib, made if it is not there."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.is_file():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


if __name__ == "__main__":
    main()
