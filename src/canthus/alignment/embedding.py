"""Embedders that turn aligned faces into vectors: one for all methods of a study, none trained on their alignments."""

from collections.abc import Callable

import cv2
import numpy as np
import timm
import torch
from kornia.feature import DenseSIFTDescriptor
from numpy.typing import NDArray

from canthus.data.batch import scale_pixels

__all__ = ["Embedder", "make_embedder"]

Embedder = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(N, size, size, 3) uint8 RGB to (N, D) of length 1."""
CELLS = 8
"""Cells of the histograms along a side of the frame."""


def make_embedder(name: str, size: int) -> Embedder:
    """Build an embedder.

    Args:
        name: ``hog`` (histograms of oriented gradients, normalised in overlapping blocks), ``pixels`` (small, grey, of
            mean 0), or a network of timm, whose pretrained features are taken.
        size: of the aligned faces, pixels; a multiple of 16 for ``hog``.

    Raises:
        ValueError: no such embedder, or a size that it cannot take.
    """
    if name == "pixels":
        return _pixels
    if name == "hog":
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
    if not timm.is_model(name):
        raise ValueError(f"embedder={name}: hog, pixels, or a network of timm")
    network = timm.create_model(name, pretrained=True, num_classes=0).eval()

    @torch.inference_mode()
    def embed(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255
        return _unit(np.concatenate([network(scale_pixels(some, "imagenet")).numpy() for some in pixels.split(64)]))

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
