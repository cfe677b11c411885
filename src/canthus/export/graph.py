"""What is exported: networks as plain functions from images to numbers, and what a caller has to know of them.

Legend: B batch, S stages, K landmarks, C channels, H W rows and columns.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from canthus import __version__
from canthus.data.batch import SCALINGS
from canthus.geometry import boxes
from canthus.inference.predictor import input_batch
from canthus.models.cascade import Cascade
from canthus.models.mtcnn.cascade import MTCNNCascade
from canthus.models.mtcnn.network import normalised

__all__ = ["CropNetwork", "Graph", "WindowNetwork", "graphs_of"]


@dataclass(frozen=True)
class Graph:
    """A function to export.

    Attributes:
        network: takes ``inputs`` (B, C, H, W).
        outputs: names.
        examples: (B, C, H, W) images like those that it is made for.
        free: names of the dimensions of the input, by number, that a caller may choose; and the least each may be.
        unit: that outputs are compared in: the side of the crop for points in pixels, else 1.
        about: what stands in the file: how the input is made and what the outputs are.
        suffix: of the file's name, where a model has several.
    """

    network: nn.Module
    outputs: tuple[str, ...]
    examples: Tensor
    free: dict[int, tuple[str, int]]
    unit: dict[str, float]
    about: dict[str, Any]
    suffix: str = ""


class CropNetwork(nn.Module):
    """A landmark model without batch and labels: a normalised crop in, the points of all stages out.

    Args:
        model: is copied; runs as evaluation runs it, flip average included.
    """

    def __init__(self, model: Cascade) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        # Lightning's switch: properties of a training module need no trainer then
        self.model._jit_is_scripting = True  # type: ignore[assignment]
        del self.model.active_stages  # which code runs is settled here; the graph has no use for the weights' number

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, C, H, W) to points (B, S, K, 2) in pixels of the crop, then scores (B, K) and pose (B, 3), if any."""
        estimates = self.model.final_estimates(input_batch(self.model, image))
        points = torch.stack([points.float() for points in estimates.points], 1)
        return (points, *(values for values in (estimates.scores, estimates.pose) if values is not None))


class WindowNetwork(nn.Module):
    """One network of MTCNN: windows in, probability of a face and what else it says out.

    Args:
        network: P-, R- or O-Net; is copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to probability (B, ...), offsets (B, 4, ...), landmarks (B, 10, ...)."""
        logits, offsets, landmarks = self.network(image)
        return logits.softmax(1)[:, 1], offsets, landmarks


def graphs_of(model: Cascade, inputs: Tensor, run: str) -> list[Graph]:
    """What there is to export of a model: its network, or the three of MTCNN.

    Args:
        model: trained.
        inputs: (B, C, H, W) crops as the model sees them; they become the graphs' examples.
        run: that it comes from, for the file.
    """
    if isinstance(model, MTCNNCascade):
        return _windows(model, inputs, run)
    network = CropNetwork(model)
    with torch.no_grad():
        results = network(inputs[:1])
        estimates = model.final_estimates(input_batch(model, inputs[:1]))
    names = ["points"] + [name for name in ("scores", "pose") if getattr(estimates, name) is not None]
    assert len(names) == len(results)
    spec = model.input
    mean, deviation = SCALINGS[spec.scaling]
    about = {
        **_origin(model, run),
        "scheme": model.scheme.name,
        "landmarks": model.scheme.num_landmarks,
        "stages": int(results[0].shape[1]),
        "input": {
            "name": "image",
            "shape": ["batch", spec.channels, spec.size, spec.size],
            "channels": "RGB" if spec.channels == 3 else "grey: the mean of R, G and B",
            "range": "[0, 1], then minus mean, divided by deviation",
            "mean": list(mean),
            "deviation": list(deviation),
            "outside_the_image": 0,
        },
        "crop": {
            "reference_box": list(spec.reference_box),
            "fit": spec.fit,
            "sides_of_face_box": spec.size / float(boxes.side(spec.reference)),
            "explanation": "upright; the centre of the face box lies on that of reference_box; fit gives the scale: "
            "sides, mean of both ratios of sides; longer, that of the longer sides; diagonal, that of the diagonals",
        },
        "output": {
            "points": "(batch, stages, landmarks, 2): x, y in pixels of the crop, pixel centres at integers",
            "scores": "(batch, landmarks): confidence of the last stage",
            "pose": "(batch, 3): yaw, pitch, roll in radians",
        },
    }
    unit = {name: float(spec.size) if name == "points" else 1.0 for name in names}
    return [Graph(network, tuple(names), inputs, {0: ("batch", 1)}, unit, about)]


def _windows(model: MTCNNCascade, inputs: Tensor, run: str) -> list[Graph]:
    graphs = []
    for name, network in zip(("pnet", "rnet", "onet"), model.network.stages, strict=True):
        size, maps = network.window, name == "pnet"
        free = {0: ("batch", 1)} | ({2: ("height", size), 3: ("width", size)} if maps else {})
        side = [64, 72] if maps else [size, size]
        windows = normalised(nn.functional.interpolate(inputs, size=side, mode="area"))
        about = {
            **_origin(model, run),
            "network": name,
            "input": {
                "name": "image",
                "shape": ["batch", 3, *(["height", "width"] if maps else side)],
                "channels": "RGB",
                "range": "(value - 127.5) / 128 of 8-bit levels",
            },
            "output": {
                "probability": "of a face",
                "offsets": "x1, y1, x2, y2 of the face's box against the window's, in sides of the window",
                "landmarks": "x1 to x5, then y1 to y5, shares of the window",
            },
        }
        if maps:
            about["cells"] = "cell (i, j) sees rows 2 i to 2 i + 11 and columns 2 j to 2 j + 11"
        names = ("probability", "offsets", "landmarks")
        graphs.append(Graph(WindowNetwork(network), names, windows, free, dict.fromkeys(names, 1.0), about, f"_{name}"))
    return graphs


def _origin(model: Cascade, run: str) -> dict[str, Any]:
    return {"program": f"canthus {__version__}", "model": model.name, "run": run}
