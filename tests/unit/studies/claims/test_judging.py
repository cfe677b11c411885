"""From files of evaluations to verdicts: a claim that is true by construction, a false one, and one left open."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from canthus.evaluation.files import Prediction, write_errors, write_metrics_json, write_predictions
from canthus.reporting.claims import write_claims
from canthus.studies.claims.config import Quantity, read_claim
from canthus.studies.claims.figures import Correlated, Detected, Draws, Fixed, Mean, Verified
from canthus.studies.claims.measuring import judged
from canthus.studies.claims.rule import verdict_of_claim, verdict_of_contrast
from canthus.utils.errors import DataError

FACES, SEEDS = 60, (0, 1, 2)


@dataclass
class Places:
    root: Path

    def run(self, arm: str, seed: int) -> Path:
        return self.root / f"{arm}-{seed}"

    def evaluation(self, arm: str, seed: int, quantity: Quantity) -> Path:
        return self.run(arm, seed)

    def study(self, kind: str, seed: int) -> Path:
        return self.root / f"{kind}-{seed}"


def evaluated(folder: Path, errors: np.ndarray, mouth: np.ndarray | None = None) -> None:
    """Files of an evaluation with (N, S) errors; the first half of the faces are turned by 40 degrees."""
    yaw = np.where(np.arange(len(errors)) < len(errors) / 2, -40.0, 5.0)
    rows = [
        Prediction(i, f"{i}.jpg", str(i), "a" if i % 2 else "b", frozenset(), np.zeros(4), error, np.zeros((2, 2)))
        for i, error in enumerate(errors)
    ]
    write_predictions(folder / "predictions.csv", rows)
    columns = {"mouth_outer": errors if mouth is None else mouth, "inter_pupil": 2 * errors, "yaw": yaw}
    write_errors(folder / "errors.csv", np.arange(len(errors)), columns)
    subset = {"faces": len(errors), "nme": 1.0, "nme_per_stage": [1.0], "auc": 1.0, "failure_rate": 0.0}
    write_metrics_json(
        folder / "metrics.json", model="m", data="d", normaliser="inter_ocular", threshold=8.0, subsets={"full": subset}
    )


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Two arms, three seeds: `good` is better than `bad` by 1 and, after its first stage, no better."""
    random = np.random.default_rng(0)
    faces = random.gamma(4, 1, FACES)
    for seed in SEEDS:
        for arm, errors in (("good", (1.0, 0.0)), ("bad", (1.0, 1.0))):
            noise = 0.05 * random.standard_normal() + 0.1 * random.standard_normal((FACES, 2))
            evaluated(tmp_path / f"{arm}-{seed}", 4 + faces[:, None] + np.array(errors) + noise)
    return Places(tmp_path)


def claim(tmp_path: Path, *contrasts: dict, **changes):
    content = {
        "model": "dan", "paper": "p", "place": "t", "claim": "c", "measured": "m", "effect": 0.2,
        "arms": {"good": {"train": ["x=1"]}, "bad": {"train": ["x=2"]}}, "contrasts": list(contrasts), **changes,
    }  # fmt: skip
    (tmp_path / "claim.yaml").write_text(yaml.safe_dump(content))
    return read_claim(tmp_path / "claim.yaml")


GOOD, BAD = {"arm": "good"}, {"arm": "bad"}


@pytest.mark.parametrize(
    ("contrasts", "verdict"),
    [
        ([{"better": GOOD, "worse": BAD}], "holds"),
        ([{"better": BAD, "worse": GOOD}], "does not hold"),
        ([{"better": GOOD | {"stage": 1}, "worse": BAD | {"stage": 1}}], "does not hold"),  # no difference worth naming
        ([{"better": GOOD, "worse": BAD}, {"better": BAD, "worse": GOOD}], "holds in part"),
        ([{"better": BAD, "worse": GOOD, "allowed": 2.0}], "holds"),
        ([{"better": GOOD, "worse": BAD, "effect": 1.5}], "does not hold"),
        ([{"better": GOOD, "worse": BAD, "effect": 1.0}], None),
    ],
)
def test_verdicts(contrasts: list[dict], verdict: str | None, places: Places, tmp_path: Path) -> None:
    found = judged(claim(tmp_path, *contrasts), places, SEEDS, command="x")
    assert found.source == "3 trainings (seeds 0, 1, 2), 60 test faces"
    assert found.verdict == verdict or (verdict is None and found.verdict in ("holds", "not shown"))
    low, high = found.contrasts[0].interval
    assert low < found.contrasts[0].difference < high


