"""MTCNN's published weights, which are not part of the repository, and writers of the layouts in circulation."""

import functools
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from canthus.models.mtcnn.network import MTCNN

HEADS = {"pnet": "4", "rnet": "5", "onet": "6"}
VARIABLE = "CANTHUS_PUBLISHED_MTCNN"
DIGESTS = {"pnet.pt": "a2a71925", "rnet.pt": "bbb937de", "onet.pt": "165bfbe4", "multiface.jpg": "433a04ac"}


@functools.cache
def published_folder() -> Path:
    """Folder of facenet-pytorch's pnet.pt, rnet.pt, onet.pt and multiface.jpg; without it the test skips."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"set {VARIABLE} to a folder with facenet-pytorch's pnet.pt, rnet.pt, onet.pt and multiface.jpg")
    for name, digest in DIGESTS.items():
        found = hashlib.sha256((Path(folder) / name).read_bytes()).hexdigest()
        assert found.startswith(digest), f"{folder}/{name} is another file than facenet-pytorch's"
    return Path(folder)


def random_network(seed: int = 0) -> MTCNN:
    """Random weights; slopes of both signs, as the published ones have."""
    torch.manual_seed(seed)
    network = MTCNN(landmarks=False).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.5, 0.5)
    return network


def layers(network: torch.nn.Module) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Named layers in order: conv1, prelu1, ..., dense or convolutional, then the heads."""
    found, number = [], 0
    for module in network.features:
        if isinstance(module, torch.nn.PReLU):
            found.append((f"prelu{number}", {"alpha": module.weight.detach().numpy()}))
        elif hasattr(module, "weight"):
            number += 1
            kind = "conv" if module.weight.ndim == 4 else "dense"
            found.append((f"{kind}{number}", {k: v.detach().numpy() for k, v in module.named_parameters()}))
    for place, head in enumerate((network.logits, network.offsets, network.landmarks), 1):
        if head is not None:
            kind = "conv" if head.weight.ndim == 4 else "dense"
            values = {key: value.detach().numpy() for key, value in head.named_parameters()}
            found.append((f"{kind}{number + 1}_{place}", values))
    return found


def first_dense(weight: np.ndarray, axes: str) -> np.ndarray:
    """(out, C H W) columns in another order: axes such as ``whc``."""
    parts = weight.reshape(len(weight), -1, 3, 3)
    order = {"c": 1, "h": 2, "w": 3}
    return parts.transpose(0, *(order[axis] for axis in axes)).reshape(len(weight), -1)


def reordered(network: torch.nn.Module, kernels: tuple[int, ...], axes: str, dense_last: bool) -> list:
    """The layers with other axes; ``dense_last`` transposes dense layers."""
    found, seen = [], False
    for name, values in layers(network):
        changed = dict(values)
        if "weight" in values and values["weight"].ndim == 4:
            changed["weight"] = values["weight"].transpose(kernels)
        elif "weight" in values:
            weight = values["weight"] if seen else first_dense(values["weight"], axes)
            changed["weight"], seen = weight.T if dense_last else weight, True
        found.append((name, changed))
    return found


def write_facenet_pytorch(network: MTCNN, folder: Path) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    for name in ("pnet", "rnet", "onet"):
        state = {}
        for layer, values in reordered(network.get_submodule(name), (0, 1, 2, 3), "whc", False):
            for key, value in values.items():
                state[f"{layer}.{'weight' if key == 'alpha' else key}"] = torch.from_numpy(value.copy())
        torch.save(state, folder / f"{name}.pt")
    return folder
