"""MDM's starts, losses and options, and flip averaging as any model does it."""

import functools
from types import SimpleNamespace

import pytest
import torch

from canthus.data import face_data
from canthus.data.augment import Augmentation
from canthus.geometry import affine, boxes
from canthus.models.mdm.module import MDMModule
from canthus.models.mirrored import mirror_batch

ADAM = functools.partial(torch.optim.Adam, lr=1e-3)
SMALL = {"patch": 10, "hidden": 8, "channels": 4, "projection": 4, "size": 64, "diagonal": 50.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    module = face_data(
        MDMModule(ADAM, **SMALL).input, "canthus.data.synthetic.Synthetic", name="synthetic", size=24,
        resolution=96, batch_size=6, train_parts=["train"], validation=0.25, cache=tmp_path_factory.mktemp("cache"),
        augmentation=Augmentation(rotation=10.0, scale=0.05, shift=0.05),
    )  # fmt: skip
    module.prepare_data()
    module.setup("fit")
    return module


def model_of(data, **options) -> MDMModule:
    torch.manual_seed(0)
    model = MDMModule(ADAM, **SMALL, **options)
    model.initialise(data)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.normal_(std=0.2)
    return model.eval()


def batch_of(data, split: str = "val") -> dict:
    loader = data.train_dataloader() if split == "train" else data.val_dataloader()
    return data.to_input(next(iter(loader)), split, augment=split == "train")


def test_the_reference_shape_has_the_diagonal_and_lies_in_its_box(data) -> None:
    model = model_of(data)
    shape = model.network.mean_shape
    box = boxes.box_of_points(shape)
    assert float((box[2:] - box[:2]).norm()) == pytest.approx(50, abs=1e-3)
    torch.testing.assert_close(boxes.centre(box), boxes.centre(model.input.reference), atol=1e-3, rtol=0)
    batch = {"box": torch.stack([box, 2 * box])}
    placed = model.initial_shape(batch)
    torch.testing.assert_close(placed[0], shape, atol=1e-4, rtol=0)
    twice = boxes.box_of_points(placed[1])
    assert float((twice[2:] - twice[:2]).norm()) == pytest.approx(100, abs=1e-3)


def test_a_raw_mean_shape_is_the_mean_of_the_annotations(data) -> None:
    points, visibility, _ = data.training_labels()
    assert (visibility > 0).all()
    raw = model_of(data, mean_shape="raw").network.mean_shape
    fitted = affine.apply(affine.similarity_fit(points.mean(0)[None], raw[None]), points.mean(0)[None])[0]
    torch.testing.assert_close(fitted, raw, atol=1e-3, rtol=0)
    assert (raw - model_of(data).network.mean_shape).abs().max() > 0.05


def test_a_raw_mean_shape_is_of_the_labelled_points() -> None:
    """Of three faces one lacks point 4, whose place in the file means nothing."""
    points = torch.tensor([[[10.0, 10], [30, 10], [20, 20], [12, 30], [28, 30]]]).repeat(3, 1, 1)
    points = points + torch.tensor([0.0, 3.0, 6.0])[:, None, None]
    visibility = torch.full((3, 5), 2)
    points[1, 4], visibility[1, 4] = 1000.0, 0
    mean = torch.tensor([[13.0, 13], [33, 13], [23, 23], [15, 33], [31, 33]])  # (28 + 34) / 2 of the last
    labels = SimpleNamespace(
        training_labels=lambda: (points, visibility, boxes.box_of_points(points, visibility)), reduced=False
    )
    model = MDMModule(ADAM, **SMALL, scheme="5", loss_normaliser="inter_pupil", mean_shape="raw")
    model.initialise(labels)  # type: ignore[arg-type]
    placed = boxes.shape_in_box(mean, model.input.reference[None], by="diagonal")[0]
    torch.testing.assert_close(model.network.mean_shape, placed, atol=1e-4, rtol=0)


def test_training_labels_are_those_of_the_faces(data) -> None:
    points, _, detected = data.training_labels()
    faces = data.faces("train")
    labels = torch.stack([torch.from_numpy(face.landmarks) for face in faces])
    given = torch.stack([torch.from_numpy(face.box) for face in faces])
    torch.testing.assert_close(points.double(), labels.double(), atol=1e-2, rtol=0)
    torch.testing.assert_close(detected.double(), given.double(), atol=1e-2, rtol=0)


def test_boxes_of_the_labels_start_with_noise_of_the_given_size(data) -> None:
    model = model_of(data, box_noise=0.1)
    truth = torch.rand(1, 68, 2) * 40 + 10
    batch = {"landmarks": truth.expand(4000, -1, -1), "visibility": torch.ones(4000, 68), "box": torch.zeros(4000, 4)}
    model.train()
    starts = boxes.box_of_points(model.initial_shape(batch))
    true = boxes.box_of_points(truth)[0]
    shift = (boxes.centre(starts) - boxes.centre(true)) / (true[2:] - true[:2])
    torch.testing.assert_close(shift.std(0), torch.tensor([0.1, 0.1]), atol=0.01, rtol=0)
    torch.testing.assert_close(shift.mean(0), torch.zeros(2), atol=0.01, rtol=0)
    model.eval()  # in evaluation the box is taken as it is
    plain = {"box": boxes.box_of_points(truth)}
    assert torch.equal(model.initial_shape(plain), model.initial_shape(plain))


def test_other_boxes_vary_in_training_as_in_the_data(data, monkeypatch: pytest.MonkeyPatch) -> None:
    points, visibility, detected = data.training_labels()
    sides = (detected[:, 2:] - detected[:, :2]).repeat(1, 2)
    random = torch.Generator().manual_seed(0)
    growth = torch.tensor([-0.2, -0.4, 0.2, 0.0]) + 0.05 * torch.randn(detected.shape, generator=random)
    wide = detected + sides * growth
    monkeypatch.setattr(data, "training_labels", lambda: (points, visibility, wide))
    model = model_of(data).train()
    batch = batch_of(data, "train")
    batch = {name: value.repeat(300, *[1] * (value.ndim - 1)) for name, value in batch.items() if name != "image"}
    true = boxes.box_of_points(batch["landmarks"])
    grown = boxes.side(boxes.box_of_points(model.initial_shape(batch))) / boxes.side(true)
    assert float(grown.mean()) == pytest.approx(1.4, abs=0.1)
    assert float(grown.std()) > 0.01


def test_every_step_has_a_loss_of_the_same_weight(data) -> None:
    model, batch = model_of(data), batch_of(data)
    estimates = model.estimates(batch)
    terms = model.losses(batch, estimates)
    assert list(terms) == ["step1", "step2", "step3", "step4"]
    left, right = model.scheme.normalisers["inter_ocular"]
    distance = (batch["landmarks"][:, left[0]] - batch["landmarks"][:, right[0]]).norm(dim=-1)
    for points, term in zip(estimates.points, terms.values(), strict=True):
        expected = ((points - batch["landmarks"]).norm(dim=-1).mean(1) / distance).mean()
        torch.testing.assert_close(term, expected, rtol=1e-4, atol=1e-6)


def test_shared_weights_are_given_to_the_optimiser_once(data) -> None:
    model = model_of(data)
    optimizer = model.configure_optimizers()
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.network.parameters()))