def test_the_same_files_give_the_same_bytes(places: Places, tmp_path: Path) -> None:
    config = claim(tmp_path, {"better": GOOD, "worse": BAD})
    for name in "ab":
        write_claims(tmp_path / f"{name}.json", [judged(config, places, SEEDS, command="x")])
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_one_seed_shows_nothing(places: Places, tmp_path: Path) -> None:
    found = judged(claim(tmp_path, {"better": GOOD, "worse": BAD}), places, (0,), command="x")
    assert (found.verdict, found.contrasts[0].interval) == ("not shown", None)
    assert found.source.startswith("1 training (seed 0)")


def test_regions_parts_yaw_and_other_normalisers(places: Places, tmp_path: Path) -> None:
    """Each takes its own faces and its own column."""
    shared = {"better": GOOD, "worse": BAD}
    plain = judged(claim(tmp_path, shared), places, SEEDS, command="x").contrasts[0]
    pupil = judged(claim(tmp_path, shared, measure={"normaliser": "inter_pupil"}), places, SEEDS, command="x")
    assert pupil.contrasts[0].difference == pytest.approx(2 * plain.difference, abs=1e-3)
    assert pupil.contrasts[0].unit == "% of inter-pupil"
    for measure in ({"yaw": [30, 90]}, {"part": "a"}, {"yaw": [0, 30]}):
        found = judged(claim(tmp_path, shared, measure=measure), places, SEEDS, command="x").contrasts[0]
        assert found.units == FACES // 2
        assert found.means != plain.means
    evaluated(places.run("good", 0), np.full((FACES, 2), 9.0), mouth=np.full((FACES, 2), 3.0))
    found = judged(claim(tmp_path, shared, measure={"region": "mouth_outer"}), places, (0,), command="x").contrasts[0]
    assert found.seeds["0"][0] == 3.0


def test_what_one_arm_gains_on_another(places: Places, tmp_path: Path) -> None:
    gain = {"better": {"arm": "bad", "less": "good"}, "worse": {"arm": "bad", "less": "good", "stage": 1}}
    found = judged(claim(tmp_path, gain, side="higher"), places, SEEDS, command="x")
    first, second = found.contrasts[0].means
    assert (round(first), abs(round(second)), found.verdict) == (1, 0, "holds")
    assert found.contrasts[0].better == "bad less good"


def test_a_face_that_one_training_lost_counts_in_none(places: Places, tmp_path: Path) -> None:
    errors = np.full((FACES, 2), 1.0)
    errors[0] = np.inf
    evaluated(places.run("good", 1), errors)
    found = judged(claim(tmp_path, {"better": GOOD, "worse": BAD}), places, SEEDS, command="x").contrasts[0]
    assert found.units == FACES - 1
    assert found.seeds["1"][0] == 1.0


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ({"stage": 3}, "stage 3 of good, which has 2"),
        ({"region": "nose"}, "no column nose_stage_2"),
        ({"region": "mouth_outer", "normaliser": "box"}, "regions are measured in % of inter_ocular"),
        ({"yaw": [80, 90]}, "no test face is good, yaw 80 to 90"),
    ],
)
def test_what_the_results_do_not_have(measure: dict, message: str, places: Places, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        judged(claim(tmp_path, {"better": GOOD, "worse": BAD}, measure=measure), places, SEEDS, command="x")


def test_other_faces_are_not_compared(places: Places, tmp_path: Path) -> None:
    evaluated(places.run("good", 1), np.ones((FACES + 1, 2)))
    with pytest.raises(DataError, match="not measured on the same faces"):
        judged(claim(tmp_path, {"better": GOOD, "worse": BAD}), places, SEEDS, command="x")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "does not hold"], "holds in part"),
        (["holds", "not shown"], "holds in part"),
        (["does not hold", "not shown"], "not shown"),
        (["does not hold", "does not hold"], "does not hold"),
    ],
)
def test_a_claim_of_several_contrasts(verdicts: list[str], expected: str) -> None:
    assert verdict_of_claim(verdicts) == expected


@pytest.mark.parametrize(
    ("difference", "interval", "effect", "allowed", "expected"),
    [
        (1.0, (0.5, 1.5), 0.2, 0, "holds"),
        (0.1, (0.05, 0.3), 0.2, 0, "not shown"),
        (0.1, (0.05, 0.15), 0.2, 0, "does not hold"),
        (-0.5, (-0.9, -0.1), 0.0, 0, "does not hold"),
        (0.0, (0.0, 0.0), 0.0, 0, "does not hold"),
        (1.0, (-0.5, 2.5), 0.2, 0, "not shown"),
        (-0.5, (-0.9, -0.1), 0.0, 1.0, "holds"),
        (-1.5, (-2.0, -1.2), 0.0, 1.0, "does not hold"),
        (9.0, None, 0.2, 0, "not shown"),
    ],
)
def test_a_contrast(difference, interval, effect, allowed, expected) -> None:
    assert verdict_of_contrast(difference, interval, effect, allowed) == expected


