"""SAN's loss, learning rates, masks and weights from elsewhere."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch

from canthus.data import face_data
from canthus.data.augment import Augmentation
from canthus.geometry import affine
from canthus.models.san.gan import Generator
from canthus.models.san.module import SANModule
from canthus.utils.errors import DataError

SGD = functools.partial(torch.optim.SGD, lr=5e-5, momentum=0.9, nesterov=True, weight_decay=5e-4)
SMALL = {"width": 0.05, "generator_width": 0.05, "generator_blocks": 1, "initialisation": "kaiming"}


def model_of(**options) -> SANModule:
    torch.manual_seed(0)
    return SANModule(SGD, **{"generators": "somewhere", **SMALL, **options})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    module = face_data(
        SANModule(SGD, **SMALL).input, "canthus.data.synthetic.Synthetic", name="synthetic", size=16, resolution=96,
        batch_size=4, train_parts=["train"], validation=0.25, cache=tmp_path_factory.mktemp("cache"), extent=2.0,
        augmentation=Augmentation(rotation=0, scale=0, shift=0.1, mirror=0),
    )  # fmt: skip
    module.prepare_data()
    module.setup("fit")
    return module


@pytest.fixture(scope="module")
def batch(data) -> dict:
    return data.to_input(next(iter(data.train_dataloader())), "train", augment=True)


def test_the_input_is_the_box_and_a_fifth_more_on_each_side(batch: dict) -> None:
    x1, y1, x2, y2 = model_of().input.reference_box
    assert x2 - x1 == y2 - y1 == pytest.approx(128 / 1.4)
    assert float(batch["image"].min()) >= -1
    assert float(batch["image"].max()) <= 1
    assert float(batch["image"].min()) < 0


def test_points_come_back_from_the_jittered_crop(batch: dict, data) -> None:
    faces = data.faces("train")
    labels = torch.tensor(np.stack([faces[index].landmarks for index in batch["index"]]), dtype=torch.float32)
    torch.testing.assert_close(affine.apply(batch["to_original"], batch["landmarks"]), labels, atol=1e-3, rtol=0)


def test_learning_rate_groups_are_the_released_codes() -> None:
    optimizer = model_of().configure_optimizers()
    groups = optimizer.param_groups
    assert len(groups) == 12
    assert sorted({group["lr"] for group in groups}) == pytest.approx([0, 5e-5, 1e-4, 2e-4, 4e-4])
    for group in groups:
        assert "rate" not in group
        biases = {parameter.ndim == 1 for parameter in group["params"]}
        if group["lr"] > 0:
            assert len(biases) == 1
            assert group["weight_decay"] == (0 if biases == {True} else 5e-4)
            assert group["nesterov"]
    rates = [group["lr"] for group in groups]
    assert rates == pytest.approx([5e-5, 1e-4] * 3 + [2e-4, 4e-4] * 2 + [0, 0])
    total = sum(parameter.numel() for group in groups for parameter in group["params"])
    assert total == sum(parameter.numel() for parameter in model_of().network.parameters())


def test_a_schedule_starts_from_the_groups_rates() -> None:
    model = model_of()
    model._scheduler = functools.partial(torch.optim.lr_scheduler.MultiStepLR, milestones=[1], gamma=0.5)
    made = model.configure_optimizers()
    made["optimizer"].step()
    made["lr_scheduler"].step()
    rates = [group["lr"] for group in made["optimizer"].param_groups]
    assert rates == pytest.approx([2.5e-5, 5e-5] * 3 + [1e-4, 2e-4] * 2 + [0, 0])


def test_a_baseline_has_one_stream_and_ten_groups() -> None:
    model = model_of(generators=None)
    assert len(model.configure_optimizers().param_groups) == 10
    assert list(model.network.generators) == []


def test_a_detector_that_says_nothing_has_the_reference_loss(batch: dict) -> None:
    """About 112 a face and output: 26 of the landmarks, 86 of the background."""
    model = model_of()
    for parameter in model.network.parameters():
        parameter.data.zero_()
    terms = model.losses(batch, model.estimates(batch))
    assert list(terms) == ["stage1", "stage1_aggregated", "stage2", "stage3"]
    for value in terms.values():
        assert float(value) == pytest.approx(112, rel=0.2)


def test_generators_do_not_move_in_ten_steps(batch: dict) -> None:
    model = model_of().train()
    optimizer = model.configure_optimizers()
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    for _ in range(10):
        optimizer.zero_grad()
        torch.stack(list(model.losses(batch, model.estimates(batch)).values())).sum().backward()
        optimizer.step()
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("generators"), name


def test_points_without_label_or_outside_teach_nothing(batch: dict) -> None:
    model = model_of()
    hidden = {**batch, "landmarks": batch["landmarks"].clone(), "visibility": batch["visibility"].clone()}
    hidden["landmarks"][0, 3] = torch.nan
    hidden["visibility"][0, 3] = 0
    hidden["landmarks"][1, 5] = torch.tensor([-3.0, 20.0])
    estimates = model.estimates(batch)
    # maps of an early stage reach the loss of a later one, too, which is not what is asked here
    estimates.heatmaps = [maps.detach().requires_grad_() for maps in estimates.heatmaps]
    gradients = []
    for one in (batch, hidden):
        loss = torch.stack(list(model.losses(one, estimates).values())).sum()
        gradients.append(torch.autograd.grad(loss, estimates.heatmaps))
    for plain, masked in zip(*gradients, strict=True):
        assert not masked[0, 3].any()
        assert not masked[1, 5].any()
        assert plain[0, 3].any()
        keep = torch.ones(plain.shape[:2], dtype=torch.bool)
        keep[0, 3] = keep[1, 5] = keep[:2, -1] = False  # the background knows of the points that are drawn
        assert torch.equal(plain[keep], masked[keep])


def test_estimates_are_one_per_stage_in_input_pixels(batch: dict) -> None:
    model = model_of(stride=4, size=128).eval()
    estimates = model.estimates(batch)
    assert [points.shape for points in estimates.points] == [(4, 68, 2)] * 3
    assert estimates.scores.shape == (4, 68)
    assert len(estimates.heatmaps) == 4
    assert estimates.aggregated.shape == batch["image"].shape
    model.train_stages([0])
    assert len(model.estimates(batch).points) == 1
    assert list(model.losses(batch, model.estimates(batch))) == ["stage1", "stage1_aggregated"]
    assert len(model.configure_optimizers().param_groups) == 8


def saved_run(folder: Path, width: float = 0.05) -> Path:
    torch.manual_seed(7)
    generators = torch.nn.ModuleList([Generator(width, 1), Generator(width, 1)])
    (folder / "checkpoints").mkdir(parents=True)
    weights = {f"generators.{name}": value for name, value in generators.state_dict().items()}
    torch.save({"state_dict": {**weights, "pools.0.images": torch.zeros(1)}}, folder / "checkpoints/last.ckpt")
    return folder


def test_generators_come_from_a_run(tmp_path: Path) -> None:
    run = saved_run(tmp_path / "gan")
    model = model_of(generators=str(run))
    model.initialise(None)  # type: ignore[arg-type]  # it asks no data
    weights = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, value in model.network.generators.state_dict().items():
        assert torch.equal(value, weights[f"generators.{name}"])


def test_wrong_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model.generators=.*nowhere: there is no checkpoints/last.ckpt"):
        model_of(generators=str(tmp_path / "nowhere")).initialise(None)  # type: ignore[arg-type]
    wide = saved_run(tmp_path / "wide", width=0.1)
    with pytest.raises(DataError, match=r"of another size; set model.generator_width"):
        model_of(generators=str(wide)).initialise(None)  # type: ignore[arg-type]
    torch.save({"state_dict": {"network.a": torch.zeros(1)}}, wide / "checkpoints/last.ckpt")
    with pytest.raises(DataError, match="a run of another model"):
        model_of(generators=str(wide)).initialise(None)  # type: ignore[arg-type]


def test_the_trunk_starts_from_imagenet_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    torch.manual_seed(3)
    trunk = SANModule(SGD).network.trunk.state_dict()
    wanted = {name: torch.rand_like(value) for name, value in trunk.items()}
    torch.save(wanted | {"features.24.weight": torch.zeros(3)}, tmp_path / "vgg.pt")
    model = SANModule(SGD, pretrained=str(tmp_path / "vgg.pt"))
    model.initialise(None)  # type: ignore[arg-type]
    assert all(torch.equal(value, wanted[name]) for name, value in model.network.trunk.state_dict().items())

    def no_network(*_, **__):
        raise FileNotFoundError("cannot find the requested files in the local cache")

    monkeypatch.setattr(timm, "create_model", no_network)
    model = SANModule(SGD, pretrained=True)
    with pytest.raises(DataError, match=r"model.pretrained=true: the ImageNet weights of vgg16 cannot be had.*=false"):
        model.initialise(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"needs model\.width=1"):
        SANModule(SGD, pretrained=True, width=0.5)


def test_points_are_those_of_the_face_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stage 1 has maps of the face and of the aggregated styles: points of the former, losses of both."""
    model = model_of()

    def maps_at(row: int, column: int) -> torch.Tensor:
        maps = torch.zeros(2, 69, 16, 16)
        maps[:, :, row, column] = 0.5
        maps[:, -1] = 1.0  # the background, which is no landmark
        return maps

    stages = [[maps_at(5, 4), maps_at(10, 11)], [maps_at(6, 7)], [maps_at(8, 9)]]
    monkeypatch.setattr(model.network, "forward", lambda image, depth: (stages[:depth], image))
    estimates = model.estimates({"image": torch.zeros(2, 3, 128, 128)})  # type: ignore[typeddict-item]
    # the middle of cells of 8 pixels
    expected = [[4 * 8 + 3.5, 5 * 8 + 3.5], [7 * 8 + 3.5, 6 * 8 + 3.5], [9 * 8 + 3.5, 8 * 8 + 3.5]]
    for points, place in zip(estimates.points, expected, strict=True):
        torch.testing.assert_close(points, torch.tensor(place).expand(2, 68, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(estimates.scores, torch.full((2, 68), 0.5))
    every = [maps for stage in stages for maps in stage]
    assert [maps is one for maps, one in zip(estimates.heatmaps, every, strict=True)] == [True] * 4
