"""dlib's ensemble of regression trees, trained on the faces that the models are trained on; or dlib's released model.

dlib comes from the package index (dlib-bin) into an environment of its own below OUT, which may be removed afterwards.
Training takes up to 50 minutes of one core and keeps its model in OUT/ert.dat: another call only predicts.
"""

import argparse
import subprocess
import sys
import venv
from pathlib import Path

from faces import PREDICTIONS, add_arguments, write_faces

HERE = Path(__file__).resolve().parent
PACKAGES = ("dlib-bin", "numpy")
ELSEWHERE = "trained by its authors on other data, perhaps on these faces"


def main() -> None:
    """Hand the faces to dlib; leaves OUT/NAME.predictions.json and what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--model", type=Path, help="a model of dlib's, such as the released one: nothing is trained")
    parser.add_argument("--python", type=Path, help="interpreter of an environment that has dlib; default: made in OUT")
    parser.add_argument("--options", default="{}", help="other settings of dlib's trainer, as JSON")
    args = parser.parse_args()
    if args.model and not args.model.is_file():
        parser.error(f"--model {args.model}: no such file")
    write_faces(args.data, args.output, args.train_parts, args.test_parts)
    python = args.python or environment(args.output / "venv")
    name = "dlib" if args.model else "ert"
    words = [args.output, "--model", args.model or args.output / "ert.dat", "--options", args.options]
    words += ["--predictions", args.output / PREDICTIONS.format(name)]
    words += ["--remark", ELSEWHERE] if args.model else []
    subprocess.run([python, HERE / "ert_dlib.py", *words], check=True)


def environment(folder: Path) -> Path:
    """The interpreter of a virtual environment with dlib, made if it is not there."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.is_file():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


if __name__ == "__main__":
    main()