def test_independent_steps_train_one_after_the_other(data) -> None:
    assert not model_of(data).stagewise
    model, batch = model_of(data, independent=True), batch_of(data, "train")
    assert model.stagewise
    model.train_stages([1])
    model.train()
    terms = model.losses(batch, model.estimates(batch))
    assert list(terms) == ["step2"]
    terms["step2"].backward()
    assert model.network.steps[0].output.weight.grad is None
    assert model.network.steps[1].encoder.first.weight.grad.abs().sum() > 0


def test_flip_averaging_treats_a_mirrored_face_alike(data) -> None:
    """Exact by construction; fails if the permutation or ``W - 1 - x`` is wrong."""
    model, batch = model_of(data), batch_of(data)
    mirrored = mirror_batch(batch, model.scheme)
    flip = list(model.scheme.flip)
    reflect = torch.tensor([batch["image"].shape[-1] - 1.0, 0.0]), torch.tensor([-1.0, 1.0])
    for plain, other in zip(model.final_estimates(batch).points, model.final_estimates(mirrored).points, strict=True):
        torch.testing.assert_close(reflect[0] + reflect[1] * other[:, flip], plain, atol=1e-3, rtol=0)
    alone = model.estimates(batch).points[-1]
    assert (model.final_estimates(batch).points[-1] - alone).abs().max() > 1e-3
    model.flip_average = False
    torch.testing.assert_close(model.final_estimates(batch).points[-1], alone)


def test_flip_averaging_does_not_mind_labels_of_another_scheme(data) -> None:
    """As when a model of 68 points is evaluated on five."""
    model, batch = model_of(data, flip_average=True), batch_of(data)
    expected = model.final_estimates(batch).points[-1]
    fewer = batch | {"landmarks": batch["landmarks"][:, :5], "visibility": batch["visibility"][:, :5]}
    torch.testing.assert_close(model.final_estimates(fewer).points[-1], expected)


def test_a_mirrored_batch_is_the_same_faces(data) -> None:
    batch = batch_of(data)
    scheme = data.scheme
    mirrored = mirror_batch(batch, scheme)
    twice = mirror_batch(mirrored, scheme)
    for name in ("image", "landmarks", "visibility", "box", "index"):
        torch.testing.assert_close(twice[name], batch[name], atol=1e-4, rtol=0, msg=name)
    # in the image the points have not moved
    flip = list(scheme.flip)
    original = affine.apply(batch["to_original"], batch["landmarks"])
    torch.testing.assert_close(
        affine.apply(mirrored["to_original"], mirrored["landmarks"])[:, flip], original, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("mean_shape", "median", "'median'; one of procrustes, raw"),
        ("loss_normaliser", "ears", "'ears'; one of"),
        ("diagonal", 64.0, "does not fit model.size=64"),
    ],
)
def test_options_that_make_no_sense(option: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MDMModule(ADAM, **{**SMALL, option: value})
