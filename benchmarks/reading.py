"""Time and memory of parsing labels: 300-W's real faces and lists of the size of WFLW, to Face records.

Images are not opened: readers do not. Every case runs in a process of its own.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

from canthus.data.readers import W300, WFLW, YTF68

CONDITIONS = 6


def write_wflw(root, faces, images, seed=0):
    """Lists in WFLW's form, three quarters of the faces in train, and an empty file for each image."""
    random = np.random.default_rng(seed)
    names = [f"{i % 61}--Event/{i % 61}_Event_event_{i}.jpg" for i in range(images)]
    for name in names:
        (root / "WFLW_images" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "WFLW_images" / name).touch()
    folder = root / "WFLW_annotations/list_98pt_rect_attr_train_test"
    folder.mkdir(parents=True)
    train = faces * 3 // 4
    for part, count in (("train", train), ("test", faces - train)):
        points = random.uniform(0, 1000, (count, 196))
        flags = random.integers(0, 2, (count, CONDITIONS))
        with (folder / f"list_98pt_rect_attr_{part}.txt").open("w") as file:
            for row, flag in zip(points, flags, strict=True):
                name = names[random.integers(images)]
                coordinates = " ".join(f"{value:.6f}" for value in row)
                file.write(f"{coordinates} 120 80 610 790 {' '.join(map(str, flag))} {name}\n")


def measure(case, root, rounds, queue):
    """Put faces, seconds of each round, and memory in bytes into the queue."""
    readers = {
        "w300": (W300(root, allow_partial=True), ["helen/trainset", "afw"]),
        "ytf68": (YTF68(root), ["training"]),
        "wflw": (WFLW(root, allow_partial=True), ["train", "test"]),
    }
    reader, parts = readers[case]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        faces = reader.faces(parts)
        seconds.append(time.perf_counter() - start)
        count, images = len(faces), len({face.image for face in faces})
        del faces
    resident = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    tracemalloc.start()
    kept = reader.faces(parts)
    held, peak = tracemalloc.get_traced_memory()
    del kept
    queue.put((count, images, seconds, held, peak, resident))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("CANTHUS_DATA"), help="holds 300w/ and ytf68/")
    parser.add_argument("--faces", type=int, default=10_000, help="in the synthetic lists")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    results = []
    heading = f"{'labels':<24}{'faces':>7}{'images':>13}{'seconds':>22}{'faces/s':>10}"
    print(f"{heading}{'held MB':>9}{'peak MB':>9}{'RSS MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        cases = [("wflw", Path(folder), "WFLW-sized, 98 points")]
        if options.data:
            known = (("w300", "300w", "300-W, .pts"), ("ytf68", "ytf68", "ytf68, csv"))
            cases = [(case, options.data / name, title) for case, name, title in known] + cases
        write_wflw(Path(folder), options.faces, options.faces // 2)
        for case, root, title in cases:
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=measure, args=(case, root, options.rounds, queue))
            process.start()
            count, images, seconds, held, peak, resident = queue.get()
            process.join()
            middle = statistics.median(seconds)
            spread = f"{middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
            megabytes = "".join(f"{value / 1e6:>{width}.0f}" for value, width in ((held, 9), (peak, 9), (resident, 8)))
            print(f"{title:<24}{count:>7}{images:>13}{spread:>22}{count / middle:>10.0f}{megabytes}", flush=True)
            results.append(
                {"labels": title, "faces": count, "seconds": seconds, "held": held, "peak": peak, "resident": resident}
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
