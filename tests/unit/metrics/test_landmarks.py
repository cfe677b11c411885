import json
import math
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch import distributed as dist
from torch import multiprocessing as mp

from canthus.metrics import (
    AreaUnderCurve,
    CumulativeErrorDistribution,
    FaceErrors,
    FaceTable,
    FailureRate,
    NormalisedMeanError,
    area_under_curve,
    cumulative_error,
    failure_rate,
    nme_per_face,
    normaliser_distance,
    point_errors,
)
from canthus.schemes import load_scheme

COLUMNS = ("index", "points", "landmarks", "visibility", "box", "distance", "nme", "found")


def faces(n: int = 7, stages: int = 2, k: int = 68) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    landmarks = 100 + 30 * torch.randn(n, k, 2, generator=generator, dtype=torch.float64)
    offsets = torch.randn(n, stages, k, 2, generator=generator, dtype=torch.float64)
    visibility = torch.randint(0, 3, (n, k), generator=generator).to(torch.uint8)
    visibility[:, 36:48] = 2
    landmarks[visibility == 0] = math.nan
    return {
        "index": torch.arange(n),
        "points": landmarks.nan_to_num()[:, None] + offsets * torch.tensor([4.0, 2.0])[:stages, None, None],
        "landmarks": landmarks,
        "visibility": visibility,
        "box": torch.tensor([50.0, 60.0, 150.0, 180.0], dtype=torch.float64).expand(n, 4),
    }


def rows(batch: dict[str, Tensor], chosen: list[int]) -> dict[str, Tensor]:
    return {name: value[chosen] for name, value in batch.items()}


def same(one: FaceTable, other: FaceTable) -> None:
    assert one.normaliser == other.normaliser
    for name in COLUMNS:
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0, equal_nan=True)


def table(**options) -> FaceTable:
    metric = FaceErrors("68", **options)
    metric.update(**faces())
    return metric.compute()


def test_table_holds_the_measured_faces():
    batch, result = faces(), table()
    distance = normaliser_distance(
        batch["landmarks"], batch["visibility"], batch["box"], "inter_ocular", load_scheme("68")
    )
    nme = nme_per_face(point_errors(batch["points"], batch["landmarks"]), batch["visibility"], distance)
    assert result.normaliser == "inter_ocular"
    assert len(result) == 7
    torch.testing.assert_close(result.nme, nme)
    torch.testing.assert_close(result.distance, distance)
    torch.testing.assert_close(result.points, batch["points"])


def test_order_batches_and_repetitions_do_not_matter():
    batch = faces()
    metric = FaceErrors("68")
    for chosen in ([6, 2], [4, 0, 3], [2, 5, 1, 1]):
        metric.update(**rows(batch, chosen))
    same(metric.compute(), table())


def test_the_first_of_repeated_faces_stays():
    batch = faces(1)
    metric = FaceErrors("68")
    metric.update(**batch)
    metric.update(**{**batch, "points": batch["points"] + 50})
    torch.testing.assert_close(metric.compute().points, batch["points"])


def test_a_single_face_keeps_its_axes():
    metric = FaceErrors("68")
    metric.update(**faces(1, stages=1))
    for result in (metric.compute(), metric.compute()):
        assert result.index.shape == (1,)
        assert result.nme.shape == (1, 1)


def test_scalar_metrics_are_the_functions():
    nme = table().nme
    batch = faces()
    cases = [
        (NormalisedMeanError("68"), nme[:, -1].mean()),
        (NormalisedMeanError("68", stage=0), nme[:, 0].mean()),
        (AreaUnderCurve("68"), area_under_curve(nme[:, -1], 8.0)),
        (AreaUnderCurve("68", threshold=5.0, stage=0), area_under_curve(nme[:, 0], 5.0)),
        (FailureRate("68", threshold=6.0), failure_rate(nme[:, -1], 6.0)),
        (CumulativeErrorDistribution("68", thresholds=[9.0, 4.0]), cumulative_error(nme[:, -1], torch.tensor([9, 4]))),
    ]
    for metric, expected in cases:
        metric.update(**batch)
        torch.testing.assert_close(metric.compute(), expected)
    curve = CumulativeErrorDistribution("68")
    curve.update(**batch)
    assert curve.compute().shape == (101,)


def test_forward_gives_the_batch_and_keeps_the_whole():
    batch = faces()
    metric, errors = NormalisedMeanError("68"), FaceErrors("68")
    metric(**rows(batch, [0, 1, 2]))
    assert metric(**rows(batch, [3, 4, 5, 6])).item() == pytest.approx(table().nme[3:, -1].mean().item())
    assert metric.compute().item() == pytest.approx(table().nme[:, -1].mean().item())
    assert len(errors(**rows(batch, [0, 1]))) == 2
    errors(**rows(batch, [2, 3, 4, 5, 6]))
    same(errors.compute(), table())


