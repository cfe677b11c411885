"""Faces in other styles, on the device: what 300W-Style made of 300-W by PhotoShop.

The templates of the SAN authors are lost (their issue 50), so these are renderings of our own under the same names, and
some more. They change colours and strokes, never the geometry, and draw no random numbers.

Legend: B batch, H W rows and columns. Images are RGB in [0, 1].
"""

from collections.abc import Callable, Sequence

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from canthus.utils.errors import DataError

__all__ = ["STYLES", "Styles", "render"]

LUMA = (0.299, 0.587, 0.114)
"""Rec. 601: how bright eyes find red, green and blue."""


def _grey(image: Tensor) -> Tensor:
    return (image * image.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def _blurred(image: Tensor, share: float) -> Tensor:
    """Gaussian blur with a standard deviation given as a share of the image's side, so that sizes look alike."""
    sigma = share * image.shape[-1]
    kernel = 2 * min(max(round(2.5 * sigma), 1), (image.shape[-1] - 1) // 2) + 1
    return gaussian_blur2d(image, (kernel, kernel), (sigma, sigma), border_type="reflect")


def _tinted(image: Tensor, dark: Sequence[float], bright: Sequence[float]) -> Tensor:
    """Grey levels spread between two colours."""
    low, high = (image.new_tensor(colour)[:, None, None] for colour in (dark, bright))
    return low + _grey(image) * (high - low)


def _sketch(image: Tensor) -> Tensor:
    """A pencil drawing: colour dodge by the blurred negative leaves strokes on white paper."""
    grey = _grey(image)
    # the strokes of a dodge are pale; the power is the pressure of the pencil
    drawn = (grey / _blurred(grey, 0.025).clamp_min(0.02)).clamp(max=1) ** 2
    return drawn.expand_as(image)


def _light(image: Tensor) -> Tensor:
    """Too much soft, warm light: raised shadows and a glow (screen) around what is bright."""
    raised = image**0.7
    glow = 1 - (1 - raised) * (1 - 0.6 * _blurred(raised, 0.03))
    return glow * image.new_tensor([1.0, 0.98, 0.9])[:, None, None]


def _dark(image: Tensor) -> Tensor:
    """Too little light, slightly blue."""
    return 0.75 * image**1.8 * image.new_tensor([0.9, 0.95, 1.0])[:, None, None]


def _poster(image: Tensor) -> Tensor:
    """Six levels a channel, of a slightly blurred image so that areas form."""
    return (_blurred(image, 0.01) * 5).round() / 5


STYLES: dict[str, Callable[[Tensor], Tensor]] = {
    "original": lambda image: image,
    "sketch": _sketch,
    "light": _light,
    "grey": lambda image: _grey(image).expand_as(image),
    "sepia": lambda image: _tinted(image, (0.08, 0.04, 0.0), (1.0, 0.9, 0.7)),
    "cold": lambda image: 0.6 * image + 0.4 * _tinted(image, (0.0, 0.05, 0.2), (0.8, 0.95, 1.0)),
    "dark": _dark,
    "poster": _poster,
}
"""By name; the first four are those of 300W-Style."""


def render(image: Tensor, style: str) -> Tensor:
    """Render images in a style.

    Args:
        image: (B, C, H, W) in [0, 1], C 3 or 1; grey images stay grey.
        style: a name of `STYLES`.

    Returns:
        The same shape, in [0, 1].
    """
    channels = image.shape[1]
    rendered = STYLES[style](image if channels == 3 else image.expand(-1, 3, -1, -1)).clamp(0, 1)
    return rendered if channels == 3 else rendered.mean(1, keepdim=True)


class Styles:
    """Shows every face in one of several styles.

    Args:
        names: of `STYLES`.
        option: key of the config that named them, for the message.

    Raises:
        DataError: an unknown name.
    """

    def __init__(self, names: Sequence[str], option: str = "data.styles") -> None:
        unknown = [name for name in names if name not in STYLES]
        if unknown:
            raise DataError(f"{option}: there is no style {unknown[0]!r}; there are: {', '.join(STYLES)}")
        self.names = list(names)

    def __call__(self, image: Tensor, index: Tensor, random: torch.Generator | None) -> Tensor:
        """Render a batch.

        Args:
            image: (B, C, H, W) in [0, 1].
            index: (B,) of the faces.
            random: draws a style for every face; without it, faces take turns by their index.
        """
        count = len(self.names)
        chosen = index.cpu() % count if random is None else torch.randint(count, (len(index),), generator=random)
        rendered = image.clone()
        for number, name in enumerate(self.names):
            rows = torch.nonzero(chosen == number).flatten().to(image.device)
            if len(rows) and name != "original":
                rendered[rows] = render(image[rows], name)
        return rendered
