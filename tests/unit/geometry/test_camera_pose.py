"""Fixtures of the published camera and pose convention (reference values of FacePoseNet's helper code)."""

import pytest
import torch

from canthus.geometry.camera import Camera, crop_box, placed
from canthus.geometry.generic_face import generic_face
from canthus.geometry.pose import (
    angles_of_rotation,
    camera_rotation,
    geodesic_angle,
    head_angles,
    mirrored_rotation,
    rotation_of_angles,
    rotation_of_columns,
    rotation_of_vector,
    vector_of_rotation,
)

H = torch.tensor([0.1, 0.2, -0.1, 5, -3, 2900], dtype=torch.float64)
POINTS = torch.tensor([(0.92, -2.91, -55.30), (-39.37, -30.15, -15.86), (39.69, -30.16, -15.74)], dtype=torch.float64)
NOSE, RIGHT_EYE, LEFT_EYE = 30, 45, 36


def seen(vector, translation=(0.0, 0.0, 3000.0), points=None):
    rotation = rotation_of_vector(torch.tensor([vector], dtype=torch.float64))
    face = generic_face().points.double() if points is None else points
    return Camera().project(placed(face, rotation, torch.tensor([translation], dtype=torch.float64)))[0]


def test_published_projection() -> None:
    rotation = rotation_of_vector(H[None, :3])
    rows = [(0.975125, 0.108953, 0.193031), (-0.089053, 0.990050, -0.108953), (-0.202981, 0.089053, 0.975125)]
    torch.testing.assert_close(rotation[0], torch.tensor(rows, dtype=torch.float64), atol=1e-6, rtol=0)
    points = Camera().project(placed(POINTS, rotation, H[None, 3:]))[0]
    expected = torch.tensor([(106.844, 112.063), (72.398, 84.478), (149.458, 77.247)], dtype=torch.float64)
    torch.testing.assert_close(points, expected, atol=2e-3, rtol=0)


def test_signs() -> None:
    """+ry moves the nose tip left, +rx moves it down, +rz moves the image-right eye down."""
    straight = seen((0.0, 0.0, 0.0))
    assert seen((0.0, 0.2, 0.0))[NOSE, 0] < straight[NOSE, 0] - 5
    assert seen((0.2, 0.0, 0.0))[NOSE, 1] > straight[NOSE, 1] + 5
    assert seen((0.0, 0.0, 0.2))[RIGHT_EYE, 1] > straight[RIGHT_EYE, 1] + 5


def test_angles_have_the_signs_of_300w_lp() -> None:
    """The nose, the model's z axis, goes to the image's left with yaw and up with pitch; roll turns clockwise."""
    for vector, angles in (((0, 0.3, 0), (0.3, 0, 0)), ((0.3, 0, 0), (0, -0.3, 0)), ((0, 0, 0.3), (0, 0, 0.3))):
        rotation = rotation_of_vector(torch.tensor(vector, dtype=torch.float64))
        torch.testing.assert_close(head_angles(rotation), torch.tensor(angles, dtype=torch.float64))


def test_angles_are_the_inverse_of_rotations() -> None:
    torch.manual_seed(0)
    angles = (torch.rand(200, 3, dtype=torch.float64) * 2 - 1) * 1.5
    torch.testing.assert_close(angles_of_rotation(rotation_of_angles(angles)), angles)
    torch.testing.assert_close(head_angles(camera_rotation(angles)), angles)
    mirrored = mirrored_rotation(rotation_of_angles(angles))
    torch.testing.assert_close(mirrored, rotation_of_angles(angles * torch.tensor([-1.0, 1.0, -1.0])))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rotation_vectors_come_back(dtype) -> None:
    torch.manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(500, 3, dtype=dtype), dim=1)
    angle = torch.linspace(0, torch.pi - 1e-3, 500, dtype=dtype)[:, None]
    rotation = rotation_of_vector(axis * angle)
    assert torch.linalg.det(rotation).sub(1).abs().max() < 1e-5
    torch.testing.assert_close(
        vector_of_rotation(rotation), axis * angle, atol=2e-4 if dtype == torch.float32 else 1e-9, rtol=0
    )


def test_no_rotation_has_a_gradient() -> None:
    vector = torch.zeros(1, 3, requires_grad=True)
    rotation_of_vector(vector)[0, 2, 1].backward()
    torch.testing.assert_close(vector.grad, torch.tensor([[1.0, 0.0, 0.0]]))


def test_gram_schmidt_keeps_rotations_and_makes_some() -> None:
    torch.manual_seed(0)
    rotation = rotation_of_vector(torch.randn(50, 3, dtype=torch.float64))
    columns = rotation[:, :, :2].mT.flatten(1)
    torch.testing.assert_close(rotation_of_columns(columns), rotation)
    made = rotation_of_columns(torch.randn(50, 6, dtype=torch.float64))
    torch.testing.assert_close(made @ made.mT, torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
    torch.testing.assert_close(torch.linalg.det(made), torch.ones(50, dtype=torch.float64))


def test_a_resized_camera_scales_its_picture() -> None:
    camera = Camera().resized(227)
    assert camera.focal == pytest.approx(2918.571, abs=1e-3)
    assert camera.side / 2 == 113.5
    points = placed(POINTS, rotation_of_vector(H[None, :3]), H[None, 3:])
    torch.testing.assert_close(camera.project(points), Camera().project(points) * 227 / 224)


def test_mirrored_pose_gives_the_mirrored_picture() -> None:
    """(rx, -ry, -rz, -tx, ty, tz), exactly, pixel x to W - 1 - x, points under their mirrored names."""
    from canthus.schemes import load_scheme

    camera, face = Camera(), generic_face().points.double()
    flip = list(load_scheme(68).flip)
    plain = camera.pixels(placed(face, rotation_of_vector(H[None, :3]), H[None, 3:]))[0]
    other = H * torch.tensor([1, -1, -1, -1, 1, 1])
    mirrored = camera.pixels(placed(face, rotation_of_vector(other[None, :3]), other[None, 3:]))[0]
    torch.testing.assert_close(
        mirrored, (plain * torch.tensor([-1, 1]) + torch.tensor([223, 0]))[flip], atol=1e-9, rtol=0
    )


def test_weak_perspective_is_close() -> None:
    face = generic_face().points.double()
    for degrees in (0, 20, 40, 60, 80):
        rotation = rotation_of_vector(torch.tensor([[0.0, degrees, 0.0]], dtype=torch.float64).deg2rad())
        points = placed(face, rotation, torch.tensor([[0.0, 0.0, 3000.0]], dtype=torch.float64))
        weak = 2880 * points[..., :2] / 3000 + 112
        distance = (Camera().project(points) - weak).norm(dim=-1)
        assert distance.max() < 1.3
        assert 0.3 < distance.mean() < 0.45  # 0.35 to 0.39 of the published face


def test_the_crop_shows_one_and_a_half_boxes() -> None:
    x1, y1, x2, y2 = crop_box(227)
    assert (x2 - x1) * 1.5 == pytest.approx(227)
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == (113, 113)


def test_geodesic_angle_of_vectors() -> None:
    first, second = (rotation_of_vector(torch.tensor([[0.0, 0.0, angle]])) for angle in (0.2, 0.7))
    assert geodesic_angle(first, second).item() == pytest.approx(0.5, abs=1e-6)
