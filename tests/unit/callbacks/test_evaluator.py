"""The evaluator measures in original pixels, whatever the crop, and beside the starting shape."""

import numpy as np
import pytest
import torch

from canthus.callbacks.evaluator import Evaluator
from canthus.evaluation.evaluation import Evaluation
from canthus.metrics import FaceTable
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError


def evaluated(make_data, make_model, make_trainer, split="val", evaluator=None):
    model = make_model()
    trainer = make_trainer(max_epochs=1)
    if evaluator:
        trainer.callbacks[0] = evaluator
    data = make_data(model)
    trainer.fit(model, data)
    (trainer.validate if split == "val" else trainer.test)(model, data, verbose=False)
    return trainer.callbacks[0].result, data, trainer, model


def test_errors_are_those_of_the_readers_labels(make_data, make_model, make_trainer) -> None:
    result, data, trainer, _ = evaluated(make_data, make_model, make_trainer)
    scheme = load_scheme(68)
    faces = data.faces("val")
    assert result.table.index.tolist() == list(range(len(faces))) == list(range(12))
    errors = []
    for row, face in enumerate(faces):
        np.testing.assert_allclose(result.table.landmarks[row].numpy(), face.landmarks, atol=1e-2)
        np.testing.assert_allclose(result.table.box[row].numpy(), face.box, atol=1e-2)
        left, right = scheme.normalisers["inter_ocular"]
        distance = np.linalg.norm(face.landmarks[left[0]] - face.landmarks[right[0]])
        distances = np.linalg.norm(result.table.points[row, -1].numpy() - face.landmarks, axis=1)
        errors.append(100 * distances.mean() / distance)
    assert trainer.callback_metrics["val/nme_inter_ocular"].item() == pytest.approx(np.mean(errors), rel=1e-3)


def test_the_starting_shape_is_the_baseline(make_data, make_model, make_trainer) -> None:
    """DAN starts from the mean shape in the face box."""
    result, data, _, model = evaluated(make_data, make_model, make_trainer)
    from canthus.geometry import affine, boxes

    shape = model.network.mean_shape[None]
    for row, face in enumerate(data.faces("val")):
        box = torch.from_numpy(face.box).float()[None]
        placed = affine.apply(boxes.box_map(model.input.reference[None], box), shape)[0].numpy()
        left, right = load_scheme(68).normalisers["inter_ocular"]
        distance = np.linalg.norm(face.landmarks[left[0]] - face.landmarks[right[0]])
        nme = 100 * np.linalg.norm(placed - face.landmarks, axis=1).mean() / distance
        assert result.initial["full"][row].item() == pytest.approx(nme, rel=1e-3)
    assert result.summaries()["full"]["nme_initial"] == pytest.approx(result.initial["full"].mean().item())


def test_subsets_and_stages_are_logged_by_name(make_data, make_model, make_trainer) -> None:
    result, data, trainer, _ = evaluated(make_data, make_model, make_trainer, "test")
    attributes = set().union(*(face.attributes for face in data.faces("test")))
    assert attributes
    assert set(result.subsets) == {"full", *attributes}
    for name in attributes:
        expected = [name in face.attributes for face in data.faces("test")]
        assert result.subsets[name].index.tolist() == np.flatnonzero(expected).tolist()
        assert f"test/nme_inter_ocular_{name}" in trainer.callback_metrics
    assert {"test/auc", "test/failure_rate", "test/nme_inter_ocular_stage2"} <= set(trainer.callback_metrics)


def test_a_reduced_scheme_starts_where_its_points_are(make_data, make_model, make_trainer) -> None:
    """The face box is that of all 68 points, so the box of the 5 must not be stretched over it."""
    model = make_model(scheme=5)
    trainer = make_trainer(max_epochs=1)
    trainer.callbacks[0] = Evaluator("inter_pupil")
    data = make_data(model, scheme=5)
    trainer.fit(model, data)
    assert trainer.callbacks[0].result.summaries()["full"]["nme_initial"] < 40


def test_another_normaliser_changes_the_name(make_data, make_model, make_trainer) -> None:
    evaluator = Evaluator("inter_pupil", threshold=10)
    result, _, trainer, _ = evaluated(make_data, make_model, make_trainer, evaluator=evaluator)
    assert "val/nme_inter_pupil" in trainer.callback_metrics
    assert result.table.normaliser == "inter_pupil"


def test_an_unknown_normaliser_lists_the_known(make_data, make_model, make_trainer) -> None:
    with pytest.raises(ValueError, match="inter_ocular"):
        evaluated(make_data, make_model, make_trainer, evaluator=Evaluator("eyes"))


