"""Milliseconds a face at batch 1 and 128: FacePoseNet beside DAN and dlib's 68-point predictor (see README.md)."""

import argparse
import functools
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from canthus.data.synthetic import Synthetic
from canthus.geometry.camera import Camera
from canthus.geometry.generic_face import face_poses, generic_face
from canthus.models.cascade import Cascade
from canthus.models.dan.module import DANModule
from canthus.models.facepose.module import FacePoseModule

Contender = Callable[[], object]
ADAM = functools.partial(torch.optim.Adam, lr=1e-3)
MODELS = {
    "facepose, AlexNet 227": functools.partial(FacePoseModule, ADAM),
    "facepose, ResNet-18 224": functools.partial(FacePoseModule, ADAM, backbone="resnet18", head="6d", size=224),
    "facepose, ResNet-10 80 (facepose_300w_cpu)": functools.partial(
        FacePoseModule, ADAM, backbone="resnet10t", head="6d", size=80
    ),
    "dan, 2 stages": functools.partial(DANModule, ADAM),
    "dan, 2 stages, half width (dan_300w_cpu)": functools.partial(DANModule, ADAM, width=0.5),
}


def forward(model: Cascade, batch: int, device: torch.device) -> Contender:
    """From the cropped picture, on the device, to 68 points."""
    spec = model.input
    image = torch.rand(batch, spec.channels, spec.size, spec.size, device=device)
    model = model.to(device).eval()

    def run() -> None:
        with torch.inference_mode():
            model.estimates({"image": image}).points[-1].cpu()

    return run


def pnp(batch: int, device: torch.device) -> Contender:
    """Poses of as many faces from their points: what a landmark method has to add."""
    points = generic_face().points + torch.tensor([0, 0, 3000.0])
    landmarks = Camera().pixels(points).expand(batch, 68, 2).to(device)
    landmarks = landmarks + torch.randn(landmarks.shape, device=device)
    seen = torch.ones(batch, 68, device=device)
    return lambda: face_poses(landmarks, seen, 224).rotation.cpu()


def dlib_predictor(path: Path | None, batch: int) -> Contender | None:
    """Regression trees of dlib on rendered faces of 256 px, one after the other; None where it is not at hand."""
    try:
        import dlib  # type: ignore[import-not-found]
    except ImportError:
        return None
    if path is None or not path.is_file():
        return None
    predictor, source = dlib.shape_predictor(str(path)), Synthetic(size=batch, resolution=256)
    faces = source.faces(["train"])
    pictures = [np.ascontiguousarray(source.pixels(face.image)) for face in faces]
    boxes = [dlib.rectangle(*face.box.round().astype(int).tolist()) for face in faces]

    def run() -> None:
        for picture, box in zip(pictures, boxes, strict=True):
            predictor(picture, box)

    return run


def measure(contenders: dict[str, Contender], runs: int, device: torch.device) -> dict[str, list[float]]:
    """Milliseconds a call; contenders take turns, in a new order each time, the first tenth unmeasured."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    warm_up = max(runs // 10, 2)
    for number in range(runs + warm_up):
        for name in random.sample(list(contenders), len(contenders)):
            if device.type == "cuda":
                torch.cuda.synchronize()
            begin = time.perf_counter() if device.type == "cuda" else time.process_time()
            contenders[name]()
            if device.type == "cuda":
                torch.cuda.synchronize()
            end = time.perf_counter() if device.type == "cuda" else time.process_time()
            if number >= warm_up:
                times[name].append(1000 * (end - begin))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="at batch 1; a tenth of them at larger batches")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 128])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dlib", type=Path, help="shape_predictor_68_face_landmarks.dat")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device, console, results = torch.device(options.device), Console(width=120), {}
    for batch in options.batches:
        contenders = {name: forward(make(), batch, device) for name, make in MODELS.items()}
        contenders["PnP of 68 points"] = pnp(batch, device)
        dlib = dlib_predictor(options.dlib, batch)
        if dlib is None:
            console.print("dlib is left out: its package or the file of --dlib is not there")
        else:
            contenders["dlib, 68 points"] = dlib
        times = measure(contenders, options.runs if batch == 1 else max(options.runs // 10, 3), device)
        table = Table("", "ms a face", "ms a batch", "fastest..slowest", title=f"batch {batch}, {device}")
        for name, values in times.items():
            middle = statistics.median(values)
            spread = f"{min(values):.1f}..{max(values):.1f}"
            table.add_row(name, f"{middle / batch:.2f}", f"{middle:.1f}", spread)
        console.print(table)
        results[f"batch {batch}"] = times
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
