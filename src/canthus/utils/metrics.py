"""Which way a metric is better. Kept free of torch, so that shell completion is quick."""

import re

from canthus.utils.errors import ConfigError

__all__ = ["higher_is_better"]

BETTER = {"auc": True, "ap": True, "recall": True, "accuracy": True} | dict.fromkeys(
    ("nme", "failure", "loss", "mae", "geodesic"), False
)
"""Kinds of metrics, the first word of their names, and whether a higher value is better."""


def higher_is_better(metric: str) -> bool:
    """Whether a logged metric is to be maximised.

    Args:
        metric: ``val/nme_inter_ocular``, ``val/auc_common``, ``train/loss``.

    Raises:
        ConfigError: nothing is known about it.
    """
    kind = re.split(r"[_@]", metric.rpartition("/")[2])[0]
    if kind not in BETTER:
        known = ", ".join(sorted(BETTER))
        raise ConfigError(f"whether {metric} should rise or fall is not known (as it is for {known}); set the mode")
    return BETTER[kind]
