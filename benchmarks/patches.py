"""Patches around landmarks and one network for each: canthus's batched forms beside loops (see README.md)."""

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from canthus.geometry.patches import extract_patches
from canthus.models.fan_zhou.network import LEVEL_2, PATCH, PatchNetworks

LANDMARKS, SIDE, PICTURE = 68, 30, 256
Contender = Callable[[], Tensor]


def sliced(image: Tensor, centres: Tensor) -> Tensor:
    """One slice of the padded picture after the other; centres are rounded."""
    padded = functional.pad(image, [SIDE] * 4)
    corners = (centres.round().long() + SIDE - SIDE // 2).tolist()
    rows = [
        torch.stack([picture[:, y : y + SIDE, x : x + SIDE] for x, y in points])
        for picture, points in zip(padded, corners, strict=True)
    ]
    return torch.stack(rows)


def aligned(image: Tensor, centres: Tensor) -> Tensor:
    """RoI align of torchvision with one sample a bin, which reads the same positions."""
    corners = torch.cat([centres - SIDE / 2, centres + SIDE / 2], -1)
    return roi_align(image, list(corners), SIDE, sampling_ratio=1, aligned=True).unflatten(0, (len(image), -1))


def separate(level: PatchNetworks) -> nn.ModuleList:
    """The networks of a level one by one, out of plain layers, with the same weights."""
    networks = nn.ModuleList()
    for number in range(LANDMARKS):
        values = [value.chunk(LANDMARKS)[number] for value in level.parameters()]
        layers: list[nn.Module] = []
        for maps in LEVEL_2:
            if maps:
                weight = values[2 * sum(isinstance(layer, nn.Conv2d) for layer in layers)]
                layers += [nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1), nn.ReLU(inplace=True)]
            else:
                layers.append(nn.MaxPool2d(2))
        (hidden, inputs), outputs = values[-4].shape, len(values[-1])
        layers += [nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs)]
        network = nn.Sequential(*layers)
        for parameter, value in zip(network.parameters(), values, strict=True):
            parameter.data.copy_(value)
        networks.append(network)
    return networks


def looped(networks: nn.ModuleList, patches: Tensor) -> Tensor:
    """(B, K, 3, h, w) patches, each through its network."""
    return torch.stack([network(patches[:, number]) for number, network in enumerate(networks)], 1)


def grouped(level: PatchNetworks, patches: Tensor) -> Tensor:
    """The same as one network."""
    features = level.features(patches.flatten(1, 2)).unflatten(1, (LANDMARKS, -1)).flatten(2)
    out: Tensor = level.points(torch.relu(level.hidden(features)))
    return out


def equal(name: str, ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    """Stop unless both say the same."""
    difference = (ours - theirs).abs().max().item()
    if difference > tolerance:
        raise SystemExit(f"{name}: results differ by {difference:.2g}, more than {tolerance:.2g}; nothing is measured")


def measure(
    contenders: dict[str, Contender], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Milliseconds per call, of processor time; contenders take turns in a new order each round, one unmeasured."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    gc.disable()
    for number in range(rounds + 1):
        random.Random(number).shuffle(order)
        for name in order:
            begin = clock()
            contenders[name]()
            if number:
                times[name].append(1000 * (clock() - begin))
        gc.collect()
    gc.enable()
    return times


def report(title: str, times: dict[str, list[float]], console: Console) -> dict[str, list[float]]:
    """Print one table; ratios are to the first row."""
    table = Table("", "ms", "fastest..slowest", "x first row", title=title)
    first = statistics.median(next(iter(times.values())))
    for name, values in times.items():
        middle = statistics.median(values)
        table.add_row(name, f"{middle:.1f}", f"{min(values):.1f}..{max(values):.1f}", f"{middle / first:.2f}")
    console.print(table)
    return times


def patch_contenders(batch: int) -> dict[str, Contender]:
    image = torch.rand(batch, 3, PICTURE, PICTURE)
    centres = torch.rand(batch, LANDMARKS, 2) * (PICTURE - 2 * SIDE) + SIDE
    whole = centres.round()
    equal("slices", extract_patches(image, whole, SIDE), sliced(image, whole), 1e-4)
    equal("roi_align", extract_patches(image, centres, SIDE), aligned(image, centres), 1e-4)
    return {
        "canthus": lambda: extract_patches(image, centres, SIDE),
        "roi_align": lambda: aligned(image, centres),
        "loop of slices (whole pixels)": lambda: sliced(image, centres),
    }


def network_contenders(batch: int, width: float, backward: bool) -> dict[str, Contender]:
    level = PatchNetworks(LANDMARKS, 1, width)
    nn.init.normal_(level.points.weight, std=0.05)
    networks, patches = separate(level), torch.rand(batch, LANDMARKS, 3, PATCH, PATCH)
    with torch.no_grad():
        equal("patch networks", grouped(level, patches), looped(networks, patches), 1e-4)

    def run(forward: Contender) -> Contender:
        def call() -> Tensor:
            with torch.set_grad_enabled(backward):
                out = forward()
                if backward:
                    out.square().sum().backward()
            return out

        return call

    return {
        "canthus, grouped": run(lambda: grouped(level, patches)),
        "loop over 68 networks": run(lambda: looped(networks, patches)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--widths", type=float, nargs="+", default=[0.25], help="of Fan & Zhou's networks; 1 is full")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    console = Console(width=120)
    title = f"{options.batch} pictures, {LANDMARKS} patches of {SIDE} px"
    results = {title: report(title, measure(patch_contenders(options.batch), options.rounds), console)}
    for width in options.widths:
        for backward, what in ((False, "forward"), (True, "forward and backward")):
            title = f"{options.batch} x {LANDMARKS} patch networks, width {width:g}, {what}"
            contenders = network_contenders(options.batch, width, backward)
            results[title] = report(title, measure(contenders, options.rounds), console)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
