"""Weights in circulation, converted to `MTCNN`.

The authors trained in MATLAB, whose images Caffe saw as (columns, rows): kernels are (out, in, x, y), and the first
dense layer reads features as (C, columns, rows). Ports turned this in different ways:

| layout | files | kernels | first dense layer reads |
|---|---|---|---|
| ``facenet-pytorch`` | ``pnet.pt``, ``rnet.pt``, ``onet.pt`` | (out, in, y, x) | (columns, rows, C) |
| ``pytorch`` | TropComplique's ``pnet.npy``, ... | (out, in, y, x) | (C, columns, rows) |
| ``tensorflow`` | ``det1.npy``, ...; ipazc's ``mtcnn_weights.npy`` | (x, y, in, out) | (columns, rows, C) |
| ``caffe`` | the authors' blobs in any of these forms | (out, in, x, y) | (C, columns, rows) |

A network's arrays may be named (``conv1.weight``, ``features.conv1.weight``, ``{conv1: {weights, biases}}``) or a list
in the order of the layers, class head first. canthus' own checkpoints need no conversion.
"""

import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from canthus.models.mtcnn.network import MTCNN
from canthus.models.pretrained import checked_state
from canthus.utils.errors import DataError
from canthus.utils.files import why_refused

__all__ = ["LAYOUTS", "from_state", "load_weights"]

LAYOUTS = {
    "facenet-pytorch": ((0, 1, 2, 3), "whc"),
    "pytorch": ((0, 1, 2, 3), "cwh"),
    "tensorflow": ((3, 2, 1, 0), "whc"),
    "caffe": ((0, 1, 3, 2), "cwh"),
}
"""How the axes of kernels become (out, in, y, x), and in which order the first dense layer reads its features."""
NETWORKS = {"pnet": ("pnet", "det1"), "rnet": ("rnet", "det2"), "onet": ("onet", "det3")}
"""Names of files, without suffix, that hold a network."""
SUFFIXES = (".pt", ".pth", ".npz", ".npy")
TO_NATURAL = {"whc": (0, 3, 2, 1), "cwh": (0, 1, 3, 2)}
"""From (out, features in the order that is read) to (out, C, rows, columns)."""

Arrays = list[tuple[str, NDArray[Any]]]
"""Named arrays of a network in the order of its layers; a list without names has empty ones."""


def load_weights(source: Path, layout: str | None = None) -> MTCNN:
    """Build `MTCNN` with weights from elsewhere, or from a canthus checkpoint.

    Args:
        source: folder with a file per network, a ``.npy`` file with all three, or a checkpoint of canthus.
        layout: one of `LAYOUTS`; None to tell from names and shapes, which works for all but ``caffe``.

    Raises:
        DataError: a file that is missing, unreadable, of other networks or with values that are not finite.
        ValueError: an unknown layout.
    """
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"layout={layout}: one of {', '.join(LAYOUTS)}, or none to tell from the file")
    if source.is_dir():
        found = {name: _find(source, name) for name in NETWORKS}
        arrays = {name: _named(_read(path), path) for name, path in found.items()}
        places = {name: str(path) for name, path in found.items()}
    elif source.is_file():
        content = _read(source)
        state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
        if any("features." in str(key) and "pnet." in str(key) for key in state):
            return from_state(source, state)
        content = {str(key).lower(): value for key, value in content.items()} if isinstance(content, Mapping) else {}
        if not set(NETWORKS) <= set(content):
            raise DataError(
                f"{source}: holds neither {', '.join(NETWORKS)} nor a canthus checkpoint of mtcnn; give the folder of "
                "pnet.pt, rnet.pt and onet.pt, a run's checkpoint, or convert the file"
            )
        arrays = {name: _named(content[name], source) for name in NETWORKS}
        places = {name: f"{source}: {name}" for name in NETWORKS}
    else:
        raise DataError(f"{source}: no such file or folder; give the weights of MTCNN")
    network = MTCNN(landmarks=False)
    for name in NETWORKS:
        _fill(network.get_submodule(name), arrays[name], layout, places[name])
    checked_state(network.state_dict(), str(source))
    return network.eval()


def from_state(source: Path, state: Mapping[str, Any]) -> MTCNN:
    """`MTCNN` with the weights of a checkpoint of it, or of a module that holds it as ``network``.

    Args:
        source: of the state, for messages.
        state: weights by name.

    Raises:
        DataError: they are not all there.
    """
    own = {key.removeprefix("network."): value for key, value in state.items()}
    own = {key: value for key, value in own.items() if key.partition(".")[0] in NETWORKS}
    network = MTCNN(landmarks="pnet.landmarks.weight" in own)
    checked_state(own, str(source))
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        raise DataError(f"{source}: does not hold all of MTCNN: {str(error).splitlines()[-1].strip()}") from error
    return network.eval()


