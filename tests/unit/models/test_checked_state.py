"""Weights that are none are refused wherever weights are read: not finite, of another kind, larger than their file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from canthus.models.mtcnn.weights import load_weights
from canthus.models.pretrained import checked_state, file_weights, run_weights
from canthus.studies.alignment.embedding import make_embedder
from canthus.utils.errors import DataError
from tests.helpers.published import random_network, write_facenet_pytorch

BAD = [float("nan"), float("inf"), -float("inf")]


def test_weights_pass_unchanged() -> None:
    state = {
        "a": torch.arange(6.0).view(2, 3),
        "turned": torch.arange(6.0).view(2, 3).T,
        "half": torch.ones(3, dtype=torch.float16),
        "counter": torch.tensor(2**40),
        "switch": torch.tensor(True),
        "nothing": torch.zeros(0, 3),
    }
    assert checked_state(state, "FILE") == state


@pytest.mark.parametrize("value", BAD)
def test_values_that_are_not_finite_are_counted(value: float) -> None:
    weights = torch.ones(4, 5)
    weights[1, :2] = value
    with pytest.raises(DataError, match=r"^FILE: 2 of 20 values of layer are NaN or infinite: .* another checkpoint$"):
        checked_state({"fine": torch.ones(2), "layer": weights}, "FILE")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "FILE holds a NoneType where weights by name should be"),
        ([torch.ones(1)], "FILE holds a list where"),
        ({1: torch.ones(1)}, "FILE holds a dict where"),
        ({"a": {"b": torch.ones(1)}}, "a is a dict where a plain tensor should be"),
        ({"a": np.ones(1)}, "a is a ndarray where a plain tensor should be"),
        ({"a": torch.eye(2).to_sparse()}, "a is a Tensor where a plain tensor should be"),
        ({"a": torch.ones(2, device="meta")}, "a is a Tensor where a plain tensor should be"),
        ({"a": torch.ones(1).expand(10**12)}, r"a of shape \(1000000000000,\) is larger than what the file holds"),
        ({"a": torch.ones(3, 1).expand(3, 4)}, r"a of shape \(3, 4\) is larger than what the file holds"),
    ],
)
def test_what_is_no_state_dict_is_named(state: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        checked_state(state, "FILE")


@pytest.mark.parametrize("value", BAD)
def test_every_reader_of_weights_refuses_them(value: float, tmp_path: Path) -> None:
    weights = {"generators.0.weight": torch.tensor([1.0, value])}
    file = tmp_path / "run/checkpoints/last.ckpt"
    file.parent.mkdir(parents=True)
    torch.save({"state_dict": weights}, file)
    for read in (
        lambda: file_weights(file, "model.pretrained"),
        lambda: run_weights(tmp_path / "run", "generators.", "model.generators"),
        lambda: make_embedder("resnet18", 64, file),
    ):
        with pytest.raises(DataError, match=r"1 of 2 values of generators\.0\.weight are NaN or infinite"):
            read()


@pytest.mark.parametrize("kind", ["folder", "checkpoint"])
def test_published_weights_of_the_detector(kind: str, tmp_path: Path) -> None:
    network = random_network()
    assert load_weights(write_facenet_pytorch(network, tmp_path)) is not None
    with torch.no_grad():
        network.rnet.get_parameter(name := next(name for name, _ in network.rnet.named_parameters())).view(-1)[0] = BAD[
            0
        ]
    source = write_facenet_pytorch(network, tmp_path)
    if kind == "checkpoint":
        source = tmp_path / "a.ckpt"
        torch.save({"state_dict": network.state_dict()}, source)
    with pytest.raises(DataError, match=rf"1 of \d+ values of rnet.{name} are NaN or infinite"):
        load_weights(source)
