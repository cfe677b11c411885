"""Labels of augmented faces, losses, crops and learning."""

import functools
from dataclasses import replace

import pytest
import torch

from canthus.data import face_data
from canthus.data.augment import Augmentation
from canthus.data.synthetic import Synthetic
from canthus.geometry import affine
from canthus.geometry.camera import Camera, placed
from canthus.geometry.generic_face import face_poses, generic_face
from canthus.geometry.pose import camera_rotation, geodesic_angle, rotation_of_vector
from canthus.models.facepose.labels import mirrored_pose, transformed_pose
from canthus.models.facepose.module import FacePoseModule
from canthus.schemes import load_scheme

ADAM = functools.partial(torch.optim.Adam, lr=1e-3)
SMALL = {"backbone": "test_resnet", "size": 64, "statistics_faces": 32}
CHANGE = {"rotation": 15.0, "scale": 0.1, "shift": 0.05}


@pytest.fixture
def make_data(tmp_path):
    def make(model, **options):
        settings = {"size": 48, "train_parts": ["train"], "test_parts": ["test"], "validation": 0.25, "batch_size": 12}
        settings |= {"cache": tmp_path / "cache", "name": "synthetic", "resolution": 96} | options
        data = face_data(model.input, "canthus.data.synthetic.Synthetic", **settings)
        data.prepare_data()
        data.setup("fit")
        return data

    return make


def changed(points, change):
    """Points of a 224 crop after a change of its pixels."""
    camera = Camera()
    return affine.apply(change, points - 0.5) + 0.5, camera


def pose(*h):
    vector = torch.tensor([h], dtype=torch.float64)
    return rotation_of_vector(vector[:, :3]), vector[:, 3:]


def test_closed_form_of_a_rotation_is_exact() -> None:
    rotation, translation = pose(0.1, 0.4, -0.1, 5, -3, 2900)
    face = generic_face().points.double()
    change = affine.rotation_scale(
        torch.tensor([0.6]).double(), torch.ones(1).double(), torch.full((1, 2), 111.5).double()
    )
    points, camera = changed(Camera().project(placed(face, rotation, translation)), change)
    found = transformed_pose(rotation, translation, change, camera)
    assert (camera.project(placed(face, *found)) - points).abs().max() < 1e-9


def test_closed_form_keeps_float32_under_autocast() -> None:
    rotation, translation = (value.float() for value in pose(0.1, 0.4, -0.1, 5, -3, 2900))
    change = affine.rotation_scale(torch.tensor([0.6]), torch.tensor([1.1]), torch.full((1, 2), 111.5))
    expected = transformed_pose(rotation, translation, change, Camera())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = transformed_pose(rotation, translation, change, Camera())
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other)


def test_closed_form_of_a_similarity_is_within_half_a_pixel() -> None:
    """The reference's case: 30 degrees, scale 1.2, shift (15, -10): at most 0.43, 0.12 on average there."""
    rotation, translation = pose(0.1, 0.2, -0.1, 5, -3, 2900)
    face = generic_face().points.double()
    angle = torch.tensor([30.0]).deg2rad().double()
    change = affine.rotation_scale(angle, torch.tensor([1.2]).double(), torch.full((1, 2), 111.5).double())
    change[:, :, 2] += torch.tensor([15.0, -10.0])
    points, camera = changed(Camera().project(placed(face, rotation, translation)), change)
    found = transformed_pose(rotation, translation, change, camera)
    distance = (camera.project(placed(face, *found)) - points).norm(dim=-1)
    assert distance.max() < 0.5
    assert distance.mean() < 0.25


def test_closed_form_of_a_mirror_is_exact() -> None:
    rotation, translation = pose(0.1, 0.4, -0.1, 5, -3, 2900)
    face, flip = generic_face().points.double(), list(load_scheme(68).flip)
    change = affine.mirror(torch.tensor([True]), 111.5).double()
    points, camera = changed(Camera().project(placed(face, rotation, translation)), change)
    found = transformed_pose(rotation, translation, change, camera)
    assert (camera.project(placed(face, *found)) - points[:, flip]).abs().max() < 1e-9
    for one, other in zip(found, mirrored_pose(rotation, translation), strict=True):
        torch.testing.assert_close(one, other)


