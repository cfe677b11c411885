"""Rendered faces with exact labels: a data set that needs no download and no licence."""

from canthus.data.synthetic.scenes import SyntheticScenes
from canthus.data.synthetic.source import Synthetic

__all__ = ["Synthetic", "SyntheticScenes"]
