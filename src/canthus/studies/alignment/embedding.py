"""Embedders that turn aligned faces into vectors: one for all methods of a study, none trained on their alignments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import timm.models
import torch
from kornia.feature import DenseSIFTDescriptor
from numpy.typing import NDArray
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn

from canthus.models.pretrained import checked_state
from canthus.utils.files import why_refused

__all__ = ["Embedder", "make_embedder"]

Embedder = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(N, size, size, 3) uint8 RGB to (N, D) of length 1."""
CELLS = 8
"""Cells of the histograms along a side of the frame."""


def make_embedder(name: str, size: int, weights: Path | None = None) -> Embedder:
    """Build an embedder.

    Args:
        name: ``hog`` (histograms of oriented gradients, normalised in overlapping blocks), ``pixels`` (small, grey, of
            mean 0), or a network of timm, whose features before the classifier are taken.
        size: of the aligned faces, pixels; a multiple of 16 for ``hog``.
        weights: of the network, a state dict (.pth, .safetensors); timm's pretrained ones if None.

    Raises:
        ValueError: no such embedder, a size that it cannot take, or no weights for it.
    """
    if weights is not None and name in ("pixels", "hog"):
        raise ValueError(f"embedder_weights={weights}: embedder={name} has no weights; name a network of timm")
    if name == "pixels":
        return _pixels
    if name == "hog":
        return _histograms(size)
    if not timm.is_model(name):
        raise ValueError(f"embedder={name}: hog, pixels, or a network of timm")
    return _features(_pretrained(name) if weights is None else _from_file(name, weights))


def _histograms(size: int) -> Embedder:
    if size % (2 * CELLS):
        raise ValueError(f"size={size}: embedder=hog needs a multiple of {2 * CELLS}")
    # SIFT's descriptor of 2 x 2 cells on a regular grid: blocks of histograms that are normalised together
    cell = size // CELLS
    blocks = DenseSIFTDescriptor(num_spatial_bins=2, spatial_bin_size=cell, stride=cell, padding=0)

    @torch.inference_mode()
    def describe(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        grey = torch.from_numpy(np.stack([_grey(face) for face in faces]))[:, None].float() / 255
        return _unit(np.concatenate([blocks(some).flatten(1).numpy() for some in grey.split(64)]))

    return describe


def _pretrained(name: str) -> nn.Module:
    """A network with timm's weights: random ones would tell nobody apart, and timm only warns of them."""
    remedy = "give embedder_weights=FILE, or take embedder=hog"
    if not timm.is_model_pretrained(name):
        raise ValueError(f"embedder={name}: timm has no weights of it; {remedy}")
    try:
        network: nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # whatever the hub's client raises without a network
        raise ValueError(
            f"embedder={name}: its weights cannot be fetched ({type(error).__name__}); {remedy}"
        ) from error
    return network


def _from_file(name: str, path: Path) -> nn.Module:
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    try:
        weights = timm.models.load_state_dict(str(path), weights_only=True)
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        raise ValueError(f"embedder_weights={path} cannot be loaded safely: {why_refused(error)}") from error
    weights, own = checked_state(weights, f"embedder_weights={path}"), network.state_dict()
    try:
        network.load_state_dict({key: value for key, value in weights.items() if key in own})  # no classifier
    except RuntimeError as error:
        what = str(error).splitlines()[1].strip()[:200]
        raise ValueError(f"embedder_weights={path} are not of embedder={name}: {what}") from error
    return network


def _features(network: nn.Module) -> Embedder:
    settings: dict[str, Any] = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
    mean, deviation = (torch.tensor(settings[key])[:, None, None] for key in ("mean", "std"))
    origin: Any = network.pretrained_cfg  # every network of timm has it
    side = settings["input_size"][-1] if origin.get("fixed_input_size") else None
    network.eval()

    def scaled(faces: Tensor) -> Tensor:
        if side is not None and faces.shape[-1] != side:
            faces = nn.functional.interpolate(faces, size=(side, side), mode="bilinear", antialias=True)
        return (faces - mean) / deviation

    @torch.inference_mode()
    def embed(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255
        return _unit(np.concatenate([network(scaled(some)).numpy() for some in pixels.split(64)]))

    return embed


def _pixels(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = np.stack([cv2.resize(_grey(face), (32, 32), interpolation=cv2.INTER_AREA).ravel() for face in faces])
    centred = small.astype(np.float32)
    return _unit(centred - centred.mean(1, keepdims=True))


def _grey(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), dtype=np.float32)