def test_both_kinds_of_labels_agree(make_data, monkeypatch) -> None:
    """Through the data module's own augmentation, mirrors included."""
    model = FacePoseModule(ADAM, labels="closed_form", **SMALL)
    data = make_data(model, augmentation=Augmentation(**CHANGE))
    monkeypatch.setattr(type(model), "trainer", type("Stub", (), {"datamodule": data}))
    model.setup("fit")
    batch = data.to_input(data._views["train"].batch(list(range(24)), copy=False), "train", augment=True)
    assert 0 < (torch.linalg.det(batch["to_original"][..., :2]) < 0).sum() < 24
    rotation, translation, valid = model.targets(batch)
    poses = face_poses(batch["landmarks"], batch["visibility"], 64)
    both = valid & poses.valid
    assert both.double().mean() > 0.9
    assert geodesic_angle(rotation, poses.rotation)[both].max() < 0.06
    assert ((translation - poses.translation)[both, 2] / poses.translation[both, 2]).abs().max() < 0.03


@pytest.mark.parametrize("away", [0.0, 30.0])
def test_the_crop_is_one_and_a_half_longer_sides(away: float, make_data, monkeypatch) -> None:
    """Boxes that leave the image, too."""
    read = Synthetic.faces
    monkeypatch.setattr(
        Synthetic, "faces", lambda self, parts: [replace(f, box=f.box + away) for f in read(self, parts)]
    )
    model = FacePoseModule(ADAM, **SMALL)
    data = make_data(model)
    batch = data.inputs_of("train", list(range(8)))
    assert any(face.box.max() > 96 for face in data.faces("train")[:8]) == bool(away)
    for row, matrix in enumerate(batch["to_original"].double()):
        box = torch.from_numpy(data.faces("train")[row].box)
        side = 64 * matrix[:, 0].norm()
        assert side.item() == pytest.approx(1.5 * float((box[2:] - box[:2]).max()), rel=1e-3)
        middle = affine.apply(matrix[None], torch.full((1, 1, 2), 31.5).double())[0, 0]
        torch.testing.assert_close(middle, (box[:2] + box[2:]) / 2, atol=1e-3, rtol=0)
        points = torch.rand(5, 2).double() * 80 - 8  # outside the crop as well
        back = affine.apply(affine.invert(matrix[None]), affine.apply(matrix[None], points[None]))[0]
        assert (back - points).abs().max() < 1e-3


@pytest.mark.parametrize("head", ["rotvec", "6d"])
def test_statistics_estimates_and_losses(head: str, make_data) -> None:
    model = FacePoseModule(ADAM, head=head, reprojection=1.0, **SMALL)
    data = make_data(model, augmentation=Augmentation(**CHANGE))
    model.initialise(data)
    batch = data.inputs_of("train", list(range(12)))
    estimates = model.estimates(batch)
    assert [points.shape for points in estimates.points] == [(12, 68, 2)]
    assert estimates.pose.shape == (12, 3)
    losses = model.losses(batch, estimates)
    assert set(losses) == {"pose", "reprojection"}
    assert 0.5 < losses["pose"] < 20
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.network.parameters())
    # z-scores of the truth are the truth
    poses = face_poses(batch["landmarks"], batch["visibility"], 64)
    estimates.pose_scores = model.head.encode(poses.rotation, poses.translation)
    assert model.losses(batch, estimates)["pose"] < 1e-3


def test_faces_without_a_pose_enter_no_loss(make_data) -> None:
    model = FacePoseModule(ADAM, **SMALL)
    data = make_data(model)
    model.initialise(data)
    batch = data.inputs_of("train", [0, 1])
    estimates = model.estimates(batch)
    both = model.losses(batch, estimates)["pose"]
    batch["visibility"][1] = 0
    first = model.losses(batch, estimates)["pose"]
    batch["visibility"][0] = 0
    assert model.losses(batch, estimates)["pose"] == 0
    assert first != both
    assert first.isfinite()


