"""Multi-task Cascaded Convolutional Networks, Signal Processing Letters 2016."""

from canthus.models.mtcnn.network import MTCNN

__all__ = ["MTCNN"]
