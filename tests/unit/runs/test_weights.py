"""Weights in a safetensors file: what comes back, how much smaller it is, and files that are none."""

from pathlib import Path

import pytest
import torch
from torch import nn

from canthus.runs.weights import packed, read_header, read_weights, unpacked, write_weights
from canthus.utils.errors import ConfigError


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense, self.conv, self.norm = nn.Linear(96, 64), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)
        self.register_buffer("mean_shape", torch.tensor([100.123456, 57.654321]))
        self.register_buffer("stages", torch.tensor(2))


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model()


def size(tensors: dict[str, torch.Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values())


@pytest.mark.parametrize(("storage", "error"), [("half", 2**-11), ("int8", 1 / 250)])
def test_weights_come_back(model: Model, storage: str, error: float, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_weights(path, packed(model, storage), {"model": "test"})
    state, own = read_weights(path), model.state_dict()
    assert list(sorted(state)) == list(sorted(own))
    for name, value in own.items():
        assert state[name].dtype == value.dtype, name
        assert (state[name] - value).abs().max() <= error * value.abs().max() + 1e-7, name
    torch.testing.assert_close(state["mean_shape"], own["mean_shape"], rtol=0, atol=0)  # buffers are exact
    model.load_state_dict(state)
    assert read_header(path) == {"model": "test"}


def test_sizes(model: Model) -> None:
    full, half, eight = size(model.state_dict()), size(packed(model)), size(packed(model, "int8"))
    assert half < 0.55 * full
    assert eight < 0.32 * full


def test_int8_scales_follow_the_outputs(model: Model) -> None:
    with torch.no_grad():
        model.dense.weight[3] *= 1000
    state = unpacked(packed(model, "int8"))["dense.weight"]
    rest = torch.arange(64) != 3
    assert (state - model.dense.weight)[rest].abs().max() < 0.001


def test_an_unknown_storage(model: Model) -> None:
    with pytest.raises(ValueError, match="storage=quarter"):
        packed(model, "quarter")


def test_damaged_and_foreign_files(model: Model, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "a.safetensors"
    with pytest.raises(ConfigError, match="no such file"):
        read_header(path)
    write_weights(path, packed(model), {})
    path.write_bytes(path.read_bytes()[:-40])
    for read in (read_header, read_weights):
        with pytest.raises(ConfigError, match="not a whole safetensors file"):
            read(path)
    path.write_bytes(b"not weights at all")
    with pytest.raises(ConfigError, match="not a whole safetensors file"):
        read_weights(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ConfigError, match="canthus-export did not write"):
        read_header(path)
