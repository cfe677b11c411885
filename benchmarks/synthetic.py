"""Rendered faces of 256 pixels: milliseconds a face for labels alone, and for pictures, in batches and singly."""

import argparse
import json
from pathlib import Path

import torch
from patches import Contender, measure, report
from rich.console import Console

from canthus.data.synthetic import Synthetic
from canthus.data.synthetic.render import render

RESOLUTION = 256


def contenders(count: int, device: str) -> dict[str, Contender]:
    """What is timed; the first is the reference of the others."""
    reader = Synthetic(size=count, resolution=RESOLUTION)
    faces = reader.faces(["train"])
    scenes = [reader.scene("train", i) for i in range(count)]

    def batch() -> None:
        render(scenes, [reader.stream("train", i, "render") for i in range(count)], RESOLUTION, device)

    return {
        "pictures in one batch, scenes known": batch,
        "pictures one at a time, as the store asks": lambda: [reader.pixels(face.image) for face in faces],
        "labels alone": lambda: reader.faces(["train"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faces", type=int, default=32, help="of a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    times = measure(contenders(options.faces, options.device), options.rounds)
    a_face = {name: [value / options.faces for value in values] for name, values in times.items()}
    title = f"rendered faces, {RESOLUTION} px, ms of processor time a face"
    results = {title: report(title, a_face, Console(width=120))}
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
