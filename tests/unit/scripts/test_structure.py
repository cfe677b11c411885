"""Factorisation finds the face that images were made of."""

import pytest
import torch

from canthus.geometry.camera import Camera, placed
from canthus.geometry.generic_face import generic_face
from canthus.geometry.pose import camera_rotation
from canthus.schemes import load_scheme
from scripts.make_generic_face import ANCHORS
from scripts.structure import recover_structure, separate_modes

FLIP = load_scheme(68).flip


def images(count: int, modes: int = 0, noise: float = 0.3, yaw: float = 25.0):
    """Projections of a face that is not the shipped one: a fifth narrower, with a longer nose."""
    torch.manual_seed(0)
    shipped = generic_face()
    face = shipped.points.double() * torch.tensor([0.8, 1.0, 1.0])
    face[27:31, 2] -= 8
    angles = torch.randn(count, 3, dtype=torch.float64) * torch.tensor([yaw, 12.0, 8.0]).deg2rad()
    angles = angles.clamp(-1.2, 1.2)
    coefficients = torch.randn(count, modes, dtype=torch.float64)
    own = face + torch.einsum("nm,mkc->nkc", coefficients, shipped.modes[:modes].double())
    translation = torch.tensor([0, 0, 3000.0], dtype=torch.float64).expand(count, 3)
    points = Camera().project(placed(own, camera_rotation(angles), translation))
    return face, points + noise * torch.randn_like(points), coefficients


def test_a_rigid_face_is_recovered() -> None:
    face, points, _ = images(150)
    found = recover_structure(points, FLIP, ANCHORS, Camera(), modes=1, iterations=4)
    scale = ANCHORS.distance / (face[45, 0] - face[36, 0])
    wanted = (face - face[[36, 45]].mean(0)) * scale
    mean = found.mean - found.mean[[36, 45]].mean(0)
    tilt = torch.atan2(mean[48, 2], mean[48, 1]) - torch.atan2(wanted[48, 2], wanted[48, 1])
    y, z = wanted[:, 1], wanted[:, 2]
    wanted = torch.stack([wanted[:, 0], y * tilt.cos() - z * tilt.sin(), y * tilt.sin() + z * tilt.cos()], 1)
    assert (mean - wanted).norm(dim=1).mean() < 1.5
    assert (mean - wanted).norm(dim=1).max() < 4
    assert found.rigid_error.median() < 1
    mirrored = found.mean[list(FLIP)] * torch.tensor([-1.0, 1.0, 1.0])
    assert (found.mean - mirrored).abs().max() < 1e-9


def test_modes_explain_what_a_rigid_face_cannot() -> None:
    _, points, _ = images(100, modes=2)
    found = recover_structure(points, FLIP, ANCHORS, Camera(), modes=2, iterations=7)
    assert found.error.median() < 0.6 * found.rigid_error.median()
    variance = found.coefficients.var(0)
    assert ((variance > 0.5) & (variance < 2)).all()


def test_faces_that_are_turned_alike_do_not_determine_a_shape() -> None:
    _, points, _ = images(2)
    with pytest.raises(ValueError, match="faces do not determine a 3-D shape"):
        recover_structure(points, FLIP, ANCHORS, Camera())


def test_persons_and_expressions_come_apart() -> None:
    torch.manual_seed(0)
    persons = torch.randn(300, 1, dtype=torch.float64).repeat_interleave(4, 0)
    expressions = torch.randn(1200, 1, dtype=torch.float64)
    turned = torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64)
    mixed = torch.cat([persons, expressions], 1) @ turned
    rows, between, within = separate_modes(mixed, [str(i // 4) for i in range(1200)])
    assert between[0] > 0.9
    assert within[1] > 0.9
    directions = torch.nn.functional.normalize(rows, dim=1)
    assert (directions * turned).sum(1).abs().min() > 0.95


def test_persons_need_two_faces() -> None:
    with pytest.raises(ValueError, match="no person has two faces"):
        separate_modes(torch.randn(3, 2), ["a", "b", "c"])
