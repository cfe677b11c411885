"""Mnemonic Descent Method, CVPR 2016."""

from canthus.models.mdm.network import MDM

__all__ = ["MDM"]
