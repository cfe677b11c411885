"""Rendered faces per second: labels alone, and pictures of 256 pixels, one at a time and in batches."""

import argparse
import time

import torch

from canthus.data.synthetic import Synthetic
from canthus.data.synthetic.render import render


def seconds(work, rounds):
    """Processor-independent wall time of one of the rounds, the fastest."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main():
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    reader = Synthetic(size=options.faces)
    faces = reader.faces(["train"])
    scenes = [reader.scene("train", i) for i in range(options.faces)]

    def streams():
        return [reader.stream("train", i, "render") for i in range(options.faces)]

    cases = {
        "labels": lambda: reader.faces(["train"]),
        "pictures, labels known": lambda: render(scenes, streams(), 256, options.device),
        "pictures one at a time, as the store asks": lambda: [reader.pixels(face.image) for face in faces],
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.device}")
    for name, work in cases.items():
        work()
        print(f"{name:45s} {options.faces / seconds(work, options.rounds):8.1f} faces/s")


if __name__ == "__main__":
    main()
