"""Complete training samples per second and core: canthus beside the loaders that the field writes (see README.md)."""

import argparse
import gc
import json
import math
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from contenders import (
    FLIP,
    MAP_SIDE,
    ROTATION,
    SCALE,
    SHIFT,
    SIGMA,
    Albumentations,
    Draw,
    Field,
    Fused,
    draw,
    heat_maps,
    perturbation,
    whole_pixels,
)
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, default_collate

from canthus.data import face_data
from canthus.data.augment import Augmentation
from canthus.data.batch import SCALINGS, Batch, InputSpec
from canthus.data.datamodule import FaceDataModule
from canthus.data.face import Face
from canthus.data.readers import W300
from canthus.data.readers.pts import write_pts
from canthus.geometry import boxes
from canthus.models.dan.cascade import REFERENCE_BOX

PARTS = ("helen/trainset", "afw")
BATCH = 32
ENLARGED, ENLARGED_FACE, QUALITY = (800, 1000), 367.0, 90
"""Width and height, mean side of the face box, JPEG quality of the enlarged images."""
UNIFORM = math.sqrt(3)
"""Half-width of a uniform draw over its deviation: canthus draws from normal distributions of the same deviation."""
GEOMETRY = Augmentation(
    mirror=FLIP,
    rotation=ROTATION / UNIFORM,
    scale=SCALE / UNIFORM,
    scale_limits=(1 - SCALE, 1 + SCALE),
    shift=SHIFT / UNIFORM,
)
ALL_CHANGES = replace(
    GEOMETRY,
    brightness=0.2,
    contrast=0.3,
    gamma=0.3,
    colour=0.2,
    noise=0.03,
    occlusion=0.5,
    blur=0.2,
    low_resolution=0.2,
)
LANDMARK_TOLERANCE, PICTURE_TOLERANCE = 0.5, 12.0
"""Input pixels (cropping to whole image pixels is forgiven on top); grey levels of 255."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a name, and a function that makes samples and returns how many."""

    name: str
    run: Callable[[], int]


