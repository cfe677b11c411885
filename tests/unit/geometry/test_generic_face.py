"""The recovered 3-D face: symmetric, at its place, and the best that real labels allow."""

import numpy as np
import pytest
import torch

from canthus.geometry import boxes
from canthus.geometry.camera import Camera
from canthus.geometry.generic_face import generic_face
from canthus.geometry.pnp import solve_pnp
from canthus.schemes import load_scheme
from scripts.make_generic_face import ANCHORS, write_generic_face
from scripts.structure import Structure


def test_it_is_exactly_symmetric() -> None:
    face = generic_face()
    flip = list(load_scheme(68).flip)
    sign = torch.tensor([-1.0, 1.0, 1.0])
    assert torch.equal(face.points[flip] * sign, face.points)
    assert torch.equal(face.deviation[flip], face.deviation)
    assert (face.modes[:, flip] * sign - face.modes).abs().max() < 0.002


def test_scale_place_and_tilt_are_the_published_face_s() -> None:
    points = generic_face().points
    assert (points[45, 0] - points[36, 0]).item() == pytest.approx(79.06, abs=0.01)
    assert points[36, 1:].tolist() == pytest.approx([-30.155, -15.8], abs=0.01)
    direction = points[48, 1:] - points[36, 1:]
    wanted = torch.tensor(ANCHORS.lower_place) - torch.tensor(ANCHORS.upper_place)
    assert (direction[1] / direction[0]).item() == pytest.approx((wanted[1] / wanted[0]).item(), abs=1e-3)
    seen = Camera().project(points + torch.tensor([0.0, 0.0, 3000.0]))
    assert 35 < seen.min() < seen.max() < 190


def test_anatomy() -> None:
    """Depths and heights of an adult face, independently of the images: nose in front, ears behind."""
    points = generic_face().points
    assert points[:, 2].argmin() == 30
    assert points[:, 2].argmax() in (0, 16)
    assert 35 < points[36, 2] - points[30, 2] < 45
    assert points[8, 1] > points[57, 1] > points[33, 1] > points[27, 1] > points[19, 1]


def test_weights_trust_the_nose_more_than_the_jaw() -> None:
    weight = generic_face().weight
    assert weight.max() == 1
    assert weight[:17].max() < 0.3
    assert weight[27:36].min() > 0.5


def test_modes_are_of_persons_and_of_expressions() -> None:
    face = generic_face()
    assert face.modes.shape == (8, 68, 3)
    assert {"shape", "expression"} == set(face.kinds)
    lips = (face.modes[:, 66, 1] - face.modes[:, 62, 1]).abs()  # the mouth opens
    assert face.kinds[int(lips.argmax())] == "expression"


def test_it_fits_real_labels(real_data) -> None:
    """Median error of a rigid face on human labels: a few percent of the box; modes are not used here."""
    from canthus.data.readers import W300

    faces = W300(real_data / "300w", allow_partial=True).faces(["afw"])
    points = torch.from_numpy(np.stack([face.landmarks for face in faces]))
    box = boxes.box_of_points(points)
    size = (box[:, 2:] - box[:, :2]).amax(1)
    camera = Camera()
    framed = (points - boxes.centre(box)[:, None]) * (camera.side / 1.5 / size)[:, None, None] + camera.side / 2
    face = generic_face()
    poses = solve_pnp(framed, face.points.double(), camera, face.weight.double())
    assert poses.valid.double().mean() > 0.95
    assert poses.error.median() < 0.03 * camera.side / 1.5


def test_the_file_comes_back(tmp_path, monkeypatch) -> None:
    face = generic_face()
    structure = Structure(face.points.double(), face.modes, torch.empty(0), None, face.deviation, None, None)
    path = tmp_path / "face.yaml"
    shares = torch.linspace(0.9, 0.1, 8)
    write_generic_face(path, structure, face.modes, shares, 1 - shares, "one\ntwo")
    monkeypatch.setattr("canthus.geometry.generic_face.FILE", path)
    again = generic_face.__wrapped__()
    assert path.read_text().startswith("# one\n# two\n")
    for name in ("points", "deviation", "modes"):
        torch.testing.assert_close(getattr(again, name), getattr(face, name), atol=1e-3, rtol=0)
    assert again.kinds == ("shape",) * 4 + ("expression",) * 4
