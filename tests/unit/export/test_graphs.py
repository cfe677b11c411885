"""Every model as a file for other programs. Weights are random: what counts is that file and model agree."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from canthus.export.check import agreement, latency
from canthus.export.formats import FORMATS
from canthus.export.graph import graphs_of
from canthus.models.base import LandmarkModel
from canthus.models.cfan.module import CFANModule
from canthus.models.dan.module import DANModule
from canthus.models.dcnn.module import DCNNModule
from canthus.models.facepose.module import FacePoseModule
from canthus.models.fan_zhou.module import FanZhouModule
from canthus.models.mdm.module import MDMModule
from canthus.models.mtcnn.module import MTCNNModule
from canthus.models.san.module import SANModule
from canthus.models.sdm.module import SDMModule
from canthus.utils.errors import RunError

CPU = torch.device("cpu")
NONE = {"optimizer": None}
MODELS: dict[str, Callable[[], LandmarkModel]] = {
    "dcnn": lambda: DCNNModule(**NONE),
    "cfan": lambda: CFANModule(**NONE, global_hidden=(24, 16), local_hidden=(24, 16), local_sizes=(40, 64)),
    "fan_zhou": lambda: FanZhouModule(**NONE, width=0.05, size=64),
    "mdm": lambda: MDMModule(**NONE, channels=4, projection=4, hidden=16, patch=12, size=64, diagonal=48),
    "dan": lambda: DANModule(**NONE, width=0.03, size=64),
    "facepose": lambda: FacePoseModule(**NONE, backbone="resnet10t", head="6d", size=64),
    "san": lambda: SANModule(**NONE, width=0.03, size=32, stride=4, generators="a run", generator_width=0.1),
    "mtcnn": lambda: MTCNNModule(**NONE),
    "sdm": lambda: SDMModule(**NONE, sizes=(40, 64)),
}


def random_model(name: str) -> LandmarkModel:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    size = model.input.size
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim > 1:  # last layers start at zero, which would hide everything before them
                parameter.normal_(0, 0.6 / parameter[0].numel() ** 0.5)
            elif "bias" in key:
                parameter.normal_(0, 0.02)
        for key, buffer in model.named_buffers():
            if key.endswith("mean_shape"):
                places = 0.2 + 0.6 * torch.rand(buffer.shape)
                buffer.copy_(
                    places if name in ("cfan", "sdm") else 50 * places if name == "fan_zhou" else size * places
                )
            elif key.endswith("neighbours"):
                buffer.copy_((torch.arange(len(buffer))[:, None] + torch.arange(buffer.shape[1])) % len(buffer))
        if name == "facepose":
            model.head.mean.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0, 7.5]))
    return model


def pictures(model: LandmarkModel) -> torch.Tensor:
    """Smooth random pictures."""
    spec = model.input
    coarse = torch.rand(8, spec.channels, 8, 8, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, size=spec.size, mode="bilinear")


def exported(name: str, kind: str, folder: Path) -> None:
    model = random_model(name)
    graphs = graphs_of(model, pictures(model), "a run")
    assert len(graphs) == (3 if name == "mtcnn" else 1)
    for graph in graphs:
        path = folder / f"{name}{graph.suffix}{FORMATS[kind].suffix}"
        FORMATS[kind].write(graph, path, opset=18)
        file = FORMATS[kind](path, CPU)
        assert agreement(graph, file) < 1e-4
        about = file.about()
        assert about["model"] == model.name
        results = file(graph.examples[:5])
        assert len(results) == len(graph.outputs)
        if name != "mtcnn":
            assert results[0].shape == (5, model.num_stages, model.scheme.num_landmarks, 2)
            assert results[0].std() > 0.1
            assert about["scheme"] == model.scheme.name
            assert about["input"]["shape"][1:] == [model.input.channels, model.input.size, model.input.size]


@pytest.mark.parametrize("name", MODELS)
def test_torchscript(name: str, tmp_path: Path) -> None:
    exported(name, "torchscript", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_onnx(name: str, tmp_path: Path) -> None:
    exported(name, "onnx", tmp_path)


def test_onnx_of_one_network(tmp_path: Path) -> None:
    """P-Net: any batch, any height and width."""
    model = random_model("mtcnn")
    graph = graphs_of(model, pictures(model), "a run")[0]
    FORMATS["onnx"].write(graph, tmp_path / "p.onnx", opset=18)
    file = FORMATS["onnx"](tmp_path / "p.onnx", CPU)
    assert agreement(graph, file) < 1e-4
    assert file.about()["network"] == "pnet"
    probability, offsets, landmarks = file(torch.zeros(2, 3, 30, 45))
    assert probability.shape == (2, 10, 18)
    assert offsets.shape == (2, 4, 10, 18)
    assert landmarks.shape == (2, 10, 10, 18)


def test_points_are_those_of_prediction() -> None:
    model = random_model("mdm")
    graph = graphs_of(model, pictures(model), "a run")[0]
    from canthus.inference.predictor import input_batch

    with torch.no_grad():
        plain = model.estimates(input_batch(model, graph.examples)).points[-1]
        final = model.final_estimates(input_batch(model, graph.examples)).points[-1]
        points = graph.network(graph.examples)[0][:, -1]
    torch.testing.assert_close(points, final)
    assert (points - plain).abs().max() > 0.1  # the flip average is part of it


def test_a_file_of_other_weights_is_found_out(tmp_path: Path) -> None:
    model = random_model("dcnn")
    graph = graphs_of(model, pictures(model), "a run")[0]
    FORMATS["torchscript"].write(graph, tmp_path / "a.pt", opset=18)
    with torch.no_grad():
        next(graph.network.parameters()).add_(0.05)
    with pytest.raises(RunError, match=r"points of \d faces differ by up to"):
        agreement(graph, FORMATS["torchscript"](tmp_path / "a.pt", CPU))


def test_latency_has_a_number_for_each_batch() -> None:
    times = latency(lambda image: image * 2, torch.zeros(8, 1, 4, 4), seconds=0.01)
    assert set(times) == {1, 8}
    assert all(value >= 0 for value in times.values())
