"""No training step makes a GPU and its host wait for each other: found without a GPU, by watching what is read."""

import functools
from types import SimpleNamespace

import pytest
import torch

from canthus.data import face_data
from canthus.data.augment import Augmentation
from canthus.geometry import devices
from canthus.models.base import LandmarkModel
from canthus.models.mtcnn import module as mtcnn
from canthus.models.mtcnn import windows
from tests.helpers.stalls import Stalls
from tests.helpers.tiny import MAKERS, step, tiny


@pytest.fixture(autouse=True)
def on_a_gpu(monkeypatch):
    """What is free on a CPU is not taken for free."""
    monkeypatch.setattr(devices, "reads_are_free", lambda tensor: False)


@pytest.mark.parametrize("method", sorted(MAKERS))
def test_a_training_step_reads_nothing(method: str) -> None:
    model, batch = tiny(method)
    step(model, batch)  # constants are copied to the device once
    with Stalls() as stalls:
        step(model, batch)
    assert stalls.found == []


def test_a_training_step_of_mtcnn_reads_what_is_on_the_host(monkeypatch, tmp_path) -> None:
    model = mtcnn.MTCNNModule(functools.partial(torch.optim.Adam, lr=1e-3))
    changes = Augmentation(contrast=0.2, noise=0.02)
    options = {"size": 12, "resolution": 96, "train_parts": ["train"], "scheme": "5", "validation": 0, "batch_size": 4}
    options |= {"landmark_faces": 6, "cache": tmp_path, "name": "synthetic", "augmentation": changes, "view": "image"}
    data = face_data(model.input, "canthus.data.synthetic.Synthetic", **options)
    data.prepare_data()
    data.setup("fit")
    loader = data.train_dataloader()
    loader.dataset.images.pack = loader.dataset.faces.copy_rows = True  # as for a device
    batch = data.transfer_batch_to_device(next(iter(loader)), torch.device("cpu"), 0)
    batch["faces"] = data.to_input(batch["faces"], "train", augment=True)
    model._trainer = SimpleNamespace(datamodule=data)
    stalls = Stalls()
    for name in ("draw", "_offsets"):  # of a batch's labels, which stay on the host
        monkeypatch.setattr(mtcnn if name == "draw" else windows, name, _paused(getattr(windows, name), stalls))
    model.train_stages([0])
    model.train()
    step(model, batch)
    stalls.found.clear()
    with stalls:
        step(model, batch)
    assert stalls.found == []


def _paused(function, stalls):
    """The function, during which nothing is noted."""

    def paused(*args, **kwargs):
        before = list(stalls.found)
        result = function(*args, **kwargs)
        stalls.found[:] = before
        return result

    return paused


def test_the_depth_follows_weights_and_schedule() -> None:
    model, _ = tiny("mdm")
    model.train_stages([0, 1])
    assert model.depth == int(model.active_stages) == 2
    other, _ = tiny("mdm")
    assert other.depth == 4
    other.load_state_dict(model.state_dict())
    assert other.depth == 2
    assert LandmarkModel.depth.fset is None


def test_a_watch_sees_what_would_stall() -> None:
    values, mask = torch.arange(4.0), torch.tensor([True, False, True, True])
    reads = {
        "item": lambda: values.sum().item(),
        "__bool__": lambda: bool(values.sum() > 1),
        "cpu": lambda: values.cpu(),
        "tolist": lambda: values.tolist(),
        "new_tensor": lambda: values.new_tensor([1.0]),
        "tensor": lambda: torch.tensor([1.0]),
        "a list as an index": lambda: values[[0, 2]],
        "a mask as an index": lambda: values[mask],
        "aten::nonzero": lambda: torch.nonzero(mask),
        "aten::_linalg_check_errors": lambda: torch.linalg.solve(torch.eye(2), torch.ones(2)),
    }
    for what, read in reads.items():
        with Stalls() as stalls:
            read()
        assert any(what in found for found in stalls.found), what
    with Stalls() as stalls:
        torch.where(values > 1, values, 0).sum().sqrt()
        values[mask.long()]
    assert stalls.found == []