def test_landmarks_that_give_no_pose_still_enter_the_reprojection_loss(make_data) -> None:
    model = FacePoseModule(ADAM, reprojection=1.0, **SMALL)
    data = make_data(model)
    model.initialise(data)
    batch = data.inputs_of("train", [0])
    batch["landmarks"] = batch["landmarks"][:, torch.randperm(68)]
    losses = model.losses(batch, model.estimates(batch))
    assert losses["pose"] == 0
    assert losses["reprojection"] > 0.05


def test_projected_points_and_angles_are_one_pose() -> None:
    model = FacePoseModule(ADAM, head="6d", **SMALL)
    angles = torch.tensor([[0.3, -0.1, 0.2]])
    translation = torch.tensor([[3.0, -2.0, 3100.0]])
    model.head.fit(camera_rotation(angles).expand(2, 3, 3), translation.expand(2, 3))
    model.network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(9, bias=False))
    model.network(torch.zeros(1, 3, 64, 64))
    torch.nn.init.zeros_(model.network[1].weight)
    batch = {"image": torch.rand(1, 3, 64, 64)}
    estimates = model.estimates(batch)
    torch.testing.assert_close(estimates.pose, angles, atol=1e-5, rtol=0)
    poses = face_poses(estimates.points[0], torch.full((1, 68), 2), 64)
    torch.testing.assert_close(poses.angles, angles, atol=1e-4, rtol=0)
    torch.testing.assert_close(poses.translation, translation, atol=0.5, rtol=0)


@pytest.mark.slow
def test_it_overfits_rendered_crops(make_data) -> None:
    """Pixels determine the pose of 16 faces: what is left to the projected points is below two pixels of 64."""
    torch.manual_seed(0)
    model = FacePoseModule(ADAM, head="6d", **SMALL)
    data = make_data(model)
    model.initialise(data)
    batch = data.inputs_of("train", list(range(16)))
    rotation, translation, valid = model.targets(batch)
    wanted = model.camera.pixels(placed(model.face, rotation, translation))
    optimizer = torch.optim.Adam(model.network.parameters(), lr=3e-3)
    model.train()
    for _ in range(60):
        optimizer.zero_grad()
        model.losses(batch, model.estimates(batch))["pose"].backward()
        optimizer.step()
    distance = (model.estimates(batch).points[0] - wanted)[valid].norm(dim=-1).mean()
    begin = (model.estimates(batch).initial - wanted)[valid].norm(dim=-1).mean()
    assert distance < min(1.0, begin / 3)


def test_prediction_gives_the_pose(make_data) -> None:
    from canthus.inference.landmark_files import face_entry
    from canthus.inference.predictor import Predictor

    model = FacePoseModule(ADAM, **SMALL)
    data = make_data(model)
    model.initialise(data)
    face = data.faces("train")[0]
    predictor = Predictor(model, extent=3.0, oversample=1.5, device=torch.device("cpu"))
    (located,) = predictor(data.reader.pixels(face.image), face.box[None])
    expected = model.estimates(data.inputs_of("train", [0])).pose[0].detach()
    torch.testing.assert_close(torch.from_numpy(located.pose).float(), expected, atol=2e-3, rtol=0)
    entry = face_entry(located)
    assert list(entry["pose_degrees"]) == ["yaw", "pitch", "roll"]
    assert entry["pose_degrees"]["yaw"] == pytest.approx(float(expected[0].rad2deg()), abs=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "euler"}, "model.head is 'euler'; one of rotvec, 6d"),
        ({"labels": "guess"}, "model.labels is 'guess'; one of pnp, closed_form"),
        ({"size": 112}, "the AlexNet is made for 227"),
        ({"reprojection": -1.0}, "a weight is not negative"),
        ({"scheme": "5"}, "set data.scheme=68"),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FacePoseModule(ADAM, **options)
