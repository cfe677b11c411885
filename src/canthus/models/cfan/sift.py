"""SIFT descriptors around landmarks, the shape-indexed features of CFAN's local stages.

Legend: B batch, K landmarks. Both descriptors see a window of 32 pixels, 4 x 4 cells of 8 orientations each.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from canthus.geometry.patches import warp_patches
from canthus.geometry.warp import resample

__all__ = ["DESCRIPTORS", "SIZE", "DenseSIFT", "PatchSIFT"]

WINDOW, CELLS, ORIENTATIONS = 32, 4, 8
PITCH = WINDOW // CELLS
SIZE = CELLS * CELLS * ORIENTATIONS
"""Values of one descriptor: 128."""


class DenseSIFT(nn.Module):
    """SIFT from orientation maps of the whole image, read at the landmarks' cells.

    The recipe is SeetaFace's descriptor, the only published code of CFAN's authors (FaceAlignment/src/sift.cpp): 5 x 5
    derivative of Gaussian, 8 orientations with cosine-cubed lobes, cells pooled by a tent of half-width 8 pixels, L2
    norm, neither clipping nor Gaussian window. It is not that code's bit by bit: that one cuts patches at rounded
    points first, which puts a frame of false edges around each, and its grid of cells lies 3 pixels up and left. One
    set of maps serves all landmarks, so 68 overlapping windows cost little more than one.
    """

    derivatives: Tensor
    cells: Tensor

    def __init__(self) -> None:
        super().__init__()
        axis = torch.arange(-2, 3, dtype=torch.float32)
        smooth = torch.exp(-axis.square() / 2)  # sigma 1
        along_x = torch.outer(smooth, axis * smooth)
        along_x = along_x / (along_x * axis).sum()  # a ramp of slope 1 has gradient 1
        # derivatives in the first half of the directions; the others are their negatives
        angle = (torch.arange(ORIENTATIONS // 2) * (2 * torch.pi / ORIENTATIONS))[:, None, None]
        offset = (torch.arange(CELLS) - (CELLS - 1) / 2) * PITCH
        x, y = torch.meshgrid(offset, offset, indexing="ij")  # x outermost, as in the authors' code
        steered = (angle.cos() * along_x + angle.sin() * along_x.T)[:, None]
        self.register_buffer("derivatives", steered, persistent=False)
        self.register_buffer("cells", torch.stack([x, y], -1).flatten(0, 1), persistent=False)

    def orientation_maps(self, image: Tensor) -> Tensor:
        """Gradient magnitude near each direction, pooled over a cell.

        Args:
            image: (B, 1, H, W).

        Returns:
            (B, 8, H / 2, W / 2), rounded up: at every second pixel, which is enough for maps so smooth.
        """
        along = functional.conv2d(functional.pad(image, (2, 2, 2, 2), mode="replicate"), self.derivatives)
        squared = along[:, :1].square() + along[:, 2:3].square()  # 0 and 90 degrees
        lobes = along**3 / squared.clamp_min(1e-12)  # magnitude x cos^3; 0 where there is no gradient
        maps = torch.cat([lobes.clamp_min(0), (-lobes).clamp_min(0)], 1)
        rows, columns = (_tent(side, image) for side in image.shape[-2:])
        return rows @ maps @ columns.mT

    def forward(self, image: Tensor, points: Tensor) -> Tensor:
        """Describe the windows around points.

        Args:
            image: (B, 1, H, W) in [0, 1].
            points: (B, K, 2), pixels; at any place between them.

        Returns:
            (B, K, 128), each of norm 1, or 0 where the image is flat.
        """
        with torch.autocast(image.device.type, enabled=False):
            cells = points.detach().float()[:, :, None] + self.cells
            values = resample(self.orientation_maps(image.float()), cells / 2, padding="zeros")  # (B, 8, K, 16)
            described: Tensor = functional.normalize(values.permute(0, 2, 3, 1).flatten(2), dim=-1, eps=1e-6)
        return described


def _tent(side: int, like: Tensor) -> Tensor:
    """(side / 2, side) matrix that pools a row of pixels around every second one; nothing lies outside."""
    pixels = torch.arange(side, device=like.device, dtype=like.dtype)
    return (1 - (pixels[::2, None] - pixels).abs() / PITCH).clamp_min(0)


class PatchSIFT(nn.Module):
    """kornia's SIFT on patches: linear votes for orientations, a Gaussian window, values clipped at 0.2.

    Many times slower on a CPU than `DenseSIFT`: every patch has its own gradients and pooling.
    """

    def __init__(self) -> None:
        from kornia.feature import SIFTDescriptor  # seconds, which `DenseSIFT` is loaded without

        super().__init__()
        self.descriptor = SIFTDescriptor(WINDOW, ORIENTATIONS, CELLS, rootsift=False).requires_grad_(False)

    def forward(self, image: Tensor, points: Tensor) -> Tensor:
        """As `DenseSIFT.forward`; the orientation is the outermost index of the 128."""
        with torch.autocast(image.device.type, enabled=False):
            upright = torch.eye(2, device=points.device).expand(*points.shape, 2)
            corner = points.detach().float()[..., None] - (WINDOW - 1) / 2  # centred, so that mirroring commutes
            patches = warp_patches(image.float(), torch.cat([upright, corner], -1), (WINDOW, WINDOW))
            described: Tensor = self.descriptor(patches.flatten(0, 1)).unflatten(0, points.shape[:2])
        return described


DESCRIPTORS: dict[str, type[nn.Module]] = {"dense": DenseSIFT, "kornia": PatchSIFT}
