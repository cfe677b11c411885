"""Head poses in an evaluation: against labels or PnP, per subset, beside the bound of a rigid face."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from canthus.evaluation.poses import PoseErrors
from canthus.metrics import head_pose_errors
from canthus.models.estimates import Estimates
from canthus.models.facepose.module import FacePoseModule
from canthus.models.mirrored import average_with_mirrored
from canthus.reporting.results import write_results
from canthus.schemes import load_scheme


@pytest.fixture
def evaluated(make_data, make_trainer):
    torch.manual_seed(0)
    optimizer = functools.partial(torch.optim.Adam, lr=1e-3)
    model = FacePoseModule(optimizer, backbone="test_resnet", size=64, statistics_faces=16, head="6d")
    data, trainer = make_data(model), make_trainer(max_epochs=1)
    trainer.fit(model, data)
    trainer.validate(model, data, verbose=False)
    return trainer.callbacks[0].result, data, trainer, model


def test_poses_are_measured_against_the_labels(evaluated, tmp_path) -> None:
    result, data, trainer, model = evaluated
    poses = result.poses["full"]
    assert poses.truth == "labels"
    faces = data.faces("val")
    np.testing.assert_allclose(poses.targets.numpy(), [face.pose for face in faces], atol=1e-6)
    expected = head_pose_errors(poses.predictions, poses.targets)["mae"].mean().item()
    assert trainer.callback_metrics["val/mae_pose"].item() == pytest.approx(expected, rel=1e-5)
    assert result.table.points.shape[1] == 1  # the bound is no stage
    write_results(tmp_path, result, data, model.name, overlays=2)
    full = json.loads((tmp_path / "metrics.json").read_text())["subsets"]["full"]
    assert full["pose"]["mae"] == pytest.approx(expected, rel=1e-5)
    assert full["pose"]["mae_interval"][0] < expected < full["pose"]["mae_interval"][1]
    assert full["pose"]["nme_bound"] < full["nme"]
    assert full["pose"]["faces"] == full["faces"] == 12
    text = (tmp_path / "summary.md").read_text()
    assert "## Head pose" in text
    assert "the data set's labels" in text


def test_without_labels_pnp_of_the_landmarks_is_the_truth() -> None:
    targets = torch.tensor([[0.1, 0.0, 0.0], [torch.nan] * 3])
    table = {"index": torch.arange(2), "predictions": torch.zeros(2, 3), "targets": targets}
    faces = [type("Face", (), {"pose": None})] * 2
    poses = PoseErrors.of(table, faces, torch.tensor([3.0, 5.0]))
    summary = poses.summary()
    assert (summary["truth"], summary["faces"], summary["nme_bound"]) == ("pnp", 1, 4.0)
    assert summary["yaw"] == pytest.approx(np.degrees(0.1), rel=1e-4)
    assert PoseErrors.of(table | {"targets": targets[[1, 1]]}, faces, None) is None


def test_a_method_without_poses_has_none(make_data, make_model, make_trainer) -> None:
    model = make_model()
    data, trainer = make_data(model), make_trainer(max_epochs=1)
    trainer.fit(model, data)
    result = trainer.callbacks[0].result
    assert not result.poses
    assert "pose" not in result.report()["full"]


def test_poses_are_drawn_as_axes(evaluated) -> None:
    from canthus.evaluation.tiles import face_strips

    result, data, _, _ = evaluated
    ((_, drawn),) = face_strips(result, data, [0])
    ((_, plain),) = face_strips(replace(result, poses={}), data, [0])
    changed = np.abs(drawn.astype(int) - plain).sum(2) > 60
    assert 50 < changed.sum() < 0.2 * changed.size


def test_flip_averaging_averages_the_pose() -> None:
    pose = torch.tensor([[0.3, 0.1, 0.2]])
    batch = {"image": torch.zeros(1, 3, 8, 8)}
    plain = Estimates(points=[torch.rand(1, 68, 2)], pose=pose)
    other = Estimates(points=[torch.rand(1, 68, 2)], pose=torch.tensor([[-0.1, 0.1, -0.2]]))
    averaged = average_with_mirrored(plain, other, batch, load_scheme(68))
    torch.testing.assert_close(averaged.pose, torch.tensor([[0.2, 0.1, 0.2]]), atol=2e-3, rtol=0)
