"""Deep Convolutional Network Cascade, CVPR 2013."""

from canthus.models.dcnn.network import DCNN

__all__ = ["DCNN"]
