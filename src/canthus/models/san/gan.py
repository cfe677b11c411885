"""The networks that turn faces of one style into another: CycleGAN's generator, discriminator and image pool.

Legend: B batch, H W rows and columns. Images are RGB in [-1, 1]. Norms are instance norms without parameters.
"""

import torch
from torch import Tensor, nn

__all__ = ["Discriminator", "Generator", "ImagePool", "scaled"]

CHANNELS = (64, 128, 256)
"""Of the generator, on its way in."""
CRITIC = ((64, 2), (128, 2), (256, 2), (512, 1))
"""Channels and strides of the discriminator."""


def scaled(channels: int, width: float) -> int:
    """Channels times a factor, at least 1."""
    return max(round(channels * width), 1)


def _norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=False)


def _initialise(network: nn.Module) -> None:
    """Xavier normal with gain 1: the released code's choice, not CycleGAN's N(0, 0.02)."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_normal_(module.weight)
            assert module.bias is not None
            nn.init.zeros_(module.bias)


class ResidualBlock(nn.Module):
    """Two convolutions, added to what they read.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            _norm(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            _norm(channels),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Keeps the shape."""
        changed: Tensor = maps + self.layers(maps)
        return changed


class Generator(nn.Module):
    """A face in, the same face in another style out.

    Args:
        width: factor of the channels; the paper: 1.
        blocks: residual blocks; the paper: 6.
    """

    def __init__(self, width: float = 1.0, blocks: int = 6) -> None:
        super().__init__()
        if width <= 0 or blocks < 0:
            raise ValueError(f"width={width}, blocks={blocks}: need width > 0, blocks >= 0")
        low, middle, high = (scaled(channels, width) for channels in CHANNELS)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, low, 7), _norm(low), nn.ReLU(inplace=True)]
        for inputs, outputs in ((low, middle), (middle, high)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), _norm(outputs), nn.ReLU(inplace=True)]
        layers += [ResidualBlock(high) for _ in range(blocks)]
        for inputs, outputs in ((high, middle), (middle, low)):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1),
                _norm(outputs),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(low, 3, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape; H and W divide by 4."""
        changed: Tensor = self.layers(image)
        return changed


class Discriminator(nn.Module):
    """How real each patch of an image looks (PatchGAN); a number without bounds, 1 for real ones.

    Args:
        width: factor of the channels; the paper: 1.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for number, (channels, stride) in enumerate(CRITIC):
            outputs = scaled(channels, width)
            layers.append(nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1))
            layers += [_norm(outputs)] * (number > 0) + [nn.LeakyReLU(0.2, inplace=True)]
            inputs = outputs
        layers.append(nn.Conv2d(inputs, 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1, H', W'); 128 pixels to 14."""
        judged: Tensor = self.layers(image)
        return judged


class ImagePool(nn.Module):
    """Pictures that the generator made before, so that the discriminator does not forget them.

    It is part of the checkpoint, so a resumed run goes on with the same images.

    Args:
        capacity: images held; the released code: 50. 0 switches the pool off.
        size: side of an image, pixels.
    """

    images: Tensor
    filled: Tensor

    def __init__(self, capacity: int, size: int) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(capacity, 3, size, size))
        self.register_buffer("filled", torch.tensor(0))

    @torch.no_grad()
    def forward(self, fresh: Tensor) -> Tensor:
        """Exchange some of (B, 3, H, W) new images for old ones: each with probability 1/2, once the pool is full."""
        capacity, shown = len(self.images), []
        for image in fresh.detach().float():
            held = int(self.filled)
            if held < capacity:
                self.images[held] = image
                self.filled += 1
            elif capacity and float(torch.rand(())) < 0.5:
                place = int(torch.randint(capacity, ()))
                old = self.images[place].clone()
                self.images[place] = image
                image = old
            shown.append(image)
        return torch.stack(shown)
