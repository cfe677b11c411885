"""Converters: every layout in circulation gives back the same network; what is no such file is named."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from canthus.models.mtcnn.network import MTCNN
from canthus.models.mtcnn.weights import load_weights
from canthus.utils.errors import DataError
from tests.helpers.published import published_folder, random_network, reordered, write_facenet_pytorch

NAMES = ("pnet", "rnet", "onet")


def flat(layers: list, prefix: str = "", dense: str = "dense") -> dict[str, np.ndarray]:
    return {
        f"{prefix}{layer.replace('dense', dense)}.{'weight' if key == 'alpha' else key}": value
        for layer, values in layers
        for key, value in values.items()
    }


def write(network: MTCNN, folder: Path, layout: str) -> Path:
    parts = {name: network.get_submodule(name) for name in NAMES}
    if layout == "facenet-pytorch":
        return write_facenet_pytorch(network, folder)
    for number, (name, part) in enumerate(parts.items(), 1):
        if layout in ("pytorch.npy", "pytorch.npz"):
            arrays = flat(reordered(part, (0, 1, 2, 3), "cwh", False), "features.", "conv")
            if layout.endswith("npz"):
                np.savez(folder / f"{name}.npz", **arrays)
            else:
                np.save(folder / f"{name}.npy", arrays)
        elif layout == "caffe":
            np.savez(folder / f"{name}.npz", **flat(reordered(part, (0, 1, 3, 2), "cwh", False), "", "conv"))
        elif layout == "tensorflow":
            named = reordered(part, (3, 2, 1, 0), "whc", True)
            renamed = {"weight": "weights", "bias": "biases", "alpha": "alpha"}
            nested = {
                layer.replace("prelu", "PReLU").replace("dense", "conv").replace("_", "-"): {
                    renamed[key]: value for key, value in values.items()
                }
                for layer, values in reversed(named)  # their dictionaries are in no order
            }
            np.save(folder / f"det{number}.npy", nested)
    if layout == "lists":
        lists = {
            name: [value for _, values in reordered(part, (3, 2, 1, 0), "whc", True) for value in values.values()]
            for name, part in parts.items()
        }
        np.save(folder / "mtcnn_weights.npy", lists)
        return folder / "mtcnn_weights.npy"
    return folder


@pytest.mark.parametrize("layout", ["facenet-pytorch", "pytorch.npy", "pytorch.npz", "tensorflow", "lists", "caffe"])
def test_every_layout_gives_the_same_network(layout: str, tmp_path: Path) -> None:
    network = random_network()
    loaded = load_weights(write(network, tmp_path, layout), "caffe" if layout == "caffe" else None)
    for (key, expected), value in zip(network.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(expected, value), key
    assert not loaded.training


@pytest.mark.parametrize("prefix", ["", "network."])
@pytest.mark.parametrize("landmarks", [True, False])
def test_checkpoints_of_canthus(prefix: str, landmarks: bool, tmp_path: Path) -> None:
    network = MTCNN(landmarks=landmarks)
    state = {f"{prefix}{key}": value for key, value in network.state_dict().items()} | {"initialised": torch.ones(1)}
    torch.save({"state_dict": state, "epoch": 3} if prefix else state, tmp_path / "best.ckpt")
    loaded = load_weights(tmp_path / "best.ckpt")
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        load_weights(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="layout=matlab: one of"):
        load_weights(tmp_path, "matlab")
    write(random_network(), tmp_path, "facenet-pytorch")
    (tmp_path / "onet.pt").unlink()
    with pytest.raises(DataError, match=r"no onet.pt/.npz/.npy or det3"):
        load_weights(tmp_path)
    torch.save(torch.load(tmp_path / "rnet.pt", weights_only=True), tmp_path / "onet.pt")
    with pytest.raises(DataError, match=r"onet.pt: 16 arrays where ONet has 21"):
        load_weights(tmp_path)
    (tmp_path / "pnet.pt").write_bytes(b"not weights")
    with pytest.raises(DataError, match=r"pnet.pt: cannot be read as weights"):
        load_weights(tmp_path)
    state = torch.load(tmp_path / "rnet.pt", weights_only=True)
    torch.save(
        {"state_dict": {f"network.pnet.features.{key}": value for key, value in state.items()}}, tmp_path / "a.pt"
    )
    with pytest.raises(DataError, match=r"a.pt: does not hold all of MTCNN"):
        load_weights(tmp_path / "a.pt")
    torch.save({"state_dict": {"weight": torch.ones(2)}}, tmp_path / "b.pt")
    with pytest.raises(DataError, match=r"b.pt: holds neither"):
        load_weights(tmp_path / "b.pt")


def test_another_networks_shapes_are_named(tmp_path: Path) -> None:
    write(random_network(), tmp_path, "facenet-pytorch")
    state = torch.load(tmp_path / "pnet.pt", weights_only=True)
    torch.save(state | {"conv2.weight": torch.ones(16, 10, 5, 5)}, tmp_path / "pnet.pt")
    with pytest.raises(DataError, match=r"conv2.weight is \(16, 10, 5, 5\), which does not fit \(16, 10, 3, 3\)"):
        load_weights(tmp_path)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_a_file_that_wants_to_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "weights.npy", {"pnet": Evil()})
    with pytest.raises(DataError, match=r"it wants to run posix.mkdir"):
        load_weights(tmp_path / "weights.npy")
    (tmp_path / "weights.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match="cannot be read as weights"):
        load_weights(tmp_path / "weights.pt")
    assert not (tmp_path / "evil").exists()
    np.save(tmp_path / "plain.npy", np.ones(3))
    with pytest.raises(DataError, match="a plain array"):
        load_weights(tmp_path / "plain.npy")


def ramp(size: int) -> torch.Tensor:
    axis = torch.arange(size) / (size - 1)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([2 * x - 1, 2 * y - 1, x + y - 1])[None]


GOLDEN = {
    "zero": {
        "pnet": ((-0.02140, -0.15378, 0.03943, 0.14396), 0.00013, ()),
        "rnet": ((-0.07801, -0.17595, 0.04689, 0.23844), 0.00356, ()),
        "onet": (
            (-0.03165, -0.21372, 0.05766, 0.10185),
            0.00039,
            (0.36646, 0.72116, 0.54047, 0.41670, 0.66428, 0.25325, 0.21600, 0.54546, 0.74314, 0.73171),
        ),
    },
    "ramp": {
        "pnet": ((0.09497, -0.24498, 0.11935, 0.02184), 0.00024, ()),
        "rnet": ((-0.06932, -0.31941, 0.05695, 0.17377), 0.00137, ()),
        "onet": (
            (0.05503, -0.10124, 0.00700, 0.00531),
            0.00344,
            (0.31515, 0.64963, 0.55054, 0.51904, 0.79978, 0.37517, 0.18188, 0.60790, 0.84230, 0.68499),
        ),
    },
}


@pytest.mark.parametrize("picture", ["zero", "ramp"])
def test_published_weights_give_the_published_outputs(picture: str) -> None:
    network = load_weights(published_folder())
    for name, (offsets, probability, landmarks) in GOLDEN[picture].items():
        part = network.get_submodule(name)
        image = torch.zeros(1, 3, part.window, part.window) if picture == "zero" else ramp(part.window)
        outputs = part(image)
        torch.testing.assert_close(outputs.offsets.flatten(), torch.tensor(offsets), atol=2e-5, rtol=0)
        assert abs(float(outputs.logits.detach().softmax(1).flatten()[1]) - probability) < 2e-5
        if landmarks:
            torch.testing.assert_close(outputs.landmarks.flatten(), torch.tensor(landmarks), atol=2e-5, rtol=0)
