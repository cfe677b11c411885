"""CFAN's descriptors: known gradients, invariances, and that the fast one sees what kornia's sees."""

import pytest
import torch
from torch.nn import functional

from canthus.models.cfan.sift import DESCRIPTORS, DenseSIFT, PatchSIFT

CENTRE = torch.tensor([[[31.5, 31.5]]])


def picture(seed: int = 0, size: int = 64, count: int = 1) -> torch.Tensor:
    """Smooth random shades, as faces have."""
    noise = torch.rand(count, 1, size // 4, size // 4, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(noise, size=size, mode="bicubic", align_corners=False).clamp(0, 1)


@pytest.mark.parametrize("name", sorted(DESCRIPTORS))
def test_a_flat_picture_has_no_descriptor(name: str) -> None:
    described = DESCRIPTORS[name]()(torch.full((1, 1, 64, 64), 0.4), CENTRE)
    assert described.shape == (1, 1, 128)
    assert described.abs().max() < 1e-3


@pytest.mark.parametrize("name", sorted(DESCRIPTORS))
def test_brightness_and_contrast_do_not_matter(name: str) -> None:
    sift, image = DESCRIPTORS[name](), picture()
    expected = sift(image, CENTRE)
    assert float(expected.norm()) == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(sift(0.3 * image + 0.2, CENTRE), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("direction", range(8))
def test_a_ramp_votes_for_its_direction_and_a_third_for_the_neighbours(direction: int) -> None:
    """cos^3(45 degrees) is 0.354; the official descriptor's lobes."""
    angle = torch.tensor(direction * torch.pi / 4)
    axis = torch.arange(64.0)
    image = (axis * angle.cos() + axis[:, None] * angle.sin())[None, None] / 200 + 0.5
    cells = DenseSIFT()(image, CENTRE)[0, 0].reshape(16, 8)
    share = cells / cells[:, direction : direction + 1]
    expected = torch.zeros(8)
    expected[direction] = 1
    expected[[(direction - 1) % 8, (direction + 1) % 8]] = 0.5**1.5
    torch.testing.assert_close(share, expected.expand(16, 8), atol=1e-3, rtol=0)


def test_cells_are_ordered_by_column_then_row() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 40:, 18:22] = 1.0  # lower left of the window around the centre
    strength = DenseSIFT()(image, CENTRE)[0, 0].reshape(4, 4, 8).sum(-1)
    assert strength.flatten().argmax() == 3  # first column, last row


@pytest.mark.parametrize("name", sorted(DESCRIPTORS))
def test_whole_pixel_translation_changes_nothing(name: str) -> None:
    sift, image = DESCRIPTORS[name](), picture(size=96)
    points = torch.tensor([[[40.0, 44.5], [50.25, 41.0]]])
    moved = sift(torch.roll(image, (6, -4), (2, 3)), points + torch.tensor([-4.0, 6.0]))
    torch.testing.assert_close(moved, sift(image, points), atol=1e-5, rtol=0)


def test_a_mirrored_picture_has_the_mirrored_descriptor() -> None:
    sift, image = DenseSIFT(), picture(size=65)  # odd, so that every second pixel mirrors onto every second pixel
    points = torch.tensor([[[30.0, 33.0]]])
    described = sift(image, points)[0, 0].reshape(4, 4, 8)
    mirrored = sift(image.flip(-1), torch.tensor([[[34.0, 33.0]]]))[0, 0].reshape(4, 4, 8)
    opposite = (4 - torch.arange(8)) % 8
    torch.testing.assert_close(mirrored.flip(0)[..., opposite], described, atol=1e-5, rtol=0)


def test_both_descriptors_tell_the_same_places_apart() -> None:
    """Nearest neighbours by one are nearest neighbours by the other: kornia's is the yardstick of the fast one."""
    image = picture(seed=1, size=160)
    points = torch.rand(1, 40, 2, generator=torch.Generator().manual_seed(2)) * 100 + 30
    dense = DenseSIFT()(image, points)[0].reshape(40, 16, 8)
    # kornia: orientation outermost, then row, then column
    patch = PatchSIFT()(image, points)[0].reshape(40, 8, 4, 4).permute(0, 3, 2, 1).reshape(40, 16, 8)
    similar = functional.cosine_similarity(dense.flatten(1), patch.flatten(1), dim=1)
    assert similar.min() > 0.8
    table = functional.normalize(dense.flatten(1)) @ functional.normalize(patch.flatten(1)).T
    assert torch.equal(table.argmax(1), torch.arange(40))


def test_nothing_is_trained_and_no_gradient_reaches_the_points() -> None:
    for name in DESCRIPTORS:
        sift = DESCRIPTORS[name]()
        assert not any(parameter.requires_grad for parameter in sift.parameters())
        points = CENTRE.clone().requires_grad_()
        assert not sift(picture(), points).requires_grad
