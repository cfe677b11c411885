"""Every public number of one small run, computed anew from the points alone: no arithmetic of canthus is asked.

The points of all stages come from `canthus.load`, which shares no code with an evaluation but the network and the crop;
labels come from the reader; all that is done with them here is plain NumPy.
"""

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import canthus
from canthus.data.synthetic import Synthetic
from canthus.reporting.sweep import write_sweep
from canthus.runs.jobs import Job
from tests.helpers.nasty import HTMLPage, MarkdownPage

REGIONS = {
    "jaw": range(17), "brow_left": range(17, 22), "brow_right": range(22, 27), "nose_bridge": range(27, 31),
    "nose_base": range(31, 36), "eye_left": range(36, 42), "eye_right": range(42, 48), "mouth_outer": range(48, 60),
    "mouth_inner": range(60, 68),
}  # fmt: skip
STAGES = 2
WORDS = ("data.size=100", "split=test")


@dataclass(frozen=True)
class Golden:
    """An evaluation and what its numbers have to be.

    Attributes:
        folder: of the evaluation.
        threshold: percent.
        faces: of the reader.
        points: (N, S, K, 2) of `canthus.load`.
        start: (N, K, 2) where the cascade begins.
    """

    folder: Path
    threshold: float
    faces: list
    points: np.ndarray
    start: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """(N, K, 2)."""
        return np.stack([face.landmarks for face in self.faces])

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4)."""
        return np.stack([face.box for face in self.faces])

    @property
    def metrics(self) -> dict:
        """As written."""
        return json.loads((self.folder / "metrics.json").read_text())

    def subsets(self) -> dict[str, np.ndarray]:
        """Rows of the faces with an attribute; of all of them first."""
        names = sorted(set().union(*(face.attributes for face in self.faces)))
        found = {"full": np.arange(len(self.faces))}
        return found | {name: np.array([i for i, f in enumerate(self.faces) if name in f.attributes]) for name in names}

    def distances(self) -> dict[str, np.ndarray]:
        """Normaliser -> (N,) pixels."""
        labels, boxes = self.labels, self.boxes
        low, high = labels.min(1), labels.max(1)
        tight, given = high - low, boxes[:, 2:] - boxes[:, :2]
        eyes = labels[:, 36:42].mean(1) - labels[:, 42:48].mean(1)
        return {
            "inter_ocular": np.hypot(*(labels[:, 36] - labels[:, 45]).T),
            "inter_pupil": np.hypot(*eyes.T),
            "box": np.sqrt(tight[:, 0] * tight[:, 1]),
            "box_diagonal": np.hypot(*tight.T),
            "face_box": np.sqrt(given[:, 0] * given[:, 1]),
            "face_box_diagonal": np.hypot(*given.T),
        }

    def errors(self, points: np.ndarray, normaliser: str = "inter_ocular", counted: np.ndarray | None = None):
        """(N,) percent of one stage: the mean distance of the counted points of each face."""
        apart = np.sqrt(((points - self.labels) ** 2).sum(-1))
        counted = np.ones_like(apart, dtype=bool) if counted is None else counted
        means = [row[mask].mean() if mask.any() else np.nan for row, mask in zip(apart, counted, strict=True)]
        return 100 * np.array(means) / self.distances()[normaliser]

    def numbers(self, rows: np.ndarray) -> dict:
        """What metrics.json has to say about some faces."""
        stages = [self.errors(self.points[:, stage])[rows] for stage in range(STAGES)]
        last = stages[-1]
        seen = np.stack([face.visibility == 2 for face in self.faces])
        hidden = np.stack([face.visibility == 1 for face in self.faces])[rows]
        content = {
            "faces": len(rows),
            "nme_per_stage": [errors.mean() for errors in stages],
            "nme": last.mean(),
            "nme_initial": self.errors(self.start)[rows].mean(),
            "auc": 100 * np.mean([max(0.0, 1 - error / self.threshold) for error in last]),
            "failure_rate": 100 * sum(error > self.threshold for error in last) / len(last),
            "other_normalisers": {
                name: {"nme_per_stage": [self.errors(self.points[:, s], name)[rows].mean() for s in range(STAGES)]}
                for name in list(self.distances())[1:]
            },
        }
        for numbers in content["other_normalisers"].values():
            numbers["nme"] = numbers["nme_per_stage"][-1]
        if hidden.any():
            visible = self.errors(self.points[:, -1], counted=seen)[rows]
            content["visible_only"] = {"faces": int((~np.isnan(visible)).sum()), "nme": np.nanmean(visible)}
        return content


def start_of(run: Path, boxes: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(N, K, 2) the network's mean shape, with the reference box laid over each face box."""
    shape = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]["network.mean_shape"].numpy()
    placed = []
    for box in boxes:
        scale = ((box[2:] - box[:2]) / (reference[2:] - reference[:2])).mean()
        placed.append((shape - (reference[:2] + reference[2:]) / 2) * scale + (box[:2] + box[2:]) / 2)
    return np.stack(placed)