def test_directions_for_checkpoints_and_sweeps():
    assert not NormalisedMeanError.higher_is_better
    assert not FailureRate.higher_is_better
    assert AreaUnderCurve.higher_is_better


def test_regions_share_the_distance():
    result, scheme = table(), load_scheme("68")
    regions = result.region_nme(scheme)
    assert list(regions) == list(scheme.regions)
    jaw = list(scheme.regions["jaw"])
    seen = (result.visibility[:, jaw] > 0)[:, None]
    errors = point_errors(result.points, result.landmarks)[..., jaw].nan_to_num()
    expected = 100 * (errors * seen).sum(-1) / seen.sum(-1) / result.distance[:, None]
    torch.testing.assert_close(regions["jaw"], expected)
    with pytest.raises(ValueError, match="'5' has 5 points and this table 68"):
        result.region_nme(load_scheme("5"))


def test_select():
    result = table()
    mask = result.index % 2 == 0
    chosen = result.select(mask)
    assert chosen.index.tolist() == [0, 2, 4, 6]
    assert chosen.normaliser == "inter_ocular"
    torch.testing.assert_close(chosen.nme, result.nme[::2])
    for wrong in (mask[:3], mask.long()):
        with pytest.raises(ValueError, match="boolean mask of the table's 7 faces"):
            result.select(wrong)


def test_summary_is_what_metrics_json_holds():
    result = table()
    summary = json.loads(json.dumps(result.summary(8.0)))
    assert list(summary) == ["faces", "nme", "nme_per_stage", "auc", "failure_rate"]
    assert summary["faces"] == 7
    assert summary["nme"] == summary["nme_per_stage"][-1] == pytest.approx(result.nme[:, -1].mean().item())
    assert summary["auc"] == pytest.approx(area_under_curve(result.nme[:, -1], 8.0).item())
    with pytest.raises(ValueError, match="no faces to measure"):
        result.select(torch.zeros(7, dtype=torch.bool)).summary(8.0)


def test_a_face_without_labels_is_not_counted():
    batch = faces()
    batch["visibility"][3] = 0
    metric = FaceErrors("68", "face_box")
    metric.update(**batch)
    result = metric.compute()
    assert result.nme[3].isnan().all()
    assert result.summary(8.0)["faces"] == 6
    assert result.summary(8.0)["nme"] == pytest.approx(result.nme[:, -1].nanmean().item())


def test_stages_may_change_between_epochs_only():
    metric = FaceErrors("68")
    metric.update(**faces(stages=1))
    with pytest.raises(ValueError, match=r"and 1 stage\(s\) they must be .*call reset\(\) between epochs"):
        metric.update(**faces(stages=2))
    metric.reset()
    metric.update(**faces(stages=2))
    assert metric.compute().nme.shape == (7, 2)


@pytest.mark.parametrize("metric", [FaceErrors, NormalisedMeanError, AreaUnderCurve])
def test_mistakes_are_named(metric):
    with pytest.raises(ValueError, match="'5' has no normaliser 'inter_ocular'; choose one of inter_pupil, box"):
        metric("5")
    with pytest.raises(ValueError, match="7, 67, 2"):
        metric("68").update(**faces(k=67))
    with pytest.warns(UserWarning, match="before the"), pytest.raises(ValueError, match="has seen no faces"):
        metric("68").compute()


def test_constructor_and_stage_mistakes():
    for metric in (AreaUnderCurve, FailureRate):
        with pytest.raises(ValueError, match=r"threshold -1.0 must be positive"):
            metric("68", threshold=-1.0)
    third = NormalisedMeanError("68", stage=2)
    third.update(**faces())
    with pytest.raises(ValueError, match=r"stage 2 does not exist; the estimates have 2 stage\(s\)"):
        third.compute()


def test_faces_without_the_normaliser_are_named_by_index():
    batch = faces()
    batch["index"] = torch.arange(7) + 20
    batch["visibility"][4, 36] = 0
    metric = FaceErrors("68")
    metric.update(**batch)
    with pytest.raises(ValueError, match=r"'inter_ocular' .* face\(s\) 24;"):
        metric.compute()


def test_pickling_and_moving_keep_the_state():
    metric = FaceErrors("68")
    metric.update(**faces())
    copy = pickle.loads(pickle.dumps(metric))
    same(copy.compute(), table())
    same(pickle.loads(pickle.dumps(copy)).compute(), table())  # with the computed table inside
    same(copy.clone().to("cpu").double().half().compute(), table())
    assert FaceErrors("68").to("meta").device.type == "meta"


