"""Poses come back from projected points, whatever is noisy, missing, mirrored or impossible."""

import pytest
import torch

from canthus.geometry.camera import Camera, placed
from canthus.geometry.generic_face import face_poses, generic_face
from canthus.geometry.pnp import solve_pnp
from canthus.geometry.pose import camera_rotation, geodesic_angle
from canthus.schemes import load_scheme

CAMERA = Camera()


def random_poses(count: int, yaw: float = 80.0, dtype=torch.float64):
    torch.manual_seed(0)
    angles = (torch.rand(count, 3, dtype=dtype) * 2 - 1) * torch.tensor([yaw, 35.0, 60.0], dtype=dtype).deg2rad()
    place = torch.randn(count, 3, dtype=dtype) * torch.tensor([15.0, 15.0, 300.0], dtype=dtype)
    return camera_rotation(angles), place + torch.tensor([0, 0, 3000.0], dtype=dtype)


def test_ten_thousand_poses_come_back() -> None:
    face = generic_face()
    rotation, translation = random_poses(10_000)
    points = CAMERA.project(placed(face.points.double(), rotation, translation))
    poses = solve_pnp(points, face.points.double(), CAMERA, face.weight.double())
    assert poses.valid.all()
    assert geodesic_angle(poses.rotation, rotation).max() < 1e-4
    assert (poses.translation - translation).abs().max() < 1e-4
    assert poses.error.max() < 1e-6


def test_single_precision_is_enough_for_labels() -> None:
    face = generic_face()
    rotation, translation = random_poses(500, dtype=torch.float32)
    points = CAMERA.project(placed(face.points, rotation, translation))
    poses = solve_pnp(points, face.points, CAMERA)
    assert poses.rotation.dtype == torch.float32
    assert geodesic_angle(poses.rotation, rotation).max() < 2e-4
    assert ((poses.translation - translation) / translation[:, 2:]).abs().max() < 1e-4


def test_noise_of_labels_moves_poses_as_published() -> None:
    """1.5 px of noise: some thousandths of a radian, 0.2 to 0.3 mm across, 12 to 16 mm in depth."""
    face = generic_face()
    rotation, translation = random_poses(500, yaw=30.0)
    points = CAMERA.project(placed(face.points.double(), rotation, translation))
    poses = solve_pnp(points + 1.5 * torch.randn_like(points), face.points.double(), CAMERA)
    assert poses.valid.all()
    assert geodesic_angle(poses.rotation, rotation).median() < 0.02
    assert 0.1 < (poses.translation - translation)[:, :2].std() < 0.4
    assert 6 < (poses.translation - translation)[:, 2].std() < 25


def test_solutions_with_reversed_depth_are_not_taken() -> None:
    """Noise makes both turns of a nearly flat set of points fit; the one that fits better has to be found."""
    face = generic_face()
    flat = face.points.double()[[*range(17, 27), 36, 39, 42, 45]]
    rotation, translation = random_poses(300, yaw=45.0)
    points = CAMERA.project(placed(flat, rotation, translation))
    poses = solve_pnp(points + 0.05 * torch.randn_like(points), flat, CAMERA)
    assert (geodesic_angle(poses.rotation, rotation) < 0.2).double().mean() > 0.98


def test_weights_leave_out_points() -> None:
    face = generic_face()
    rotation, translation = random_poses(20)
    points = CAMERA.project(placed(face.points.double(), rotation, translation))
    weight = torch.ones(20, 68, dtype=torch.float64)
    weight[:, :17] = 0
    points[:, :17] = torch.nan  # unlabelled
    poses = solve_pnp(points, face.points.double(), CAMERA, weight)
    assert poses.valid.all()
    assert geodesic_angle(poses.rotation, rotation).max() < 1e-4


def test_a_sliding_jaw_counts_little() -> None:
    face = generic_face()
    rotation, translation = random_poses(200, yaw=40.0)
    points = CAMERA.project(placed(face.points.double(), rotation, translation))
    points[:, :8, 0] += 10
    plain, weighted = (
        geodesic_angle(solve_pnp(points, face.points.double(), CAMERA, weight).rotation, rotation).mean()
        for weight in (None, face.weight.double())
    )
    assert weighted < 0.7 * plain


def test_mirrored_labels_are_rejected() -> None:
    """Left and right exchanged: the best fit looks away from the camera."""
    face = generic_face()
    rotation, translation = random_poses(200, yaw=30.0)
    points = CAMERA.project(placed(face.points.double(), rotation, translation))
    flip = list(load_scheme(68).flip)
    assert not solve_pnp(points[:, flip], face.points.double(), CAMERA).valid.any()


def test_what_cannot_be_a_face_is_rejected_and_nothing_is_nan() -> None:
    face = generic_face()
    rotation, translation = random_poses(4, yaw=20.0, dtype=torch.float32)
    points = CAMERA.project(placed(face.points, rotation, translation))
    visibility = torch.full((4, 68), 2, dtype=torch.uint8)
    points[0] = torch.rand(68, 2) * 224  # scattered
    visibility[1, 5:] = 0  # five points
    points[2] = torch.nan  # a diverged estimate
    poses = face_poses(CAMERA.frame_of(points) - 1, visibility, 224)
    assert poses.valid.tolist() == [False, False, False, True]
    for values in (poses.rotation, poses.translation, poses.error, poses.angles, poses.vector):
        assert values.isfinite().all()


def test_five_points_are_enough_where_they_are_asked_for() -> None:
    """Eye corners, nose and mouth corners, without noise; labels want six, so that there is something to judge by."""
    face = generic_face().points.double()[[36, 45, 30, 48, 54]]
    rotation, translation = random_poses(200, yaw=60.0)
    points = CAMERA.project(placed(face, rotation, translation))
    poses = solve_pnp(points, face, CAMERA, least=5)
    assert poses.valid.double().mean() > 0.98
    assert geodesic_angle(poses.rotation, rotation)[poses.valid].max() < 1e-3
    assert not solve_pnp(points, face, CAMERA).valid.any()


@pytest.mark.parametrize("size", [80, 227])
def test_poses_do_not_depend_on_the_size_of_the_crop(size: int) -> None:
    face = generic_face()
    rotation, translation = random_poses(10)
    camera = Camera().resized(size)
    points = camera.pixels(placed(face.points.double(), rotation, translation))
    poses = face_poses(points, torch.full((10, 68), 2), size)
    assert geodesic_angle(poses.rotation, rotation).max() < 1e-5
    torch.testing.assert_close(poses.translation, translation, atol=1e-2, rtol=0)
