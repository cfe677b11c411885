"""Milliseconds an image and a frame: images one by one and together, and films (see README.md)."""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import canthus
from canthus.data.images import read_image
from canthus.data.synthetic import Synthetic
from canthus.inference.api import Locator
from canthus.inference.video.loop import VideoOptions, locate_in_video
from canthus.inference.video.video import FrameSource, VideoFile

WIDTH, HEIGHT = 640, 480
Contender = Callable[[], object]


def rendered(folder: Path, count: int) -> list[Path]:
    """Files of rendered faces."""
    source, paths = Synthetic(size=count, resolution=400), []
    for number, face in enumerate(source.faces(["train"])[:count]):
        paths.append(folder / f"{number}.jpg")
        cv2.imwrite(str(paths[-1]), np.ascontiguousarray(source.pixels(face.image)[..., ::-1]))
    return paths


def film(path: Path, image: Path, frames: int) -> None:
    """The face of an image wanders about a frame of 640 x 480."""
    pixels = read_image(image, exif="apply")
    scale = 360 / max(pixels.shape[:2])
    with VideoFile(path, 25.0) as video:
        for number in range(frames):
            shift = [100 + 60 * np.sin(number / 9), 40 + 30 * np.cos(number / 7)]
            matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
            frame = cv2.warpAffine(pixels, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
            video.add(np.asarray(frame, dtype=np.uint8))


def measure(contenders: dict[str, Contender], units: int, rounds: int, *, wall: bool) -> dict[str, list[float]]:
    """Milliseconds a unit; contenders take turns in a new order each round, after one round to warm up."""
    clock = time.perf_counter if wall else time.process_time
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name in random.sample(list(contenders), len(contenders)):
            begin = clock()
            contenders[name]()
            if number:
                times[name].append(1000 * (clock() - begin) / units)
    return times


def of_images(run: str, paths: list[Path], rounds: int, *, wall: bool) -> dict[str, list[float]]:
    def one_by_one(locator: Locator) -> None:
        for path in paths:
            locator(path)

    locator = canthus.load(run, device="cpu")
    contenders = {"image by image": lambda: one_by_one(locator), "together": lambda: list(locator.each(paths))}
    return measure(contenders, len(paths), rounds, wall=wall)


def of_film(run: str, path: Path, rounds: int, *, wall: bool) -> dict[str, list[float]]:
    locator, options = canthus.load(run, device="cpu"), VideoOptions(detect_every=5)
    assert locator.finder is not None
    locator.finder.detector.min_size = 60.0

    def boxes(frame: np.ndarray) -> np.ndarray:
        return np.array([face.box for face in locator.finder(frame)]).reshape(-1, 4)

    def through(draw: bool) -> None:
        with FrameSource(str(path)) as source, tempfile.TemporaryDirectory() as output:
            summary = locate_in_video(source, locator.predictor, boxes, Path(output), options, draw=draw)
            assert summary["faces"] >= 0.9 * summary["frames"], summary

    with FrameSource(str(path)) as source:
        frames = source.frames or 1
    contenders = {"points and annotated film": lambda: through(True), "points only": lambda: through(False)}
    return measure(contenders, frames, rounds, wall=wall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", default="zoo/dan")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument(
        "--data", type=Path, help="holds 300w/afw: its photographs, and the film's face, in place of rendered ones"
    )
    parser.add_argument("--threads", type=int, default=1, help="one is measured in processor time, more in wall time")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    wall, results = options.threads > 1, {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths = sorted((options.data / "300w" / "afw").glob("*.jpg"))[: options.images] if options.data else []
        paths = paths or rendered(folder, options.images)
        results[f"{len(paths)} images, {options.run}"] = of_images(options.run, paths, options.rounds, wall=wall)
        film(folder / "film.mp4", paths[0], options.frames)
        results[f"film {WIDTH}x{HEIGHT}, one face, detected every 5th frame, {options.run}"] = of_film(
            options.run, folder / "film.mp4", options.rounds, wall=wall
        )
    for title, times in results.items():
        base = statistics.median(next(iter(times.values())))
        table = Table("", "ms", "least..most", "a second", "x", title=title)
        for name, values in times.items():
            middle = statistics.median(values)
            spread = f"{min(values):.1f}..{max(values):.1f}"
            table.add_row(name, f"{middle:.1f}", spread, f"{1000 / middle:.1f}", f"{middle / base:.2f}")
        Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
