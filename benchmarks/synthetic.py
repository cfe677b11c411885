"""Rendered faces of 256 pixels: milliseconds a face for labels, for pictures, and for both into the store."""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from patches import Contender, measure, report
from rich.console import Console

from canthus.data.batch import InputSpec
from canthus.data.store import Store, StoreSpec
from canthus.data.synthetic import Synthetic
from canthus.geometry import boxes

RESOLUTION = 256
STORED = StoreSpec.for_input(InputSpec(112, 1, boxes.centred_box(112, 0.5)), extent=3.0, oversample=1.5)


def rendering(count: int, device: str) -> dict[str, Contender]:
    """Pictures and labels in this process; the first is the reference of the others."""
    reader = Synthetic(size=count, resolution=RESOLUTION)
    faces, numbers = reader.faces(["train"]), range(count)
    scenes = [reader.scene("train", number) for number in numbers]
    return {
        "pictures of drawn scenes": lambda: reader.painted("train", numbers, scenes, device),
        "pictures, scenes drawn": lambda: [reader.pixels(face.image) for face in faces],
        "labels": lambda: reader.faces(["train"]),
    }


def storing(count: int, workers: list[int]) -> dict[str, Contender]:
    """Stores of the same faces, built anew each time."""
    reader = Synthetic(size=count, resolution=RESOLUTION)
    faces = reader.faces(["train"])

    def store(number: int) -> None:
        with tempfile.TemporaryDirectory() as cache:
            Store.prepare(reader, faces, STORED, Path(cache), workers=number)

    return {f"{n} worker{'s' if n > 1 else ''}": lambda n=n: store(n) for n in workers}  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faces", type=int, default=64, help="of a round")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes that fill the store")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    here = time.process_time if options.device == "cpu" else time.perf_counter
    results = {}
    for title, contenders, clock in (
        (f"rendered faces, {RESOLUTION} px", rendering(options.faces, options.device), here),
        (f"rendered faces into the store, {RESOLUTION} px", storing(options.faces, options.workers), time.perf_counter),
    ):
        times = measure(contenders, options.rounds, clock)
        a_face = {name: [value / options.faces for value in values] for name, values in times.items()}
        results[title] = report(f"{title}, of a face", a_face, Console(width=120))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