@pytest.fixture(scope="module")
def golden(trained: Path, run_command, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    folder = tmp_path_factory.mktemp("golden") / "evaluation"
    with (trained / "predictions.csv").open(newline="") as file:
        threshold = round(float(np.median([float(row["nme_stage_1"]) for row in csv.DictReader(file)])), 2)
    words = [*WORDS, "checkpoint=last", "normalisers=all", f"threshold={threshold}", "overlays=3", f"output={folder}"]
    assert run_command("evaluate", f"run={trained}", *words) == 0
    reader = Synthetic(size=100, resolution=128)
    faces = reader.faces(["test"])
    locate = canthus.load(trained, detector=None, checkpoint="last", device="cpu")
    points = np.stack([locate(reader.pixels(face.image), boxes=face.box)[0].stages for face in faces])
    reference = np.array(locate.predictor.model.input.reference_box)
    boxes = np.stack([face.box for face in faces])
    return Golden(folder, threshold, faces, points.astype(np.float64), start_of(trained, boxes, reference))


def test_predictions_csv(golden: Golden) -> None:
    with (golden.folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(20)) == list(range(len(golden.faces)))
    errors = np.stack([golden.errors(golden.points[:, stage]) for stage in range(STAGES)], 1)
    assert np.abs(errors[:, 0] - errors[:, 1]).min() > 1e-3  # the stages can be told apart
    for row, face, points, nme in zip(rows, golden.faces, golden.points, errors, strict=True):
        assert (row["image"], row["photo"], row["part"]) == (str(face.image), face.photo, face.part)
        assert row["attributes"] == ";".join(sorted(face.attributes))
        np.testing.assert_allclose([float(row[f"box_{c}"]) for c in ("x1", "y1", "x2", "y2")], face.box, atol=1e-3)
        np.testing.assert_allclose([float(row[f"nme_stage_{s + 1}"]) for s in range(STAGES)], nme, rtol=2e-3)
        written = np.array([[float(row[f"x{k}"]), float(row[f"y{k}"])] for k in range(68)])
        np.testing.assert_allclose(written, points[-1], atol=0.06)  # where crops are interpolated
        # what is written holds together by itself, too
        apart = np.hypot(*(written - face.landmarks).T).mean()
        distance = np.hypot(*(face.landmarks[36] - face.landmarks[45]))
        assert float(row["nme_stage_2"]) == pytest.approx(100 * apart / distance, abs=2e-3)


def close(written: object, expected: object, place: str) -> None:
    """Compare nested numbers."""
    if isinstance(expected, dict):
        assert isinstance(written, dict), place
        for key, value in expected.items():
            close(written[key], value, f"{place}.{key}")
    elif isinstance(expected, list):
        assert len(written) == len(expected), place  # type: ignore[arg-type]
        for number, (one, other) in enumerate(zip(written, expected, strict=True)):  # type: ignore[call-overload]
            close(one, other, f"{place}[{number}]")
    else:
        assert written == pytest.approx(expected, rel=2e-3, abs=1e-6), place


def test_metrics_json(golden: Golden) -> None:
    metrics, subsets = golden.metrics, golden.subsets()
    assert list(metrics["subsets"]) == list(subsets)
    assert len(subsets) > 2
    for name, rows in subsets.items():
        written, expected = metrics["subsets"][name], golden.numbers(rows)
        close(written, expected, name)
        if len(rows) > 1:
            low, high = written["nme_interval"]
            errors = golden.errors(golden.points[:, -1])[rows]
            half = 1.96 * errors.std(ddof=1) / np.sqrt(len(rows))  # what a bootstrap is about
            assert low < errors.mean() < high
            assert 0.5 * half < (high - low) / 2 < 1.5 * half or len(rows) < 8
        assert set(written) == {*expected, *({"nme_interval"} if len(rows) > 1 else ())}
    regions = {}
    for name, chosen in REGIONS.items():
        mask = np.zeros((len(golden.faces), 68), dtype=bool)
        mask[:, list(chosen)] = True
        regions[name] = [golden.errors(golden.points[:, stage], counted=mask).mean() for stage in range(STAGES)]
    close(metrics["regions"], regions, "regions")
    assert list(metrics["regions"]) == list(regions)
    assert (metrics["data"], metrics["split"], metrics["scheme"]) == ("synthetic", "test", "68")
    assert (metrics["normaliser"], metrics["threshold"]) == ("inter_ocular", golden.threshold)


def shown(value: float) -> str:
    return f"{value:.2f}"


def matches(cells: list[str], values: list[float]) -> bool:
    """Numbers with two decimals: what the points give, to the last digit or one beside it."""
    return len(cells) == len(values) and all(
        abs(float(cell) - value) <= 0.0051 + 2e-3 * abs(value) for cell, value in zip(cells, values, strict=True)
    )


def test_summary_md(golden: Golden) -> None:
    rows = MarkdownPage((golden.folder / "summary.md").read_text()).rows
    head = next(number for number, row in enumerate(rows) if row[:2] == ["subset", "faces"])
    t = f"{golden.threshold:g}"
    assert rows[head] == [
        "subset", "faces", "NME start", "NME stage 1", "NME stage 2", "95 % interval", f"AUC@{t}", f"FR@{t}",
    ]  # fmt: skip
    for row, (name, faces) in zip(rows[head + 1 :], golden.subsets().items(), strict=False):
        expected = golden.numbers(faces)
        assert row[:2] == [name, str(len(faces))]
        assert matches(row[2:5], [expected["nme_initial"], *expected["nme_per_stage"]]), row
        assert matches(row[6:], [expected["auc"], expected["failure_rate"]]), row
        interval = golden.metrics["subsets"][name].get("nme_interval")
        assert row[5] == (" to ".join(map(shown, interval)) if interval else "-")
    head = next(number for number, row in enumerate(rows) if row[:2] == ["subset", "NME % of inter_ocular"])
    others = list(golden.distances())[1:]
    assert rows[head][2:7] == [f"NME % of {name}" for name in others]
    for row, (name, faces) in zip(rows[head + 1 :], golden.subsets().items(), strict=False):
        expected = golden.numbers(faces)
        values = [expected["nme"], *(expected["other_normalisers"][other]["nme"] for other in others)]
        assert row[0] == name
        assert matches(row[1:7], values), row
        if "visible_only" in expected:
            assert matches(row[7:], [expected["visible_only"]["nme"]]), row
    head = next(number for number, row in enumerate(rows) if row[0] == "region")
    assert rows[head] == ["region", "NME stage 1", "NME stage 2"]
    for row, (name, values) in zip(rows[head + 1 :], golden.metrics["regions"].items(), strict=False):
        assert row == [name, *map(shown, values)]


def table_of(text: str, key: str) -> list[list[str]]:
    """Texts of the cells of a table of the page, row by row."""

    class Cells(HTMLPage):
        rows: list[list[str]] = []  # noqa: RUF012 - set anew below
        inside = cell = False

        def handle_starttag(self, tag, attrs):
            super().handle_starttag(tag, attrs)
            self.inside = self.inside or (tag == "table" and dict(attrs)["aria-labelledby"].endswith(f"-{key}-caption"))
            if self.inside and tag == "tr":
                self.rows.append([])
            if self.inside and tag in ("td", "th"):
                self.cell = True
                self.rows[-1].append("")

        def handle_endtag(self, tag):
            super().handle_endtag(tag)
            self.inside = self.inside and tag != "table"
            self.cell = self.cell and tag not in ("td", "th")

        def handle_data(self, data):
            super().handle_data(data)
            if self.inside and self.cell:
                self.rows[-1][-1] = (self.rows[-1][-1] + data.strip()).strip()

    Cells.rows = []
    return Cells(text).rows


def test_report_page(golden: Golden, run_command, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    assert run_command("report", f"runs={golden.folder}", f"output={output}", "measure=false") == 0
    rows = table_of(output.read_text(encoding="utf-8"), "results")
    names = rows[0]
    at = {name: names.index(name) for name in ("subset", "faces", "NME", "start", "stage 1", "stage 2")}
    t = f"{golden.threshold:g}"
    at |= {name: names.index(f"{name}@{t}") for name in ("AUC", "FR")}
    body = {row[at["subset"]]: row for row in rows[1:]}
    assert list(body) == list(golden.subsets())
    with output.with_suffix(".csv").open(newline="") as file:
        table = {row["subset"]: row for row in csv.DictReader(file)}
    for name, faces in golden.subsets().items():
        expected = golden.numbers(faces)
        values = [expected[key] for key in ("nme", "nme_initial")] + expected["nme_per_stage"]
        values += [expected["auc"], expected["failure_rate"]]
        order = ("NME", "start", "stage 1", "stage 2", "AUC", "FR")
        assert matches([body[name][at[key]] for key in order], values), name
        assert body[name][at["faces"]] == table[name]["faces"] == str(len(faces))
        order = ("nme", "nme_initial", "nme_stage_1", "nme_stage_2", "auc", "failure_rate")
        np.testing.assert_allclose([float(table[name][key]) for key in order], values, rtol=2e-3, atol=1e-6)


def test_sweep_csv(golden: Golden, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two jobs with the records of real runs; the second with other faces."""
    for number, keep in ((0, len(golden.faces)), (1, 7)):
        job = Job(number, [f"seed={number}"], "finished", "val/nme_inter_ocular", score=1.5 + number, seconds=2.0)
        shutil.copytree(golden.folder, tmp_path / str(number))
        job.write(tmp_path / str(number))
        metrics = golden.metrics
        metrics["subsets"]["full"] = golden.numbers(np.arange(keep))
        (tmp_path / str(number) / "metrics.json").write_text(json.dumps(metrics))
    jobs = [Job.read(tmp_path / str(number)) for number in (0, 1)]
    assert write_sweep(tmp_path, jobs) == 0
    with (tmp_path / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, keep in zip(rows, (len(golden.faces), 7), strict=True):
        expected = golden.numbers(np.arange(keep))
        written = [float(row[key]) for key in ("nme_stage1", "nme_stage2", "auc", "failure_rate")]
        values = [*expected["nme_per_stage"], expected["auc"], expected["failure_rate"]]
        np.testing.assert_allclose(written, values, rtol=1e-5)
    assert [(row["job"], row["seed"], row["val/nme_inter_ocular"]) for row in rows] == [
        ("0", "0", "1.5"),
        ("1", "1", "2.5"),
    ]


def test_metrics_csv_of_the_training(trained: Path) -> None:
    """The epoch that was kept has the figures of the run's own evaluation."""
    with (trained / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    metrics = json.loads((trained / "metrics.json").read_text())
    best = [float(row["val/nme_inter_ocular"]) for row in rows]
    full = metrics["subsets"]["full"]
    assert min(abs(value - full["nme"]) for value in best) < 1e-4
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert [int(row["epoch"]) for row in rows] == list(range(config["trainer"]["max_epochs"]))
