"""What an evaluation reports beside the plain figures."""

import numpy as np
import pytest
import torch

from canthus.evaluation.evaluation import Evaluation
from canthus.evaluation.normalisers import other_normalisers
from canthus.metrics import FaceTable, bootstrap_interval, normaliser_names
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError

SCHEME = load_scheme(68)
KNOWN = normaliser_names(SCHEME)


def face_table(n: int = 9, *, occluded: bool = False, found: torch.Tensor | None = None) -> FaceTable:
    generator = torch.Generator().manual_seed(0)
    landmarks = 100 + 30 * torch.randn(n, 68, 2, generator=generator, dtype=torch.float64)
    points = landmarks[:, None] + torch.randn(n, 2, 68, 2, generator=generator, dtype=torch.float64)
    visibility = torch.full((n, 68), 2, dtype=torch.uint8)
    if occluded:
        visibility[: n - 1, :20] = 1
        visibility[n - 1] = 1
    if found is not None:
        points[~found] = torch.nan
    box = torch.tensor([50.0, 60.0, 150.0, 180.0], dtype=torch.float64).expand(n, 4)
    return FaceTable.build(torch.arange(n), points, landmarks, visibility, box, "inter_ocular", SCHEME)


def evaluation(table: FaceTable, **options) -> Evaluation:
    members = {"some": torch.arange(20) % 3 == 0, "none": torch.zeros(20, dtype=torch.bool)}
    return Evaluation.of("val", table, members, SCHEME, threshold=8.0, **options)


def test_report_adds_to_the_summaries() -> None:
    result = evaluation(face_table())
    assert list(result.subsets) == ["full", "some"]
    report = result.report()
    for name, numbers in result.summaries().items():
        assert numbers.items() <= report[name].items()
        assert report[name]["nme_interval"] == list(bootstrap_interval(result.subsets[name].nme[:, -1]))
        assert set(report[name]) == set(numbers) | {"nme_interval"}


def test_several_normalisers_each_under_its_name() -> None:
    table = face_table()
    report = evaluation(table, normalisers=("box", "inter_pupil")).report()
    for subset, rows in (("full", torch.arange(9)), ("some", torch.tensor([0, 3, 6]))):
        others = report[subset]["other_normalisers"]
        assert list(others) == ["box", "inter_pupil"]
        for name, numbers in others.items():
            expected = table.under(name, SCHEME).nme[rows].mean(0)
            assert numbers == {"nme": expected[-1].item(), "nme_per_stage": expected.tolist()}


def test_visible_only_where_some_points_are_occluded() -> None:
    table = face_table(occluded=True)
    visible = evaluation(table).report()["full"]["visible_only"]
    assert visible["faces"] == 8  # the last face has no visible point
    errors = torch.linalg.vector_norm(table.points[:8, -1, 20:] - table.landmarks[:8, 20:], dim=-1)
    assert visible["nme"] == pytest.approx((100 * errors.mean(1) / table.distance[:8]).mean().item())


def test_missing_faces_enter_no_mean() -> None:
    found = torch.tensor([True] * 7 + [False] * 2)
    whole, table = face_table(), face_table(found=found, occluded=True)
    full = evaluation(table, normalisers=("box",)).report()["full"]
    assert (full["faces"], full["missing"]) == (9, 2)
    assert full["nme"] == pytest.approx(whole.nme[found, -1].mean().item())
    assert full["nme_interval"] == list(bootstrap_interval(whole.nme[found, -1]))
    assert full["other_normalisers"]["box"]["nme"] == pytest.approx(whole.under("box", SCHEME).nme[found, -1].mean())
    assert np.isfinite(full["visible_only"]["nme"])


def test_normalisers_as_users_name_them() -> None:
    assert other_normalisers(["box", "inter_ocular", "box"], "inter_ocular", KNOWN) == ("box",)
    assert other_normalisers("box", "inter_ocular", KNOWN) == ("box",)
    assert other_normalisers(None, "inter_ocular", KNOWN) == ()
    every = other_normalisers("all", "box", KNOWN)
    assert every == ("inter_ocular", "inter_pupil", "box_diagonal", "face_box", "face_box_diagonal")
    with pytest.raises(DataError, match=r"normalisers=eyes: .*choose from inter_ocular, .*normalisers=all"):
        other_normalisers(["eyes"], "box", KNOWN)


def test_a_normaliser_that_a_face_does_not_have() -> None:
    table = face_table()
    table.visibility[4, 38] = 0
    with pytest.raises(DataError, match=r"normalisers=inter_pupil: .* face\(s\) 4;"):
        evaluation(table, normalisers=("inter_pupil",))
