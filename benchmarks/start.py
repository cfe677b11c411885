"""What a first prediction costs beside ``import torch``: processor seconds of whole processes (see README.md)."""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from canthus.data.synthetic import Synthetic

COMMAND = ["-m", "canthus.commands.predict", "run=zoo/dan", "source=photo.jpg"]
CONTENDERS = {
    "import torch": ["-c", "import torch"],
    "canthus.load and a first call": ["-c", "import canthus; canthus.load('zoo/dan')('photo.jpg')"],
    "canthus-predict, one image": [*COMMAND, "output=out"],
    "canthus-predict --help": ["-m", "canthus.commands.predict", "--help"],
    "canthus-predict --cfg job": [*COMMAND, "output=out", "--cfg", "job"],
}


def spent(words: list[str], folder: Path) -> float:
    """User and system milliseconds of a process and its children."""
    before = os.times()
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")
    user = after.children_user - before.children_user
    return 1000 * (user + after.children_system - before.children_system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--image", type=Path, help="a photograph; by default a rendered face of 512 pixels")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if options.image:
            (folder / "photo.jpg").write_bytes(options.image.read_bytes())
        else:
            source = Synthetic(size=1, resolution=512)
            pixels = source.pixels(source.faces(["train"])[0].image)
            cv2.imwrite(str(folder / "photo.jpg"), np.ascontiguousarray(pixels[..., ::-1]))
        for _ in range(options.rounds):
            for name in random.sample(list(CONTENDERS), len(CONTENDERS)):
                times[name].append(spent(CONTENDERS[name], folder))
    base = statistics.median(times["import torch"])
    table = Table("", "CPU s", "least..most", "x", title="a first prediction")
    for name, values in times.items():
        middle = statistics.median(values)
        table.add_row(
            name, f"{middle / 1000:.2f}", f"{min(values) / 1000:.2f}..{max(values) / 1000:.2f}", f"{middle / base:.2f}"
        )
    Console(width=100).print(table)
    if options.json:
        options.json.write_text(json.dumps({"a first prediction": times}, indent=1))


if __name__ == "__main__":
    main()
