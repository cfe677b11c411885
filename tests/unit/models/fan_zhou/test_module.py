"""How Fan & Zhou's levels train: held-out errors of level 1 as the noise of level 2."""

import functools

import pytest
import torch

from canthus.data import face_data
from canthus.geometry import affine
from canthus.models.fan_zhou.module import RESIDUALS, FanZhouModule
from canthus.models.losses import pair_distance

ADAM = functools.partial(torch.optim.Adam, lr=1e-3)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A data module with 12 faces to train on and 4 held out, for inputs of 64 px."""
    data = face_data(
        FanZhouModule(ADAM, width=0.05, size=64).input, "canthus.data.synthetic.Synthetic", name="synthetic", size=16,
        resolution=128, train_parts=["train"], validation=0.25, batch_size=3, cache=tmp_path_factory.mktemp("cache"),
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    return data


def built(faces, **options) -> FanZhouModule:
    torch.manual_seed(0)
    model = FanZhouModule(ADAM, **{"width": 0.05, "size": 64, **options})
    model.initialise(faces)
    return model


def test_the_upright_frame_is_the_mean_shape_with_a_fixed_eye_distance(faces) -> None:
    model = built(faces)
    shape = model.patches.mean_shape
    assert pair_distance(shape[None], model.scheme.normalisers["inter_ocular"]).item() == pytest.approx(50, abs=1e-3)
    batch = next(faces.inputs("val"))
    points = model.network(batch["image"], depth=1)[0].points
    assert (points - faces.mean_position()).abs().max() < 1e-3  # where level 1 begins


def test_every_held_out_face_is_an_input_once(faces) -> None:
    batches = list(faces.inputs("val"))
    assert [len(batch["index"]) for batch in batches] == [3, 1]
    assert torch.cat([batch["index"] for batch in batches]).tolist() == [0, 1, 2, 3]
    assert batches[0]["image"].shape == (3, 3, 64, 64)


def test_residuals_are_level_1s_errors_on_held_out_faces(faces) -> None:
    model = built(faces)
    model.measure_residuals(faces)
    batch = list(faces.inputs("val"))[1]
    points, truth = model.network(batch["image"], depth=1)[0].points, batch["landmarks"]
    to_upright = affine.similarity_fit(truth, model.patches.mean_shape[None])
    expected = (affine.apply(to_upright, points) - affine.apply(to_upright, truth))[0]
    torch.testing.assert_close(model.residuals[3], expected)
    torch.testing.assert_close(model.residuals[3 + 8], expected)  # 4 faces and their mirror images, again and again
    mirrored = expected[list(model.scheme.flip)] * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(model.residuals[3 + 4], mirrored)
    assert model.residuals.shape == (RESIDUALS, 68, 2)


def test_level_2_begins_where_level_1_would_be_wrong(faces) -> None:
    model = built(faces)
    error = torch.randn(68, 2)
    model.residuals.copy_(error.expand_as(model.residuals))
    batch = next(faces.inputs("train"))
    shape, jitter = model._disturbed(batch)
    to_upright = affine.similarity_fit(batch["landmarks"], model.patches.mean_shape[None])
    moved = affine.apply(to_upright, shape) - affine.apply(to_upright, batch["landmarks"])
    torch.testing.assert_close(moved, error.expand(3, 68, 2), atol=1e-3, rtol=0)
    scale = jitter[:, :, 0].norm(dim=1)
    assert ((scale - 1).abs() <= 0.05).all()
    assert (torch.atan2(jitter[:, 1, 0], jitter[:, 0, 0]).abs() <= torch.pi / 36 + 1e-6).all()
    assert jitter[0, 0, 1] != jitter[1, 0, 1]


def test_unlabelled_points_start_from_the_mean_shape_and_do_not_matter(faces) -> None:
    model = built(faces)
    batch = next(faces.inputs("train"))
    batch["visibility"] = batch["visibility"].clone()
    batch["landmarks"] = batch["landmarks"].clone()
    batch["visibility"][:, 5] = 0
    batch["landmarks"][:, 5] = torch.nan
    model.train()
    model.train_stages([0, 1])
    for name, loss in model.losses(batch, model.estimates(batch)).items():
        assert torch.isfinite(loss), name
    shape, _ = model._disturbed(batch)
    to_upright = affine.similarity_fit(
        batch["landmarks"], model.patches.mean_shape[None], (batch["visibility"] > 0).float()
    )
    torch.testing.assert_close(
        affine.apply(to_upright, shape)[:, 5], model.patches.mean_shape[5].expand(3, 2), atol=1e-3, rtol=0
    )


def test_level_2_learns_to_undo_the_errors(faces) -> None:
    model = built(faces, votes=1, width=0.1)
    model.residuals.copy_(4 * torch.randn(RESIDUALS, 1, 2))  # the whole shape lies off, which no similarity undoes
    model.train_stages([1])
    model.train()
    optimizer = torch.optim.Adam(model.stage_parameters(1), lr=3e-3)
    batch = next(faces.inputs("train"))
    for _ in range(60):
        optimizer.zero_grad()
        model.losses(batch, model.estimates(batch))["level2"].backward()
        optimizer.step()
    begun, _ = model._disturbed(batch)
    ended = model.patches(batch["image"], begun).average(68)
    before, after = ((points - batch["landmarks"]).norm(dim=-1).mean().item() for points in (begun, ended))
    assert after < 0.9 * before


def test_only_the_trained_level_has_a_loss_and_a_gradient(faces) -> None:
    model = built(faces)
    batch = next(faces.inputs("train"))
    model.train()
    model.train_stages([1])
    terms = model.losses(batch, model.estimates(batch))
    assert list(terms) == ["level2"]
    terms["level2"].backward()
    assert all(parameter.grad is None for parameter in model.stage_parameters(0))
    model.train_stages([0])
    assert list(model.losses(batch, model.estimates(batch))) == ["level1"]


def test_anchors_of_eyes_and_mouth(faces) -> None:
    model = built(faces, rectification="eye_mouth")
    anchors = model.patches.anchors
    assert anchors.shape == (2, 68)
    assert (anchors[0] > 0).nonzero().flatten().tolist() == list(range(36, 48))
    assert (anchors[1] > 0).nonzero().flatten().tolist() == list(range(48, 68))
    torch.testing.assert_close(anchors.sum(1), torch.ones(2))


def test_options_that_do_not_exist_and_schemes_without_eye_corners() -> None:
    with pytest.raises(ValueError, match="'affine'; one of procrustes, eye_mouth"):
        FanZhouModule(ADAM, width=0.05, rectification="affine")
    with pytest.raises(ValueError, match="has no outer eye corners"):
        FanZhouModule(ADAM, width=0.05, scheme=5)


def test_hyperparameters_are_plain_values() -> None:
    for name, value in FanZhouModule(ADAM, width=0.05).hparams.items():
        assert isinstance(value, (int, float, str, bool)), name