def test_the_same_units_are_drawn_alike() -> None:
    draws = Draws(resamples=20)
    first = draws.of(("a", "b", "c"))
    assert (Draws(resamples=20).of(("a", "b", "c")) == first).all()
    assert (first.sum(1) == 3).all()
    mean = Mean(("a", "b", "c"), np.array([1.0, 4.0, np.nan]))
    assert mean.value == 2.5
    expected = (first[:, 0] + 4 * first[:, 1]) / (first[:, 0] + first[:, 1])
    np.testing.assert_allclose(mean.resampled(draws), expected)


def test_average_precision_counts_an_image_as_often_as_it_is_drawn() -> None:
    """Two images with a face each: one is found with the surest box, in the other a false box is surer than none."""
    found = {"faces": np.array([1.0, 1.0]), "image": np.array([0, 1, 1]), "score": np.array([0.9, 0.8, 0.3])}
    made = {
        kind: Detected(kind, ("a", "b"), match=np.array([1, 0, 1]), **found)
        for kind in ("average_precision", "recall", "boxes")
    }
    # precision 1 up to half of the faces, 2 of 3 for the others
    assert made["average_precision"].value == pytest.approx(100 * (1 + 2 / 3) / 2, abs=0.2)
    assert (made["recall"].value, made["boxes"].value) == (100, 1.5)
    draws = Draws(resamples=50)
    counts = draws.of(("a", "b"))
    np.testing.assert_allclose(made["boxes"].resampled(draws), (counts @ np.array([1, 2])) / 2)
    first = made["average_precision"].resampled(draws)[counts[:, 0] == 2]
    np.testing.assert_allclose(first, 100)
    second = made["average_precision"].resampled(draws)[counts[:, 1] == 2]
    np.testing.assert_allclose(second, 50)


def test_detections_are_read_by_stage(places: Places, tmp_path: Path) -> None:
    stages = [{"image": [0, 0, 1], "score": [0.9, 0.8, 0.7], "match": [1, 0, 1]}]
    stages += [{"image": [0, 1], "score": [0.9, 0.7], "match": [1, 1]}]
    for seed in SEEDS:
        content = {"images": ["a", "b"], "faces": [1, 1], "iou": 0.5, "stages": stages}
        (places.run("good", seed) / "detections.json").write_text(json.dumps(content))
    contrast = {"better": GOOD | {"stage": 2}, "worse": GOOD | {"stage": 1}}
    found = judged(claim(tmp_path, contrast, measure={"kind": "boxes"}), places, SEEDS, command="x")
    assert (found.contrasts[0].means, found.source[-13:]) == ([1.0, 1.5], "2 test images")


def test_verification_draws_persons(tmp_path: Path, places: Places) -> None:
    for seed in SEEDS:
        right = {"ground truth": [1, 1, 1, 0], "good-0": [1, 1, 0, 0], f"good-{seed}": [1, 0, 1, 1], "good-9": [0] * 4}
        content = {"persons": 3, "of_pairs": [[0, 1, 0, 1], [0, 1, 1, 2]], "same": [1, 1, 0, 0], "right": right}
        (tmp_path / f"verification-{seed}").mkdir()
        (tmp_path / f"verification-{seed}/verification.json").write_text(json.dumps(content))
    contrast = {"better": {"arm": "labels"}, "worse": GOOD}
    found = judged(claim(tmp_path, contrast, measure={"kind": "verification"}), places, (1, 2), command="x").contrasts[
        0
    ]
    assert found.means == [75.0, 75.0]
    one = Verified(("a", "b"), np.array([[0, 1], [0, 0]]), np.array([True, False]), np.array([100.0, 0.0]))
    draws = Draws(resamples=30)
    counts = draws.of(("a", "b"))
    both = (counts > 0).all(1)
    assert set(one.resampled(draws)[both]) == {50.0}
    assert np.isnan(one.resampled(draws)[~both]).all()


def test_rank_correlation_is_spearman_s() -> None:
    from scipy.stats import spearmanr

    random = np.random.default_rng(1)
    first, second = random.random(6), random.random(6)
    figure = Correlated([Fixed(v) for v in first], [Fixed(v) for v in second])
    assert figure.value == pytest.approx(spearmanr(first, second).statistic)
    assert figure.resampled(Draws(resamples=3)) == pytest.approx([figure.value] * 3)