@dataclass(frozen=True)
class Fixed(Augmentation):
    """Canthus with given draws, for the check."""

    draws: tuple[Draw, ...] = ()

    def draw(self, batch: Batch, spec: InputSpec, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The draws of the batch's faces."""
        chosen = [self.draws[i] for i in batch["index"].tolist()]
        matrices = np.stack([perturbation(drawn, spec)[:2] for drawn in chosen])
        return torch.from_numpy(matrices).float(), torch.tensor([drawn.flip for drawn in chosen])


def input_spec(size: int) -> InputSpec:
    """112 is DAN's input; others are RGB with the box on two thirds of the side, scaled as for ImageNet encoders."""
    if size == 112:
        return InputSpec(112, 1, REFERENCE_BOX)
    return InputSpec(size, 3, boxes.centred_box(size, 2 / 3), "imagenet")


def copy_faces(source: Path, root: Path, count: int, enlarge: bool) -> float:
    """Write a data set of ``count`` random faces in the official layout; the median size of its files in kB."""
    faces = W300(source, allow_partial=True).faces(PARTS)
    sizes = []
    for part in PARTS:
        (root / part).mkdir(parents=True)
    chosen = random.Random(0).sample(faces, min(count, len(faces)))
    for i, part in enumerate(PARTS):  # the reader does not accept an empty part
        if all(face.part != part for face in chosen):
            chosen[i] = next(face for face in faces if face.part == part)
    for face in chosen:
        target = root / face.part / face.image.name
        if enlarge:
            image, points = enlarged(face)
            cv2.imwrite(str(target), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        else:
            shutil.copyfile(face.image, target)
            points = face.landmarks
        write_pts(target.with_suffix(".pts"), points)
        sizes.append(target.stat().st_size / 1000)
    return statistics.median(sizes)


def enlarged(face: Face) -> tuple[NDArray, NDArray]:
    """An image of the size that loaders meet in HELEN's originals, and its landmarks."""
    image = cv2.imread(str(face.image), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    scale = ENLARGED_FACE / (face.box[2:] - face.box[:2]).mean()
    size = tuple(round(edge * scale) for edge in image.shape[1::-1])
    factors = np.array(size) / image.shape[1::-1]
    image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    points = factors * (face.landmarks + 0.5) - 0.5
    middle = factors * ((face.box[:2] + face.box[2:]) / 2 + 0.5) - 0.5
    corner = [int(min(max(m - w / 2, 0), max(s - w, 0))) for m, w, s in zip(middle, ENLARGED, size, strict=True)]
    return image[corner[1] : corner[1] + ENLARGED[1], corner[0] : corner[0] + ENLARGED[0]], points - corner


def data_module(
    root: Path, cache: Path, spec: InputSpec, augmentation: Augmentation, oversample: float
) -> FaceDataModule:
    """The data module as training builds it, without Hydra and without a trainer."""
    data = face_data(
        input=spec,
        reader="canthus.data.readers.W300",
        root=root,
        allow_partial=True,
        name="w300",
        train_parts=PARTS,
        validation=0.0,
        batch_size=BATCH,
        augmentation=augmentation,
        oversample=oversample,
        cache=cache,
    )
    data.prepare_data()
    data.setup("fit")
    return data


def images_row(name: str, faces: list[Face], spec: InputSpec, make: Callable, maps: type | None, seed: int = 0) -> Row:
    """A loader that begins at the file: samples one by one, then torch's collate."""
    generator = random.Random(seed)

    def sample(face: Face) -> dict[str, NDArray]:
        image, points = make(face, draw(generator))
        fields = {"image": image, "landmarks": points}
        if maps:
            fields["maps"] = heat_maps(points, spec.size, maps).astype(np.float32)
        return fields

    def run() -> int:
        order = generator.sample(faces, len(faces))
        for start in range(0, len(order), BATCH):
            default_collate([sample(face) for face in order[start : start + BATCH]])
        return len(order)

    return Row(name, run)


def canthus_row(name: str, data: FaceDataModule, epochs: int, *, device: bool = False, maps: bool = False) -> Row:
    """The real path: the loader, then what `on_after_batch_transfer` does; for a device only what its CPU pays."""
    loader: DataLoader[Batch] = data.train_dataloader()
    loader.dataset.copy_rows = device
    target = torch.empty(BATCH, 68, MAP_SIDE, MAP_SIDE)
    axis = torch.arange(MAP_SIDE, dtype=torch.float32)
    epoch = 0

    def draw_maps(points: torch.Tensor) -> None:
        centres = ((points + 0.5) * MAP_SIDE / data.input.size - 0.5)[..., None]
        x, y = torch.exp((axis - centres).square() / (-2 * SIGMA**2)).unbind(2)
        torch.mul(y[..., None], x[..., None, :], out=target)

    def run() -> int:
        nonlocal epoch
        count = 0
        for _ in range(epochs):
            epoch += 1
            loader.sampler.set_epoch(epoch)
            for batch in loader:
                count += len(batch["index"])
                if device:
                    data.augmentation.draw(batch, data.input, data._random)
                    continue
                inputs = data.to_input(batch, "train", augment=True)
                if maps:
                    draw_maps(inputs["landmarks"])
        return count

    return Row(name, run)


def check(data: FaceDataModule, console: Console) -> None:
    """Stop unless every contender gives the same landmarks and similar pictures for the same draws.

    Raises:
        SystemExit: they do not; their figures would compare different work.
    """
    spec, faces = data.input, data.faces("train")
    generator = random.Random(1)
    draws = tuple(whole_pixels(draw(generator), spec) for _ in faces)
    data.augmentation = Fixed(draws=draws)
    inputs = data.to_input(data._views["train"].__getitems__(list(range(len(faces)))), "train", augment=True)
    data.augmentation = GEOMETRY
    mean, deviation = (torch.tensor(values)[:, None, None] for values in SCALINGS[spec.scaling])
    ours = (255 * (inputs["image"] * deviation + mean)).numpy()
    boxes_side = np.array([(face.box[2:] - face.box[:2]).mean() for face in faces])
    photo_pixel = float(boxes.side(spec.reference)) / boxes_side / np.array([drawn.scale for drawn in draws])
    chain = Albumentations(spec)
    makers = {
        "field": Field(spec),
        "fused": Fused(spec),
        "albumentations": lambda face, drawn: chain(face, drawn, exact=True),
    }
    for name, make in makers.items():
        samples = [make(face, drawn) for face, drawn in zip(faces, draws, strict=True)]
        pictures = np.stack([image for image, _ in samples]).astype(np.float32)
        if name == "field":
            pictures = 255 * (pictures * deviation.numpy() + mean.numpy())
        points = np.stack([points for _, points in samples])
        apart = np.abs(points - inputs["landmarks"].numpy()).max((1, 2))
        forgiven = 0.5 * math.sqrt(2) * photo_pixel if name == "albumentations" else 0
        levels = float(np.abs(pictures - ours).mean())
        console.print(
            f"check {spec.size} px, {name} against canthus: landmarks differ by at most {apart.max():.4f} px "
            f"(median face {np.median(apart):.4f}; beyond its rounding to image pixels "
            f"{max(0.0, float((apart - forgiven).max())):.4f}), pictures by {levels:.2f} of 255 grey levels on average"
        )
        if (apart - forgiven).max() > LANDMARK_TOLERANCE or levels > PICTURE_TOLERANCE:
            raise SystemExit(f"{name} does other work than canthus: the comparison would mean nothing")


def rows_of(data: FaceDataModule, root: Path, cache: Path, oversample: float) -> list[Row]:
    """Every line of one table."""
    spec, faces = data.input, data.faces("train")
    epochs = max(1, 4 * len(faces) // BATCH // max(1, len(faces) // BATCH))  # small samples: several per round
    loaders = {"field": Field(spec), "fused": Fused(spec), "albumentations": Albumentations(spec)}
    changed = data_module(root, cache, spec, ALL_CHANGES, oversample)
    copied = data_module(root, cache, spec, GEOMETRY, oversample)
    return [
        images_row("field", faces, spec, loaders["field"], np.float64),
        images_row("field, no heat maps", faces, spec, loaders["field"], None),
        images_row("fused", faces, spec, loaders["fused"], np.float32),
        images_row("fused, no heat maps", faces, spec, loaders["fused"], None),
        images_row("albumentations", faces, spec, loaders["albumentations"], np.float32),
        images_row("albumentations, no heat maps", faces, spec, loaders["albumentations"], None),
        canthus_row("canthus + heat maps on the CPU", data, epochs, maps=True),
        canthus_row("canthus", data, epochs),
        canthus_row("canthus, all pixel changes", changed, 1),
        canthus_row("canthus, warp on the device", copied, 4 * epochs, device=True),
    ]


def measure(rows: Sequence[Row], rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds per sample of every round; the rows take turns in a new order each round."""
    times: dict[str, list[float]] = {row.name: [] for row in rows}
    generator = random.Random(2)
    for row in rows:
        row.run()  # page cache, allocator, lazy imports
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        for row in generator.sample(rows, len(rows)):
            start = time.process_time()
            count = row.run()
            times[row.name].append(1000 * (time.process_time() - start) / count)
    gc.enable()
    return times


def report(title: str, times: dict[str, list[float]], console: Console) -> list[dict[str, object]]:
    """Print a table; its lines as records."""
    table = Table("loader", "ms/sample", "min..max", "images/s/core", "x field", "x fused", title=title)
    middle = {name: statistics.median(values) for name, values in times.items()}
    records = []
    for name, values in times.items():
        ratios = middle["field"] / middle[name], middle["fused"] / middle[name]
        table.add_row(
            name,
            f"{middle[name]:.3f}",
            f"{min(values):.3f}..{max(values):.3f}",
            f"{1000 / middle[name]:.0f}",
            *(f"{ratio:.1f}" for ratio in ratios),
        )
        records.append({"loader": name, "ms": values, "median": middle[name], "field": ratios[0], "fused": ratios[1]})
    console.print(table)
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CANTHUS_DATA", "../shared/data")))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--faces", type=int, default=48, help=f"images; at least {BATCH}")
    parser.add_argument("--sizes", type=int, nargs="+", default=[112, 256])
    parser.add_argument(
        "--oversample", type=float, default=1.5, help="stored pixels per input pixel, as in the configs"
    )
    parser.add_argument("--enlarge", action="store_true", help="measure on 800x1000 images too")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.faces < BATCH:
        parser.error(f"--faces {options.faces} does not fill one batch of {BATCH}")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    console = Console(width=120)
    results = []
    for enlarge in [False, True] if options.enlarge else [False]:
        with tempfile.TemporaryDirectory() as folder:
            root, cache = Path(folder, "300w"), Path(folder, "stores")
            kilobytes = copy_faces(options.data / "300w", root, options.faces, enlarge)
            kind = "enlarged to 800x1000" if enlarge else "as they are"
            for size in options.sizes:
                data = data_module(root, cache, input_spec(size), GEOMETRY, options.oversample)
                check(data, console)
                times = measure(rows_of(data, root, cache, options.oversample), options.rounds)
                title = f"{size} px, {options.faces} images {kind} (median {kilobytes:.0f} kB)"
                results += [{"size": size, "enlarged": enlarge, **line} for line in report(title, times, console)]
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
