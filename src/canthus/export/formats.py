"""The file formats: how a graph is written, and how the file is run to see that it says the same."""

import io
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from canthus.export.graph import Graph
from canthus.utils.errors import ConfigError, RunError

__all__ = ["FORMATS", "Exported", "OnnxFile", "TorchScriptFile"]

ABOUT = "canthus"
"""Key under which files say, in JSON, what their numbers mean."""


TRACED = 2
"""Examples of which a graph is made: one might be taken for a dimension that is always 1."""


class Exported(ABC):
    """A file that holds a network.

    Args:
        path: of the file.
        device: that it runs on.
    """

    suffix: ClassVar[str]

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path, self.device = path, device

    @classmethod
    @abstractmethod
    def write(cls, graph: Graph, path: Path, *, opset: int) -> None:
        """Write a graph.

        Raises:
            ConfigError: a package that is needed is missing.
            RunError: the graph cannot be said in this format.
        """

    @abstractmethod
    def __call__(self, image: Tensor) -> list[Tensor]:
        """Run the file on (B, C, H, W)."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What the file says of itself."""


class TorchScriptFile(Exported):
    """TorchScript, for programs with libtorch; traced, with any batch size."""

    suffix = ".pt"

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__(path, device)
        files = {f"{ABOUT}.json": ""}
        with _quiet():
            self._module = torch.jit.load(str(path), map_location=device, _extra_files=files)
        self._about = files[f"{ABOUT}.json"]

    @classmethod
    def write(cls, graph: Graph, path: Path, *, opset: int) -> None:
        """See `Exported.write`."""
        with torch.no_grad(), _quiet():
            # tried on other batch sizes afterwards, so the tracer's own check is left out
            traced = torch.jit.trace(graph.network, (graph.examples[:TRACED],), check_trace=False)
            content = io.BytesIO()  # torch's own file ends the process when the disk is full
            torch.jit.save(traced, content, _extra_files={f"{ABOUT}.json": json.dumps(graph.about)})
        path.write_bytes(content.getvalue())

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[Tensor]:
        """See `Exported`."""
        return list(self._module(image))

    def about(self) -> dict[str, Any]:
        """See `Exported`."""
        content: dict[str, Any] = json.loads(self._about)
        return content


class OnnxFile(Exported):
    """ONNX, for onnxruntime and many others; needs the extra ``export``."""

    suffix = ".onnx"

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__(path, device)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()  # as many as the model that it is timed beside
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    @classmethod
    def write(cls, graph: Graph, path: Path, *, opset: int) -> None:
        """See `Exported.write`."""
        try:
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise ConfigError(f"format=onnx: {error}; pip install 'canthus[export]'") from error
        free = {
            axis: torch.export.Dim(name, min=least) if axis == 0 else torch.export.Dim.DYNAMIC
            for axis, (name, least) in graph.free.items()
        }
        with torch.no_grad(), _quiet():
            try:
                program = torch.onnx.export(
                    graph.network,
                    (graph.examples[:TRACED],),
                    input_names=["image"],
                    output_names=list(graph.outputs),
                    dynamic_shapes=(free,),
                    opset_version=opset,
                    dynamo=True,
                    verbose=False,
                )
            except torch.onnx.errors.OnnxExporterError as error:
                raise RunError(f"{graph.about['model']} cannot be written as ONNX: {error}") from error
            assert program is not None
            program.model.metadata_props[ABOUT] = json.dumps(graph.about)
            program.save(str(path), external_data=False)

    def __call__(self, image: Tensor) -> list[Tensor]:
        """See `Exported`."""
        try:
            results = self._session.run(None, {"image": np.ascontiguousarray(image.cpu().numpy())})
        except Exception as error:  # its classes have no common ancestor but this
            raise RunError(f"{self.path} does not take pictures of shape {tuple(image.shape)}: {error}") from error
        return [torch.from_numpy(values) for values in results]

    def about(self) -> dict[str, Any]:
        """See `Exported`."""
        content: dict[str, Any] = json.loads(self._session.get_modelmeta().custom_metadata_map[ABOUT])
        return content


FORMATS: dict[str, type[Exported]] = {"onnx": OnnxFile, "torchscript": TorchScriptFile}


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters talk about their own affairs: shapes that they take for constants, folding that they leave out."""
    loggers = [getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
