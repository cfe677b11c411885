"""Trained models for other programs (ONNX, TorchScript) and for the zoo (safetensors)."""

from canthus.export.check import agreement, latency, rendered_inputs
from canthus.export.entry import write_entry
from canthus.export.formats import FORMATS, Exported
from canthus.export.graph import Graph, graphs_of

__all__ = ["FORMATS", "Exported", "Graph", "agreement", "graphs_of", "latency", "rendered_inputs", "write_entry"]
