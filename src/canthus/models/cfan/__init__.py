"""Coarse-to-Fine Auto-encoder Networks, ECCV 2014."""

from canthus.models.cfan.network import CFAN

__all__ = ["CFAN"]
