"""Alignment by a pose: of any number of points, and of faces that have none."""

import pytest
import torch

from canthus.geometry import affine
from canthus.geometry.camera import Camera, placed
from canthus.geometry.generic_face import generic_face
from canthus.geometry.pose import camera_rotation
from canthus.schemes import load_scheme
from canthus.studies.alignment import aligners
from canthus.studies.alignment.frames import alignment_maps, alignment_points, reduced
from canthus.studies.alignment.measures import frame_shift
from canthus.studies.alignment.projection import project_pose

SCHEME = load_scheme(68)


def images(count: int = 30):
    """Faces of images whose pixels have nothing to do with the camera's: (N, 68, 2) and their angles."""
    torch.manual_seed(0)
    angles = (torch.rand(count, 3, dtype=torch.float64) - 0.5) * torch.tensor([1.6, 0.7, 0.6])
    translation = torch.tensor([0, 0, 3000.0], dtype=torch.float64).expand(count, 3)
    points = Camera().pixels(placed(generic_face().points.double(), camera_rotation(angles), translation))
    size, place = torch.rand(count, 1, 1, dtype=torch.float64) * 3 + 0.3, torch.rand(count, 1, 2) * 500
    return points * size + place, angles


@pytest.mark.parametrize("name", ["68", "51", "19", "5"])
def test_poses_of_rigid_faces_come_back(name: str) -> None:
    points, angles = images()
    found = project_pose(reduced(points, SCHEME, name), load_scheme(name))
    assert found.lost == 0
    assert (found.angles - angles).abs().max() < 0.03  # the mean of projected points is not the projected mean
    eyes = (points[:, 36] - points[:, 45]).norm(dim=1)
    away = (found.points - alignment_points(points, SCHEME)).norm(dim=-1).amax(1)
    assert (away / eyes).max() < 0.01


def test_other_schemes_go_by_five_points() -> None:
    scheme = load_scheme(29)
    points, angles = images(4)
    blends = scheme.reductions["5"]
    cofw = torch.zeros(4, 29, 2, dtype=torch.float64)
    for blend, point in zip(blends, alignment_points(points, SCHEME).unbind(1), strict=True):
        cofw[:, list(blend.points)] = point[:, None]
    assert (project_pose(cofw, scheme).angles - angles).abs().max() < 0.03


def test_a_face_without_a_pose_keeps_its_points() -> None:
    points, _ = images(3)
    points[1] = torch.rand(68, 2) * 100
    found = project_pose(points, SCHEME)
    assert found.lost == 1
    assert found.angles[1].isnan().all()
    torch.testing.assert_close(found.points[1], alignment_points(points, SCHEME)[1])


def test_a_pose_averages_the_noise_of_points() -> None:
    """68 points hold a pose steadier than five hold a similarity: why the labels of FacePoseNet may be noisy."""
    points, _ = images(60)
    eyes = (points[:, 36] - points[:, 45]).norm(dim=1)[:, None, None]
    noisy = points + 0.03 * eyes * torch.randn_like(points)
    shifts = [
        frame_shift(alignment_maps(before, 96), alignment_maps(after, 96), 96).mean()
        for before, after in (
            (alignment_points(points, SCHEME), alignment_points(noisy, SCHEME)),
            (project_pose(points, SCHEME).points, project_pose(noisy, SCHEME).points),
        )
    ]
    assert shifts[1] < 0.6 * shifts[0]


def test_a_method_aligns_in_two_ways() -> None:
    points, _ = images(4)
    turned = affine.apply(
        affine.rotation_scale(torch.tensor([0.3]), torch.ones(1), torch.zeros(1, 2)).double(), points[:2]
    )
    by_points, by_pose = aligners("dan", "run", points, SCHEME, corrupted={"blur": turned}, corrupted_faces=[0, 1])
    assert (by_points.name, by_pose.name) == ("dan", "dan, pose")
    torch.testing.assert_close(by_points.corrupted["blur"], alignment_points(turned, SCHEME))
    torch.testing.assert_close(by_pose.points, project_pose(points, SCHEME).points)
    torch.testing.assert_close(by_pose.corrupted["blur"], project_pose(turned, SCHEME).points)
    assert by_pose.corrupted_faces == [0, 1]
    assert [one.name for one in aligners("dan", "run", points, SCHEME, ["pose"])] == ["dan, pose"]
