"""The networks of FacePoseNet: an image of a face in, its pose as z-scores out."""

import torch
from torch import nn

__all__ = ["ALEXNET", "AlexNet", "pose_network"]

ALEXNET = "alexnet"
LAST_DEVIATION = 0.01
"""Of the last layer's weights at the start; its biases are 0 (released code)."""


class AlexNet(nn.Sequential):
    """The AlexNet of the release: grouped convolutions, normalisation across channels after pooling, 227 x 227.

    Sides of the maps: 57 (conv1), 28 (pool1, conv2), 13 (pool2 to conv5), 6 (pool5). 56,892,806 weights for 6 outputs.

    Args:
        outputs: D.
        width: factor of all channels; 1 as published.
        dropout: before each dense layer; the released model has none.
        channels: of the image.
    """

    def __init__(self, outputs: int, width: float = 1.0, dropout: float = 0.0, channels: int = 3) -> None:
        # even, for the convolutions in two groups
        a, b, c, dense = (max(2 * round(width * count / 2), 2) for count in (96, 256, 384, 4096))
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, a, 11, stride=4, padding=4),  # 4 on each side is TensorFlow's SAME at 227
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            local_response_norm(),
            nn.Conv2d(a, b, 5, padding=2, groups=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            local_response_norm(),
            nn.Conv2d(b, c, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(c, c, 3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(c, b, 3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(b * 6 * 6, dense),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(dense, dense),
            nn.ReLU(inplace=True),
            nn.Linear(dense, outputs),
        )
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                layer.bias.data.zero_()  # type: ignore[union-attr]
        _small(self.classifier[-1])


def local_response_norm() -> nn.LocalResponseNorm:
    """TensorFlow's with radius 2, alpha 2e-5, beta 0.75, bias 1: torch divides alpha by the size."""
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)


def pose_network(
    backbone: str,
    outputs: int,
    *,
    width: float = 1.0,
    dropout: float = 0.0,
    channels: int = 3,
    pretrained: bool = False,
) -> nn.Module:
    """The network by name.

    Args:
        backbone: ``alexnet``, or any classification network of timm.
        outputs: D.
        width: of the AlexNet.
        dropout: before the dense layers, or timm's ``drop_rate``.
        channels: of the image.
        pretrained: load timm's weights, from its cache or the network.

    Returns:
        (B, C, H, W) to (B, D).

    Raises:
        ValueError: no such network, or an option that it does not have.
    """
    if backbone == ALEXNET:
        if pretrained:
            raise ValueError("model.pretrained=true: there are no weights of the AlexNet; name a network of timm")
        return AlexNet(outputs, width, dropout, channels)
    import timm  # seconds, which the published network is loaded without

    if not timm.is_model(backbone):
        close = ", ".join(timm.list_models(f"*{backbone.split('_')[0]}*")[:5]) or "timm.list_models() has them all"
        raise ValueError(f"model.backbone={backbone}: neither {ALEXNET} nor a network of timm; some are {close}")
    if width != 1.0:
        raise ValueError(f"model.width={width} is for the AlexNet; choose a smaller network of timm instead")
    network: nn.Module = timm.create_model(
        backbone, pretrained=pretrained, num_classes=outputs, in_chans=channels, drop_rate=dropout
    )
    last = network.get_classifier()  # type: ignore[operator]  # every network of timm has it
    if isinstance(last, nn.Linear):
        _small(last)
    return network


@torch.no_grad()
def _small(layer: nn.Module) -> None:
    assert isinstance(layer, nn.Linear)
    nn.init.normal_(layer.weight, std=LAST_DEVIATION)
    nn.init.zeros_(layer.bias)
