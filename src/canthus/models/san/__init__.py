"""Style Aggregated Network, CVPR 2018."""

from canthus.models.san.network import SAN

__all__ = ["SAN"]