def test_a_face_on_which_the_model_diverges_is_reported(make_data, make_model, make_trainer, tmp_path) -> None:
    """The files are written and say how many; what checkpoints are chosen by is infinite."""
    from canthus.reporting.results import write_results

    class Diverging(Evaluator):
        def _add(self, outputs, batch) -> None:
            outputs["estimates"].points[-1][batch["index"] == 3] = float("nan")
            super()._add(outputs, batch)

    result, data, trainer, _ = evaluated(make_data, make_model, make_trainer, evaluator=Diverging())
    assert trainer.callback_metrics["val/nme_inter_ocular"].item() == float("inf")
    metrics = write_results(tmp_path, result, data, "dan", overlays=2)
    full = metrics["subsets"]["full"]
    found = result.table.found
    assert (full["faces"], full["missing"], int(found.sum())) == (12, 1, 11)
    assert full["nme"] == pytest.approx(result.table.nme[found, -1].mean().item())
    assert full["nme_initial"] == pytest.approx(result.initial["full"][found].mean().item())
    assert metrics["missing"] == {"treated": "failure", "faces": [str(data.faces("val")[3].image)]}
    assert "1 faces have no estimate" in (tmp_path / "summary.md").read_text()


def five_by_hand(points: np.ndarray) -> np.ndarray:
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


def test_five_of_68_predicted_points_over_the_labels_eye_corners(make_data, make_model, make_trainer, tmp_path) -> None:
    """What makes methods of five and of 68 points comparable: the same five points, the same distance."""
    whole, data, _, model = evaluated(make_data, make_model, make_trainer)
    reduced, trainer = make_data(model, scheme=5), make_trainer()
    trainer.callbacks[0] = evaluator = Evaluator("inter_ocular", normalisers="all")
    trainer.validate(model, reduced, verbose=False)
    table = evaluator.result.table
    assert table.points.shape[1:] == (2, 5, 2)
    for row, face in enumerate(data.faces("val")):
        truth = five_by_hand(face.landmarks)
        distance = np.linalg.norm(face.landmarks[36] - face.landmarks[45])
        for stage in range(2):
            points = five_by_hand(whole.table.points[row, stage].numpy())
            nme = 100 * np.linalg.norm(points - truth, axis=1).mean() / distance
            assert table.nme[row, stage].item() == pytest.approx(nme, rel=1e-3)
    assert set(evaluator.result.others) == {"inter_pupil", "box", "box_diagonal", "face_box", "face_box_diagonal"}
    assert trainer.callback_metrics["val/nme_inter_ocular"].item() == pytest.approx(table.nme[:, -1].mean().item())
    # subsets keep the distances of their own faces
    some = table.select(torch.arange(len(table)) % 2 == 1)
    torch.testing.assert_close(some.under("inter_ocular", data.scheme).nme, table.nme[1::2])


def test_points_that_a_model_does_not_place(make_data, make_model, make_trainer) -> None:
    model, trainer = make_model(scheme=5), make_trainer()
    with pytest.raises(DataError, match=r"data.scheme=68: the model places the points of scheme '5'"):
        trainer.validate(model, make_data(model), verbose=False)


def test_a_face_whose_labels_lack_the_normaliser(make_data, make_model, make_trainer) -> None:
    model = make_model(scheme=5)
    data, trainer = make_data(model, scheme=5), make_trainer()
    data.prepare_data()
    data.setup("validate")
    data.faces("val")[3].visibility[36:42] = [0, 2, 2, 2, 2, 2]
    with pytest.raises(DataError, match=r"normaliser=inter_ocular: .* not labelled on face\(s\) 3"):
        trainer.validate(model, data, verbose=False)


def test_a_face_without_labels_is_left_out_of_what_is_logged() -> None:
    """Errors of 10, nothing and 4 percent: 7."""
    box = torch.tensor([[0.0, 0.0, 100.0, 100.0]]).repeat(3, 1)
    landmarks = torch.full((3, 68, 2), 50.0)
    points = (
        landmarks[:, None]
        + torch.tensor([[[20.0, 0.0], [10.0, 0.0]], [[1.0, 0.0]] * 2, [[0.0, 6.0], [0.0, 4.0]]])[:, :, None]
    )
    visibility = torch.full((3, 68), 2)
    visibility[1] = 0
    table = FaceTable.build(torch.arange(3), points, landmarks, visibility, box, "face_box", load_scheme(68))
    members = {"first": torch.tensor([True, True, False]), "none": torch.tensor([False, True, False])}
    result = Evaluation.of("val", table, members, load_scheme(68), threshold=8.0)
    del result.subsets["none"]  # type: ignore[attr-defined]
    logged = Evaluator("face_box")._logged(result)
    expected = {"nme_face_box": 7.0, "nme_face_box_stage1": 13.0, "nme_face_box_stage2": 7.0}
    expected |= {"nme_face_box_first": 10.0, "auc": 25.0, "failure_rate": 50.0}  # (0 + 4 / 8) / 2, one of two above 8
    assert logged == pytest.approx(expected)