def _fill(network: nn.Module, arrays: Arrays, layout: str | None, place: str) -> None:
    """Copy arrays, in the order of the layers, into a network."""
    targets = network.state_dict()
    if len(arrays) != len(targets):
        raise DataError(f"{place}: {len(arrays)} arrays where {type(network).__name__} has {len(targets)}")
    kernels, order = LAYOUTS[layout or _guess(arrays)]
    dense = 0
    state: dict[str, Tensor] = {}
    for (key, target), (name, values) in zip(targets.items(), arrays, strict=True):
        tensor = torch.from_numpy(np.array(values, dtype=np.float32))
        if tensor.ndim == 4:
            tensor = tensor.permute(kernels)
        elif tensor.ndim == 2:
            tensor = tensor.T if kernels == LAYOUTS["tensorflow"][0] else tensor
            dense += 1
            if dense == 1 and tensor.shape[1] % 9 == 0:  # the maps before it are 3 x 3
                channels = tensor.shape[1] // 9
                axes = {"w": 3, "h": 3, "c": channels}
                tensor = tensor.unflatten(1, [axes[axis] for axis in order]).permute(TO_NATURAL[order]).flatten(1)
        elif tensor.numel() == target.numel():  # slopes (1, 1, C)
            tensor = tensor.flatten()
        if tensor.shape != target.shape:
            raise DataError(
                f"{place}: {name or key} is {tuple(values.shape)}, which does not fit {tuple(target.shape)}"
            )
        state[key] = tensor
    network.load_state_dict(state)


def _guess(arrays: Arrays) -> str:
    if arrays[0][1].shape[0] == arrays[0][1].shape[1] == 3:  # the first kernel: in has 3 channels, out never
        return "tensorflow"
    return "facenet-pytorch" if any("dense" in name for name, _ in arrays) else "pytorch"


def _named(content: Any, place: Path) -> Arrays:
    """Arrays in the order of the layers: conv1, its bias, its PReLU, conv2, ..., the heads."""
    if isinstance(content, (list, tuple)):
        return [("", np.asarray(values)) for values in content]
    if not isinstance(content, Mapping):
        raise DataError(f"{place}: holds {type(content).__name__}, not the arrays of a network by name")
    flat: dict[str, Any] = {}
    for name, value in content.items():
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        flat |= {f"{name}.{part}".rstrip("."): array for part, array in inner}
    return sorted(((name, np.asarray(value)) for name, value in flat.items()), key=lambda item: _place(item[0]))


def _place(name: str) -> tuple[tuple[int, ...], bool, bool]:
    numbers = re.findall(r"\d+", name)
    return tuple(map(int, numbers)), "prelu" in name.lower(), "bias" in name


def _find(folder: Path, name: str) -> Path:
    for stem in NETWORKS[name]:
        for suffix in SUFFIXES:
            if (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
    wanted = " or ".join(f"{stem}.pt/.npz/.npy" for stem in NETWORKS[name])
    raise DataError(f"{folder}: no {wanted}; the folder of published weights has one file for each of P-, R- and O-Net")


def _read(path: Path) -> Any:
    """Content of a file, without running any code that it may hold."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as content:
                return dict(content)
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return _read_pickled_array(file)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise DataError(f"{path}: cannot be read as weights ({why_refused(error)})") from error
    return content


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays, dictionaries and lists, and nothing else."""

    allowed: ClassVar[dict[str, Any]] = {
        "_reconstruct": np.empty(0).__reduce__()[0],
        "scalar": np.float32(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
        "OrderedDict": OrderedDict,
    }

    def find_class(self, module: str, name: str) -> Any:
        if name in self.allowed and module.partition(".")[0] in ("numpy", "collections"):
            return self.allowed[name]
        if (module, name) == ("_codecs", "encode"):  # bytes, as Python 2 wrote them
            return lambda text, encoding: text.encode(encoding)
        raise pickle.UnpicklingError(f"it wants to run {module}.{name}, which arrays do not need")


def _read_pickled_array(file: BinaryIO) -> Any:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read_header(file)
    if not dtype.hasobject:
        raise ValueError("a plain array, not the arrays of a network by name")
    array = _ArrayUnpickler(file, encoding="latin1").load()
    return array.item() if isinstance(array, np.ndarray) and array.ndim == 0 else array
