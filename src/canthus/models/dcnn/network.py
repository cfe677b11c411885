"""Deep Convolutional Network Cascade for Facial Point Detection (Sun, Wang, Tang, CVPR 2013).

Level 1: three networks see the face (F1), its eyes and nose (EN1), its nose and mouth (NM1) and place the points they
see. Levels 2 and 3: two small networks for each point see patches of two sizes around it and move it. What several
networks say about a point is averaged.

Legend: B batch, K = 5 points (left eye, right eye, nose, left and right mouth corner of the image), V votes. Points are
(x, y) pixels of the input image. The face box is square and stands still in that image; regions are in its units.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from canthus.geometry import boxes
from canthus.geometry.patches import region_maps, warp_patches
from canthus.models.dcnn.layers import STRUCTURES, Structure
from canthus.models.estimates import Votes

__all__ = ["DCNN", "LEVEL_1", "LEVEL_1_STRUCTURES", "GlobalLevel", "LocalLevel", "standardise"]

NUM_LANDMARKS = 5
LEVEL_1 = {
    "F1": ((-0.05, -0.05, 1.05, 1.05), (0, 1, 2, 3, 4)),
    "EN1": ((-0.05, -0.04, 1.05, 0.84), (0, 1, 2)),
    "NM1": ((-0.05, 0.18, 1.05, 1.05), (2, 3, 4)),
}
"""Table 2: what a network sees (left, top, right, bottom of the face box) and the points that it places."""
LEVEL_1_STRUCTURES = tuple(name for name, layers in STRUCTURES.items() if layers.endswith("F(10)"))
"""Structures of table 1 that F1 may have."""
HALF_SIDES = ((0.16, 0.18), (0.11, 0.12))
"""Table 2, levels 2 and 3: half the side of the patches of a point's two networks."""


def standardise(patches: Tensor) -> Tensor:
    """Zero mean and unit standard deviation for every patch (..., h, w); the paper names no scaling of grey levels."""
    mean = patches.mean((-2, -1), keepdim=True)
    deviation = patches.std((-2, -1), keepdim=True, correction=0)
    return (patches - mean) / deviation.clamp_min(1e-5)


def _look(image: Tensor, regions: Tensor, size: tuple[int, int]) -> Tensor:
    """Standardised grey patches (B, V, h, w) of (B, V, 4) regions."""
    return standardise(warp_patches(image, region_maps(regions, size), size)[:, :, 0])


class GlobalLevel(nn.Module):
    """Level 1: networks that see fixed regions of the face box.

    Args:
        box: (4,) the face box, input pixels.
        networks: names of `LEVEL_1`.
        structure: of F1, a name of `LEVEL_1_STRUCTURES`; EN1 and NM1 are S1.

    Raises:
        ValueError: an unknown network or structure, or points that no network places.
    """

    regions: Tensor
    landmarks: Tensor

    def __init__(self, box: Tensor, networks: Sequence[str], structure: str) -> None:
        super().__init__()
        unknown = [name for name in networks if name not in LEVEL_1]
        if unknown or structure not in LEVEL_1_STRUCTURES:
            raise ValueError(
                f"level 1 is made of {', '.join(LEVEL_1)}, not {list(networks)}, and F1's structure is one of "
                f"{', '.join(LEVEL_1_STRUCTURES)}, not {structure!r}"
            )
        placed = {point for name in networks for point in LEVEL_1[name][1]}
        if len(placed) < NUM_LANDMARKS:
            raise ValueError(f"level 1 of {list(networks)} places only the points {sorted(placed)} of 5")
        # networks of one structure run as one
        groups = [[name for name in group if name in networks] for group in (["F1"], ["EN1", "NM1"])]
        self.groups = [group for group in groups if group]
        self.networks = nn.ModuleList(
            Structure(STRUCTURES[structure if group == ["F1"] else "S1"], experts=len(group)) for group in self.groups
        )
        names = [name for group in self.groups for name in group]
        origin, side = box[:2].repeat(2), boxes.side(box)
        self.register_buffer("regions", origin + side * torch.tensor([LEVEL_1[name][0] for name in names]))
        self.register_buffer("landmarks", torch.tensor([point for name in names for point in LEVEL_1[name][1]]))

    def forward(self, image: Tensor) -> Votes:
        """(B, 1, H, W) to the votes of every network."""
        points, units = [], []
        regions = iter(self.regions.split([len(group) for group in self.groups]))
        for network in self.networks:
            assert isinstance(network, Structure)
            region = next(regions)
            out = network(_look(image, region.expand(image.shape[0], -1, -1), network.size)).unflatten(2, (-1, 2))
            half = (region[:, 2:] - region[:, :2])[:, None] / 2  # (E, 1, 2)
            points.append((boxes.centre(region)[:, None] + half * out.float()).flatten(1, 2))
            units.append(half.expand(out.shape[1:]).flatten(0, 1))
        return Votes(torch.cat(points, 1), self.landmarks, torch.cat(units))


class LocalLevel(nn.Module):
    """Levels 2 and 3: two networks of structure S2 for each point, all ten as one grouped network.

    Args:
        side: of the face box, input pixels.
        half_sides: of the patches of a point's two networks, in face boxes.
    """

    landmarks: Tensor
    halves: Tensor

    def __init__(self, side: float, half_sides: Sequence[float]) -> None:
        super().__init__()
        count = len(half_sides)
        self.networks = Structure(STRUCTURES["S2"], experts=NUM_LANDMARKS * count)
        self.register_buffer("landmarks", torch.arange(NUM_LANDMARKS).repeat_interleave(count))
        self.register_buffer("halves", side * torch.tensor(half_sides).repeat(NUM_LANDMARKS)[:, None])

    def forward(self, image: Tensor, points: Tensor) -> Votes:
        """Where the networks move (B, K, 2) points to: at most half a side of their patch away."""
        centres = points.detach()[:, self.landmarks]
        patches = _look(image, torch.cat([centres - self.halves, centres + self.halves], -1), self.networks.size)
        return Votes(centres + self.halves * self.networks(patches).float(), self.landmarks, self.halves)


class DCNN(nn.Module):
    """The cascade of 23 networks.

    Args:
        box: (x1, y1, x2, y2) where the face box stands in the input image; square.
        levels: 1 to 3.
        networks: of level 1.
        structure: of F1.

    Raises:
        ValueError: arguments that do not describe a cascade, named.
    """

    def __init__(
        self,
        box: Sequence[float],
        levels: int = 3,
        networks: Sequence[str] = ("F1", "EN1", "NM1"),
        structure: str = "S0",
    ) -> None:
        super().__init__()
        if not 1 <= levels <= 1 + len(HALF_SIDES):
            raise ValueError(f"levels is {levels}; the cascade has 1 to {1 + len(HALF_SIDES)}")
        frame = torch.tensor(box, dtype=torch.float32)
        self.side = float(boxes.side(frame))
        self.levels = nn.ModuleList([GlobalLevel(frame, networks, structure)])
        self.levels.extend(LocalLevel(self.side, half_sides) for half_sides in HALF_SIDES[: levels - 1])

    def forward(self, image: Tensor, depth: int | None = None) -> list[Votes]:
        """Run the cascade: each level looks around the mean of the votes before it.

        Args:
            image: (B, 1, H, W).
            depth: number of levels to run; all by default.

        Returns:
            The votes of each level.
        """
        votes = [self.levels[0](image)]
        for level in list(self.levels)[1 : len(self.levels) if depth is None else depth]:
            votes.append(level(image, votes[-1].average(NUM_LANDMARKS)))
        return votes