def test_half_precision_estimates_and_graphs_are_not_kept():
    """Also where estimates and labels are of one low precision, which promotes to itself."""
    batch = faces()
    for kinds in ((torch.bfloat16, torch.bfloat16), (torch.float16, torch.float16), (torch.bfloat16, torch.float16)):
        points, landmarks = (batch[name].to(kind) for name, kind in zip(("points", "landmarks"), kinds, strict=True))
        metric = FaceErrors("68")
        metric.update(**{**batch, "points": points.requires_grad_(), "landmarks": landmarks})
        result = metric.compute()
        for column in (result.points, result.landmarks, result.box, result.distance, result.nme):
            assert column.dtype == torch.float32
            assert not column.requires_grad
        given, true = points.detach().double(), landmarks.double()
        seen = (batch["visibility"] > 0)[:, None]
        errors = torch.where(seen, (given - true[:, None]).norm(dim=-1), 0.0).sum(-1) / seen.sum(-1)
        expected = 100 * errors / (true[:, 45] - true[:, 36]).norm(dim=-1)[:, None]
        torch.testing.assert_close(result.nme.double(), expected, rtol=1e-5, atol=0)


def test_double_precision_is_kept():
    metric = FaceErrors("68")
    metric.update(**faces())
    assert metric.compute().points.dtype == torch.float64


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.set_num_threads(1)
    batch = faces()
    # a distributed sampler deals seven faces as 0 2 4 6 and 1 3 5 0: the first is repeated to make even
    mine = [[0, 2], [4, 6]] if rank == 0 else [[1, 3, 5], [0]]
    errors, nme = FaceErrors("68"), NormalisedMeanError("68")
    for chosen in mine:
        errors.update(**rows(batch, chosen))
        if chosen != [0]:  # here the processes hold different numbers of faces
            nme.update(**rows(batch, chosen))
    result = errors.compute()
    assert sum(len(index) for index in errors.index) == 4  # the local state is back after the exchange
    torch.save([{name: getattr(result, name) for name in COLUMNS}, nme.compute()], Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.timeout(300)
def test_two_processes_measure_what_one_measures(tmp_path):
    mp.start_processes(worker, (str(tmp_path),), nprocs=2, start_method="fork")  # spawned ones import for seconds
    single = table()
    for rank in range(2):
        columns, nme = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        same(FaceTable(**columns, normaliser="inter_ocular"), single)
        assert nme.item() == single.nme[:, -1].mean().item()


def test_another_normaliser_of_the_same_faces():
    expected = table(normaliser="box_diagonal")
    same(table().under("box_diagonal", load_scheme("68")), expected)
    with pytest.raises(ValueError, match="no normaliser 'eyes'"):
        table().under("eyes", load_scheme("68"))


def test_visible_points_alone():
    result = table()
    errors = point_errors(result.points, result.landmarks)
    seen = (result.visibility == 2)[:, None].expand_as(errors)
    expected = 100 * torch.where(seen, errors, 0).sum(-1) / seen.sum(-1) / result.distance[:, None]
    torch.testing.assert_close(result.visible_nme(), expected)
    assert (result.visible_nme() != result.nme).any()


def test_faces_without_an_estimate_fail_and_stay_out_of_the_mean():
    batch = faces()
    found = torch.tensor([True, False, True, True, False, True, True])
    batch["points"][~found] = math.nan
    options = {"normaliser": "inter_ocular", "scheme": load_scheme("68")}
    result = FaceTable.build(**batch, **options)
    expected, kept = table(), table().select(found)
    numbers = result.summary(8.0)
    assert (numbers["faces"], numbers["missing"]) == (7, 2)
    assert numbers["nme_per_stage"] == kept.summary(8.0)["nme_per_stage"]
    last = expected.nme[:, -1]
    assert numbers["failure_rate"] == pytest.approx(100 * (~found | (last > 8)).double().mean().item())
    assert numbers["auc"] == pytest.approx(kept.summary(8.0)["auc"] * 5 / 7)
    nothing = result.select(~found).summary(8.0)
    assert (nothing["nme"], nothing["nme_per_stage"], nothing["failure_rate"]) == (None, [None, None], 100.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_face_with_one_point_that_is_not_finite_is_not_found(value):
    """Even where the point is not labelled; the stage before keeps its error."""
    batch = faces()
    batch["points"][2, 1, 40, 0] = value
    batch["visibility"][2, 40] = 0
    result = FaceTable.build(**batch, normaliser="inter_ocular", scheme=load_scheme("68"))
    assert result.found.tolist() == [i != 2 for i in range(7)]
    assert result.nme[2, 0].isfinite()
    assert result.nme[2, 1] == math.inf == result.under("box", load_scheme("68")).nme[2, 1]
    numbers, others = result.summary(8.0), result.select(result.found).summary(8.0)
    assert (numbers["faces"], numbers["missing"]) == (7, 1)
    assert numbers["nme_per_stage"] == others["nme_per_stage"]
    assert numbers["auc"] == pytest.approx(others["auc"] * 6 / 7)
    assert numbers["failure_rate"] == pytest.approx((others["failure_rate"] * 6 + 100) / 7)
