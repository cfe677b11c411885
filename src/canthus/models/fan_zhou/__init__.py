"""Approaching human level facial landmark localization by deep learning, Image and Vision Computing 2016."""

from canthus.models.fan_zhou.network import FanZhou

__all__ = ["FanZhou"]
