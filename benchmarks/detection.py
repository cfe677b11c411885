"""Face detection beside facenet-pytorch's own detector, with the same weights, on the same images, in one run."""

import argparse
import contextlib
import gc
import importlib
import json
import math
import os
import random
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional
from torchvision.ops import box_iou, roi_align

from canthus.data.images import IMAGE_SUFFIXES, read_image
from canthus.models.mtcnn import arithmetic, detect, fused
from canthus.models.mtcnn.detect import Detector
from canthus.models.mtcnn.weights import load_weights

SIZES = {"640x480": (640, 480, 1, 1), "1920x1080": (1920, 1080, 4, 2)}
"""Columns and rows of a scene, and of the images that it is made of."""


def scenes(images, size, count, seed=0):
    """Scenes of a size: images beside each other, each scaled to cover its place and cut, never stretched."""
    width, height, columns, rows = SIZES[size]
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        scene = np.empty((height, width, 3), dtype=np.uint8)
        for row in range(rows):
            for column in range(columns):
                left, right = (width * c // columns for c in (column, column + 1))
                top, bottom = (height * r // rows for r in (row, row + 1))
                scene[top:bottom, left:right] = _cover(draw.choice(images), right - left, bottom - top)
        made.append(scene)
    return made


def _cover(image, width, height):
    scale = max(width / image.shape[1], height / image.shape[0])
    size = [max(round(side * scale), least) for side, least in zip(image.shape[1::-1], (width, height), strict=True)]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return resized[top : top + height, left : left + width]


def load_peer(folder):
    sys.path.insert(0, str(folder))
    return importlib.import_module("facenet_pytorch.models.mtcnn")


def peer_boxes(found, count):
    """(N, 4) per scene from what the peer's `detect` returns."""
    boxes = found[0] if count > 1 else [found[0]]
    return [
        np.zeros((0, 4)) if each is None else np.array(list(each), dtype=np.float64).reshape(-1, 4) for each in boxes
    ]


def agreement(theirs, ours, shape):
    """Their boxes, how many of them ours overlap by 0.7, and both counts for boxes that keep off the scene's border."""
    height, width = shape
    counts = np.zeros(4, dtype=int)
    for a, b in zip(theirs, ours, strict=True):
        if not len(a):
            continue
        overlap = box_iou(torch.from_numpy(a), b.double()) if len(b) else torch.zeros(len(a), 1)
        found = (overlap.amax(1) >= 0.7).numpy()
        edge = 0.03 * np.array([width, height, -width, -height])
        inside = ((a - edge) * [1, 1, -1, -1] > [0, 0, -width, -height]).all(1)
        counts += [len(a), found.sum(), inside.sum(), (found & inside).sum()]
    return counts.tolist()


class FullSize(arithmetic.Clean):
    """The same windows, every level and crop read from the image at full size."""

    def level(self, octaves, scale):  # noqa: D102
        size = [math.ceil(side * scale - 1e-6) for side in octaves.shape]
        level = functional.interpolate(octaves.floats(0), size=size, mode="bilinear", antialias=True)
        return level, (size[1] / octaves.shape[1], size[0] / octaves.shape[0])

    def crops(self, images, owner, windows, size):  # noqa: D102
        order, crops = owner.argsort(stable=True), []
        for number, octaves in enumerate(images):
            boxes = windows[owner == number] + 0.5  # from the image's edge, not from the centre of pixel 0
            crops.append(roi_align(octaves.floats(0), [boxes], size, sampling_ratio=2, aligned=True))
        return torch.cat(crops)[order.argsort()], torch.arange(len(windows))


class LayerByLayer(fused.FusedNetwork):
    """The network as it is trained."""

    def __init__(self, network):
        super().__init__(network, partial_cells=True)
        self.to(memory_format=torch.contiguous_format)

    def forward(self, pixels):  # noqa: D102
        hidden = pixels.float().contiguous()
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden.permute(0, 2, 3, 1) if hidden.ndim == 4 else hidden


def straightforward(network, min_size):
    """Batched like canthus' detector, and computed as its definition reads."""
    detector = Detector(network, min_size=min_size)
    detector.arithmetic, detector.networks = FullSize(), [LayerByLayer(stage) for stage in network.stages]
    return detector


class Profile:
    """Time spent in functions, less that of the timed functions that they call."""

    def __init__(self):
        self.seconds, self.inner = Counter(), []

    @contextlib.contextmanager
    def watching(self, places):
        """Time ``{label: (object, name)}``; a label may depend on the first argument."""
        before = []
        for label, (owner, name) in places.items():
            original = getattr(owner, name)
            before.append((owner, name, original))
            setattr(owner, name, self._timed(original, label))
        try:
            yield
        finally:
            for owner, name, original in before:
                setattr(owner, name, original)

    def _timed(self, function, label):
        def timed(*arguments, **options):
            start = time.process_time()
            self.inner.append(0.0)
            try:
                return function(*arguments, **options)
            finally:
                took = time.process_time() - start
                within = self.inner.pop()
                named = label(arguments[0]) if callable(label) else label
                self.seconds[named] += took - within
                if self.inner:
                    self.inner[-1] += took

        return timed


NETWORKS = {12: "P-Net", 24: "R-Net", 48: "O-Net"}


def places_of(peer):
    """What `Profile` watches in each contender."""
    functions = importlib.import_module("facenet_pytorch.models.utils.detect_face")
    theirs = {
        "resizing (levels and crops)": (functions, "imresample"),
        "P-Net": (peer.pnet, "forward"), "R-Net": (peer.rnet, "forward"), "O-Net": (peer.onet, "forward"),
        "boxes of cells": (functions, "generateBoundingBox"), "NMS": (functions, "batched_nms"),
        "NMS, Min": (functions, "batched_nms_numpy"),
    }  # fmt: skip

    def ours(way, networks):
        return {
            "octaves": (detect, "Octaves"), "levels": (way, "level"), "crops": (way, "crops"),
            (lambda network: NETWORKS[network.window]): (networks, "forward"), "boxes of cells": (Detector, "_cells"),
            "NMS": (detect, "_suppress"), "NMS, Min": (detect, "suppress_nested"),
        }  # fmt: skip

    return {
        "facenet-pytorch": theirs,
        "canthus": ours(arithmetic.Clean, fused.FusedNetwork),
        "straightforward": ours(FullSize, LayerByLayer),
    }


def measure(peer_module, network, pictures, options, batch, threads, min_size):
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    peer = peer_module.MTCNN(keep_all=True, min_face_size=min_size)
    clock = time.process_time if threads == 1 else time.perf_counter
    detector, parity = Detector(network, min_size=min_size), Detector(network, min_size=min_size, parity=True)
    batches = [pictures[begin : begin + batch] for begin in range(0, len(pictures), batch)]
    contenders = {
        "facenet-pytorch": lambda some: peer.detect(some if batch > 1 else some[0], landmarks=True),
        "canthus": lambda some: detector([torch.from_numpy(picture) for picture in some]),
    }
    if options.straightforward:
        simple = straightforward(network, min_size)
        contenders["straightforward"] = lambda some: simple([torch.from_numpy(picture) for picture in some])
    if options.parity:
        contenders["canthus, parity"] = lambda some: parity([torch.from_numpy(picture) for picture in some])
    theirs = [boxes for some in batches for boxes in peer_boxes(contenders["facenet-pytorch"](some), len(some))]
    shares = {}
    for name, ours in list(contenders.items())[1:]:
        boxes = [found.boxes for some in batches for found in ours(some)]
        shares[name] = (*agreement(theirs, boxes, pictures[0].shape[:2]), sum(map(len, boxes)))
    seconds = {name: [] for name in contenders}
    gc.disable()
    for _ in range(options.rounds):
        for some in batches:
            for name in random.sample(list(contenders), len(contenders)):
                start = clock()
                contenders[name](some)
                seconds[name].append((clock() - start) / len(some))
    gc.enable()
    result = {"batch": batch, "threads": threads, "min_size": min_size, "clock": clock.__name__, "seconds": seconds}
    result["agreement"] = shares
    base = statistics.median(seconds["facenet-pytorch"])
    for name, values in seconds.items():
        middle = statistics.median(values)
        found = "" if name not in shares else "{1}/{0} found, off the border {3}/{2}, {4} own".format(*shares[name])
        spread = f"{1e3 * middle:7.1f} [{1e3 * min(values):.1f}..{1e3 * max(values):.1f}]"
        print(f"    {name:<18}{spread:<26}{base / middle:6.2f}x  {found}", flush=True)
    if options.profile:
        result["profile"] = show_profile(contenders, batches, places_of(peer))
    return result


def show_profile(contenders, batches, places):
    shown = {}
    for name, watched in places.items():
        if name not in contenders:
            continue
        profile = Profile()
        with profile.watching(watched):
            start = time.process_time()
            for some in batches:
                contenders[name](some)
            total = time.process_time() - start
        profile.seconds["all else"] = total - sum(profile.seconds.values())
        scenes_run = sum(map(len, batches))
        shown[name] = {part: value / scenes_run for part, value in profile.seconds.items()}
        parts = ", ".join(
            f"{part} {1e3 * value / scenes_run:.1f} ({100 * value / total:.0f} %)"
            for part, value in profile.seconds.most_common()
        )
        print(f"      {name}, CPU ms a scene: {parts}", flush=True)
    return shown


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="folder of the unpacked facenet-pytorch wheel")
    parser.add_argument("--data", type=Path, default=os.environ.get("CANTHUS_DATA"), help="holds 300w/afw")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--min-sizes", nargs="+", type=int, default=[20, 60])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--scenes", type=int, default=16, help="of each size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parity", action="store_true", help="time parity=true, too")
    parser.add_argument("--straightforward", action="store_true", help="time canthus without what makes it fast, too")
    parser.add_argument("--profile", action="store_true", help="show where the time goes, in a round of its own")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    folder = options.data / "300w" / "afw"
    paths = sorted(path for path in folder.iterdir() if path.suffix in IMAGE_SUFFIXES)
    images = [read_image(path, exif="ignore") for path in random.Random(0).sample(paths, min(len(paths), 48))]
    peer_module = load_peer(options.peer)
    network = load_weights(options.peer / "facenet_pytorch" / "data")
    results = []
    for size in options.sizes:
        pictures = scenes(images, size, options.scenes)
        for min_size in options.min_sizes:
            for batch in options.batches:
                for threads in options.threads:
                    kind = "CPU" if threads == 1 else "wall"
                    print(
                        f"{size}, min face {min_size}, batch {batch}, threads {threads}: {kind} ms a scene", flush=True
                    )
                    result = measure(peer_module, network, pictures, options, batch, threads, min_size)
                    results.append({"size": size, **result})
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
