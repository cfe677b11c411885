"""Cascades stand for the modules that train them: same settings, same weights, same answers."""

import inspect
from pathlib import Path

import pytest
import torch
import yaml
from hydra.utils import get_class

from canthus import zoo
from canthus.inference.predictor import input_batch
from canthus.models.base import LandmarkModel
from canthus.models.cascade import Cascade, cascade_of
from canthus.runs.loading import open_run
from canthus.utils.files import conf_path
from canthus.utils.signatures import parameters_of

CONFIGS = sorted(Path(conf_path(), "model").glob("*.yaml"))
TARGETS = {path.stem: yaml.safe_load(path.read_text()).get("_target_") for path in CONFIGS}
STORED = sorted(path.stem for path in zoo.files())


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target])
def test_every_config_of_a_method_has_its_cascade(name: str) -> None:
    module, cascade = get_class(TARGETS[name]), cascade_of(TARGETS[name])
    if not issubclass(module, LandmarkModel):  # a step before a method
        assert cascade is None
        return
    assert cascade is not None
    assert issubclass(module, cascade)
    settings = inspect.signature(cascade).parameters
    assert set(parameters_of(module)) == {"optimizer", "scheduler", *settings}


@pytest.mark.parametrize("name", STORED)
def test_the_cascade_says_what_the_module_says(name: str) -> None:
    torch.manual_seed(0)
    cascade, module = (open_run(f"zoo/{name}", module=module).model for module in (False, True))
    assert not isinstance(cascade, LandmarkModel)
    assert isinstance(module, LandmarkModel)
    own, trained = cascade.state_dict(), module.state_dict()
    assert list(own) == list(trained)
    assert all(torch.equal(own[key], trained[key]) for key in own)
    batch = input_batch(cascade, torch.rand(2, cascade.input.channels, *[cascade.input.size] * 2))
    with torch.inference_mode():
        found, wanted = cascade.final_estimates(batch), module.final_estimates(batch)
    assert cascade.flip_average == module.flip_average
    for one, other in zip(found.points, wanted.points, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "target", ["canthus.models.dan.module.OtherModule", "canthus.models.nobody.module.DANModule", "os.path.join", ""]
)
def test_other_targets_have_none(target: str) -> None:
    assert cascade_of(target) is None


def test_parameters_follow_settings_through_the_bases() -> None:
    class Base:
        def __init__(self, width: int, depth: int = 2) -> None: ...

    class Middle(Base):
        def __init__(self, depth: int = 3, **settings: object) -> None: ...

    class Leaf(Middle): ...

    class Elsewhere(Base):
        def __init__(self, **kwargs: object) -> None: ...

    assert {name: one.default for name, one in parameters_of(Leaf).items()} == {
        "depth": 3, "width": inspect.Parameter.empty
    }  # fmt: skip
    assert list(parameters_of(Elsewhere)) == ["kwargs"]


def test_a_cascade_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Cascade(scheme=5, stages=1)
