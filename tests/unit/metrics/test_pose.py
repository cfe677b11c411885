import math

import numpy as np
import pytest
import torch

from canthus.geometry.pose import angles_of_rotation, geodesic_angle, rotation_of_angles
from canthus.metrics.pose import HeadPoseError, head_pose_errors

# yaw, pitch, roll; the reference lists pitch, yaw, roll
TARGET, PREDICTION = (torch.tensor([angles], dtype=torch.float64).deg2rad() for angles in ([20, 10, 30], [17, 12, 33]))
R_TARGET = [
    [0.813797681349, 0.469846310393, -0.342020143326],
    [-0.44096961053, 0.882564119259, 0.163175911167],
    [0.37852230637, 0.018028311236, 0.925416578398],
]


def random_angles(n: int = 200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    limits = torch.tensor([math.pi / 2, math.pi, math.pi], dtype=torch.float64)
    return (2 * torch.rand(n, 3, generator=generator, dtype=torch.float64) - 1) * limits


def test_reference_values():
    errors = {name: value.item() for name, value in head_pose_errors(PREDICTION, TARGET).items()}
    expected = {"yaw": 3, "pitch": 2, "roll": 3, "mae": 2.666666666667, "geodesic": 4.26475289616}
    assert errors == pytest.approx(expected | {"vectors": 3.450496426608}, abs=1e-9)


def test_reference_rotation():
    np.testing.assert_allclose(rotation_of_angles(TARGET)[0], R_TARGET, atol=1e-9)


def test_rotations_are_the_product_of_three():
    for angles in random_angles(20).numpy():
        (cy, sy), (cx, sx), (cz, sz) = ((np.cos(angle), np.sin(angle)) for angle in angles)
        x = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
        y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        z = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
        np.testing.assert_allclose(rotation_of_angles(torch.from_numpy(angles)), x @ y @ z, atol=1e-12)


def test_angles_come_back():
    angles = random_angles()
    torch.testing.assert_close(angles_of_rotation(rotation_of_angles(angles)), angles, rtol=0, atol=1e-9)


@pytest.mark.parametrize("yaw", [90.0, -90.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_a_quarter_turn_the_rotation_comes_back_with_roll_0(yaw, dtype):
    rotation = rotation_of_angles(torch.tensor([[yaw, 25.0, -40.0], [yaw, 0, 0], [yaw, 170, 35]]).to(dtype).deg2rad())
    angles = angles_of_rotation(rotation)
    assert (angles[:, 2] == 0).all()
    torch.testing.assert_close(angles[:, 0].rad2deg(), torch.full((3,), yaw, dtype=dtype), rtol=0, atol=1e-4)
    torch.testing.assert_close(rotation_of_angles(angles), rotation, rtol=0, atol=1e-6)


def test_near_a_quarter_turn_nothing_jumps():
    angles = torch.tensor([[89.999, 25.0, -40.0]], dtype=torch.float64).deg2rad()
    torch.testing.assert_close(angles_of_rotation(rotation_of_angles(angles)), angles, rtol=0, atol=1e-9)


def test_geodesic_is_the_textbook_formula():
    first, second = rotation_of_angles(random_angles(60)).split(30)
    cosine = (torch.einsum("nij,nij->n", first, second) - 1) / 2
    torch.testing.assert_close(geodesic_angle(first, second), cosine.acos(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("degrees", [0.0, 1e-7, 1e-3, 90.0, 179.9999, 180.0])
def test_geodesic_of_a_turn_about_one_axis(degrees):
    turn = rotation_of_angles(torch.tensor([0.0, degrees, 0.0], dtype=torch.float64).deg2rad())
    angle = geodesic_angle(torch.eye(3, dtype=torch.float64), turn).rad2deg()
    assert angle.item() == pytest.approx(degrees, abs=1e-9)


def test_differences_are_wrapped():
    errors = head_pose_errors(torch.tensor([[-179.0, 0, 0]]).deg2rad(), torch.tensor([[179.0, 0, 0]]).deg2rad())
    assert errors["yaw"].item() == pytest.approx(2, abs=1e-4)
    half = head_pose_errors(torch.tensor([[0, 0, math.pi]]), torch.zeros(1, 3))
    assert half["roll"].item() == pytest.approx(180, abs=1e-4)  # a half turn is not folded to 0


def test_gimbal_lock_spoils_single_angles_but_not_the_geodesic():
    """At a quarter turn, 20 degrees of pitch or of roll are the same rotation."""
    first, second = torch.tensor([[90.0, 20.0, 0.0]]).deg2rad(), torch.tensor([[90.0, 0.0, -20.0]]).deg2rad()
    errors = {name: value.item() for name, value in head_pose_errors(first, second).items()}
    assert errors["mae"] == pytest.approx(40 / 3, abs=1e-3)
    assert errors["geodesic"] == pytest.approx(0, abs=1e-3)


def test_class_counts_every_face_once_within_the_limit():
    targets = random_angles(10).float() * 0.5
    targets[3, 1] = math.radians(100)
    predictions = targets + 0.1 * random_angles(20)[10:].float()
    metric = HeadPoseError()
    for rows in ([5, 1], [0, 3, 9, 9], [2, 4, 6, 7, 8, 5]):
        metric.update(torch.tensor(rows), predictions[rows], targets[rows])
    found = metric.compute()
    assert found["faces"] == 9
    kept = [i for i in range(10) if i != 3]
    for name, errors in head_pose_errors(predictions[kept], targets[kept]).items():
        torch.testing.assert_close(found[name], errors.mean())
    every = HeadPoseError(limit=None)
    every.update(torch.arange(10), predictions, targets)
    assert every.compute()["faces"] == 10


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"both must be \(N, 3\)"):
        head_pose_errors(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=r"\(2,\), \(1, 3\) and \(2, 3\)"):
        HeadPoseError().update(torch.arange(2), torch.zeros(1, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="limit 0 must be positive"):
        HeadPoseError(limit=0)
    with pytest.raises(ValueError, match="no faces"):
        HeadPoseError().compute()
    metric = HeadPoseError()
    metric.update(torch.arange(1), torch.zeros(1, 3), torch.full((1, 3), 3.0))
    with pytest.raises(ValueError, match=r"within 99\.0 degrees"):
        metric.compute()
