"""Supervised Descent Method (Xiong and De la Torre, CVPR 2013)."""

from canthus.models.sdm.network import SDM

__all__ = ["SDM"]
