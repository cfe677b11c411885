"""Training for a minute: networks learn a few faces by heart, and every stage is better than the one before."""

import functools
from pathlib import Path

import pytest
import torch

from canthus.data import face_data
from canthus.geometry.camera import placed
from canthus.models.base import LandmarkModel
from canthus.models.cfan.module import CFANModule
from canthus.models.dcnn.module import DCNNModule
from canthus.models.facepose.module import FacePoseModule
from canthus.models.fan_zhou.module import FanZhouModule
from canthus.models.mdm.module import MDMModule
from canthus.models.mirrored import mirror_batch

pytestmark = pytest.mark.slow
ADAM = functools.partial(torch.optim.Adam, lr=2e-3)


def one_batch(model: LandmarkModel, cache: Path, count: int) -> dict:
    torch.manual_seed(0)
    data = face_data(
        model.input, scheme=model.scheme.name, reader="canthus.data.synthetic.Synthetic", name="synthetic",
        size=count, difficulty="easy",
        batch_size=count, train_parts=["train"], validation=0, cache=cache, resolution=128,
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    model.initialise(data)
    return data.to_input(next(iter(data.train_dataloader())), "train", augment=False)


def fit(model: LandmarkModel, batch: dict, steps: int, rate: float) -> None:
    parameters = [p for stage in model.trained_stages for p in model.stage_parameters(stage)]
    optimizer = torch.optim.Adam(dict.fromkeys(parameters), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        torch.stack(list(model.losses(batch, model.estimates(batch)).values())).sum().backward()
        optimizer.step()
        schedule.step()
    model.eval()


def errors(model: LandmarkModel, batch: dict) -> list[float]:
    """Of every stage, as a share of the inter-ocular distance."""
    left, right = model.scheme.normalisers["inter_ocular"]
    distance = (batch["landmarks"][:, left[0]] - batch["landmarks"][:, right[0]]).norm(dim=-1, keepdim=True)
    with torch.no_grad():
        stages = model.estimates(batch).points
    return [float(((points - batch["landmarks"]).norm(dim=-1) / distance).mean()) for points in stages]


def share_of_the_box(model: LandmarkModel, batch: dict) -> float:
    """Error of the last stage, in widths of the face box."""
    x1, _, x2, _ = model.input.reference_box
    with torch.no_grad():
        points = model.estimates(batch).points[-1]
    return float((points - batch["landmarks"]).norm(dim=-1).mean()) / (x2 - x1)


@pytest.mark.parametrize("networks", [("F1",), ("EN1", "NM1")])
def test_dcnn_learns_32_faces_by_heart(networks: tuple[str, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = DCNNModule(ADAM, levels=1, networks=networks)
    batch = one_batch(model, tmp_path, 32)
    fit(model, batch, 1000, 1e-3)
    assert share_of_the_box(model, batch) < 0.002


def test_fan_zhou_learns_32_faces_by_heart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = FanZhouModule(ADAM, width=0.125, size=64, levels=1)
    batch = one_batch(model, tmp_path, 32)
    fit(model, batch, 400, 2e-3)
    assert share_of_the_box(model, batch) < 0.002


def small_mdm(box_noise: float) -> MDMModule:
    torch.manual_seed(0)
    return MDMModule(
        ADAM, stages=3, patch=12, hidden=128, channels=8, projection=16, initialisation="kaiming", unit=20.0,
        size=80, diagonal=60.0, box_noise=box_noise,
    )  # fmt: skip


def test_mdm_learns_sixteen_faces_by_heart(tmp_path: Path) -> None:
    model = small_mdm(box_noise=0.0)
    batch = one_batch(model, tmp_path, 16)
    fit(model, batch, 500, 2e-3)
    assert errors(model, batch)[-1] < 0.01


def test_every_step_of_mdm_is_better_than_the_one_before(tmp_path: Path) -> None:
    """From boxes that are off, which takes more than one step."""
    model = small_mdm(box_noise=0.1)
    batch = one_batch(model, tmp_path, 16)
    fit(model, batch, 200, 2e-3)
    model.train()
    found = errors(model, batch)
    assert sorted(found, reverse=True) == found, found
    assert found[-1] < 0.6 * found[0], found


def test_every_stage_of_cfan_is_better_than_the_one_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = CFANModule(ADAM, global_hidden=(64, 32), local_sizes=(40, 60, 80), local_hidden=(64, 32))
    batch = one_batch(model, tmp_path, 48)
    for stage in range(4):
        model.train_stages([stage], epochs=1, pretrain=True)
        fit(model, batch, 20, 1e-3)
        model.train_stages([stage])
        fit(model, batch, 60, 1e-3)
    found = errors(model, batch)
    assert sorted(found, reverse=True) == found, found
    assert found[-1] < 0.6 * found[0], found


def test_facepose_learns_64_crops_and_their_mirror_images(tmp_path: Path) -> None:
    """32 rendered faces and what a mirror shows: below a pixel of 224, and mirrored pictures have mirrored poses."""
    model = FacePoseModule(ADAM, backbone="test_resnet", head="6d", size=64, statistics_faces=32)
    plain = one_batch(model, tmp_path, 32)
    other = mirror_batch(plain, model.scheme)
    batch = {key: torch.cat([plain[key], other[key]]) for key in plain}
    fit(model, batch, 400, rate=4e-3)
    rotation, translation, valid = model.targets(batch)
    wanted = model.camera.pixels(placed(model.face, rotation, translation))
    with torch.no_grad():
        estimates, mirrored = model.estimates(batch), model.estimates(other)
    assert valid.double().mean() > 0.9
    assert (estimates.points[0] - wanted)[valid].norm(dim=-1).mean() * 224 / 64 < 1.0
    apart = estimates.pose[:32] - mirrored.pose * torch.tensor([-1.0, 1.0, -1.0])
    assert apart[valid[:32]].abs().mean() < 0.02
