"""Trained models for other programs (ONNX, TorchScript) and for the zoo (safetensors)."""

from canthus.exporting.check import agreement, latency, rendered_inputs
from canthus.exporting.entry import write_entry
from canthus.exporting.formats import FORMATS, Exported
from canthus.exporting.graph import Graph, graphs_of

__all__ = ["FORMATS", "Exported", "Graph", "agreement", "graphs_of", "latency", "rendered_inputs", "write_entry"]
