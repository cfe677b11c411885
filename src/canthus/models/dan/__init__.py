"""Deep Alignment Network, CVPR Workshops 2017."""

from canthus.models.dan.network import DAN

__all__ = ["DAN"]
