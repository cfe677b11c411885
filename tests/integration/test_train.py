"""What a training run leaves, and that every shipped experiment runs."""

import csv
import json
import os
from pathlib import Path

import pytest
import torch

from canthus.runs.tuning import tuning
from canthus.utils.files import conf_path

TINY = {
    "dan": ["model.width=0.05", "model.statistics_faces=8"],
    "cfan": ["model.global_hidden=[8]", "model.local_hidden=[8]"],
    "dcnn": [],
    "facepose": ["model.backbone=test_resnet", "model.size=64", "model.statistics_faces=8"],
    "fan_zhou": ["model.width=0.05"],
    "san_small": [
        "model.width=0.05",
        "model.later_width=0.05",
        "steps.style.model.size=32",
        "steps.style.callbacks.clusters.minimum=0",
        "steps.gan.model.width=0.05",
        "steps.gan.model.blocks=1",
        *[
            f"steps.{step}.{word}"
            for step in ("style", "gan")
            for word in ("trainer.max_epochs=1", "data.batch_size=4")
        ],
    ],
    "mtcnn": ["data.landmark_faces=4", "data.scenes=2", "model.candidates=8"],
    "sdm": ["model.sizes=[40,40]", "model.perturbations=2", "data.scheme=5", "normaliser=inter_pupil"],
    "mdm": ["model.patch=10", "model.channels=2", "model.hidden=8", "model.projection=4"],
}
TINY["san"] = [
    *TINY["san_small"], "model.width=0.05", "model.size=32", "model.pretrained=false", "model.generator_width=0.05",
    "model.generator_blocks=1", "steps.gan.model.size=32", "steps.style.model.backbone=resnet10t",
    "steps.style.model.pretrained=false",
]  # fmt: skip
"""What makes each model small enough to be run in a second."""
EXPERIMENTS = sorted(path.stem for path in (Path(conf_path()) / "experiment").glob("*.yaml"))
QUICK = {"demo", "mtcnn_wider"} | {name for name in EXPERIMENTS if name.endswith("_cpu")}
"""Those that run in every test run: each model and step once; the others differ in sizes and lengths."""


def test_rates_fall_on_a_plateau(run_command, cache: Path, tmp_path: Path) -> None:
    """By the value that chooses the best epoch, without a word for it; the first validation is the yardstick."""
    status = run_command(
        "train", "data=synthetic", "trainer=cpu", "trainer.max_epochs=4", "model.width=0.05", "data.size=40",
        "data.resolution=128", "data.batch_size=10", "data.validation=0.25", "model.statistics_faces=16",
        f"paths.cache={cache}", f"hydra.run.dir={tmp_path}", "callbacks.stages.phases=[{stages:[0]}]",
        "callbacks.overlays=null", "+model.scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau",
        "+model.scheduler._partial_=true", "+model.scheduler.patience=0", "+model.scheduler.threshold=0.99",
    )  # fmt: skip
    assert status == 0
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rates = [float(row["train/lr"]) for row in csv.DictReader(file)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])


def test_a_run_folder_holds_everything(trained: Path) -> None:
    for name in ("config.yaml", "provenance.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "metrics.csv"):
        assert (trained / name).is_file(), name
    for name in ("train.log", "metrics.json", "predictions.csv", "ced.png", "summary.md", ".hydra/overrides.yaml"):
        assert (trained / name).is_file(), name
    assert (trained / "overlays" / "faces.png").is_file()
    record = json.loads((trained / "provenance.json").read_text())
    assert record["status"] == "finished"
    assert torch.__version__.startswith(record["packages"]["torch"])
    assert record["seed"] == 0
    assert record["exit_status"] == 0
    assert record["seconds"] > 0
    assert record["packages"].keys() >= {"canthus", "torch", "lightning", "timm", "wandb"}
    assert record["dirty"] in (True, False)  # which of them: tests/test_provenance.py
    assert len(record["commit"]) == 40
    machine = record["machine"]
    assert machine["processor"]
    assert machine["processors"] == os.cpu_count()
    assert machine["memory_gb"] > 0.1
    assert machine["threads"] == torch.get_num_threads()
    assert record["tuning"] == tuning()
    assert os.sep not in record["command"][0]
    assert "${" not in (trained / "config.yaml").read_text()


def test_metrics_csv_has_one_row_an_epoch(trained: Path) -> None:
    with (trained / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert all(row["train/loss"] and row["val/nme_inter_ocular"] for row in rows)
    assert [bool(row["val/nme_inter_ocular_stage2"]) for row in rows] == [False, False, True, True]


def test_last_is_the_last_and_best_is_the_best(trained: Path) -> None:
    last = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    assert last["epoch"] == 3
    with (trained / "metrics.csv").open(newline="") as file:
        errors = [float(row["val/nme_inter_ocular"]) for row in csv.DictReader(file)]
    best = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    assert errors[best["epoch"]] == min(errors)
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["subsets"]["full"]["nme"] == pytest.approx(min(errors), rel=1e-6)


def test_same_seed_same_metrics_file(trained: Path, run_command, cache, tmp_path: Path) -> None:
    """Whatever processes prepare the batches."""
    overrides = [line[2:] for line in (trained / ".hydra/overrides.yaml").read_text().splitlines()]
    assert run_command("train", *overrides, "data.num_workers=2", f"hydra.run.dir={tmp_path / 'again'}") == 0
    assert (tmp_path / "again/metrics.csv").read_text() == (trained / "metrics.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("change", ["trainer.accumulate_grad_batches=2", "seed=1"])
def test_same_seed_same_metrics_file_in_other_set_ups(
    change: str, trained: Path, run_command, cache, tmp_path: Path
) -> None:
    """Twice the same, and another training than the plain one."""
    overrides = [line[2:] for line in (trained / ".hydra/overrides.yaml").read_text().splitlines()]
    files = []
    for name in ("first", "second"):
        assert run_command("train", *overrides, change, f"hydra.run.dir={tmp_path / name}") == 0
        files.append((tmp_path / name / "metrics.csv").read_text())
    assert files[0] == files[1]
    losses = [
        [line.split(",")[0:2] for line in text.splitlines()[1:]]
        for text in (files[0], (trained / "metrics.csv").read_text())
    ]
    assert losses[0] != losses[1]


def test_a_failed_run_says_so(run_command, cache, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    status = run_command(
        "train",
        "data.size=30",
        "data.resolution=64",
        "data.batch_size=400",
        "model.width=0.05",
        f"paths.cache={cache}",
        f"hydra.run.dir={folder}",
    )
    assert status == 2
    record = json.loads((folder / "provenance.json").read_text())
    assert record["status"].startswith("failed")
    assert "lower data.batch_size" in (folder / "train.log").read_text()


def test_a_run_is_not_overwritten(run_command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"of a week's training")
    assert run_command("train", "data.size=30", f"hydra.run.dir={folder}") == 2
    assert f"go on with it by resume={folder}" in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} - {".lock"} == {"checkpoints"}
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == b"of a week's training"


def test_without_validation_the_last_epoch_is_tested(run_command, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    small = ["trainer=cpu", "trainer.max_epochs=2", "model.width=0.05", "data.size=30", "data.resolution=128"]
    small += ["data.batch_size=10", "model.statistics_faces=8", f"paths.cache={cache}", f"hydra.run.dir={folder}"]
    assert run_command("train", *small, "data.validation=0", "test=true") == 0
    assert json.loads((folder / "evaluation/synthetic-test/metrics.json").read_text())["subsets"]["full"]["faces"] == 6
    assert json.loads((folder / "provenance.json").read_text())["selected_on"] == "nothing: the last epoch"


def test_warm_start(trained: Path, run_command, cache, tmp_path: Path) -> None:
    overrides = [line[2:] for line in (trained / ".hydra/overrides.yaml").read_text().splitlines()]
    folder = tmp_path / "warm"
    arguments = [*overrides, f"init_from={trained}", "trainer.max_epochs=2", "model.optimizer.lr=0"]
    assert run_command("train", *arguments, f"hydra.run.dir={folder}") == 0
    before = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    after = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(before["network.first.fc1.weight"], after["network.first.fc1.weight"])

    folder = tmp_path / "wider"
    assert run_command("train", *arguments, "model.width=0.1", f"hydra.run.dir={folder}") == 2
    text = (folder / "train.log").read_text()
    assert "best.ckpt holds another network (network.first." in text
    assert "model.* as in that run's config.yaml" in text


def model_of(experiment: str) -> str:
    """The model that an experiment, or the one that it builds on, overrides the default with."""
    text = (Path(conf_path()) / "experiment" / f"{experiment}.yaml").read_text()
    base = next((name for name in EXPERIMENTS if f"  - {name}\n" in text), None)
    return model_of(base) if base else next(model for model in TINY if f"override /model: {model}\n" in text)


@pytest.mark.parametrize(
    "experiment",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in EXPERIMENTS],
)
def test_every_experiment_runs(
    experiment: str, run_command, small_300w: Path, small_wider: Path, cache, tmp_path: Path
) -> None:
    small = ["trainer=cpu", "trainer.max_epochs=2", "trainer.limit_train_batches=1", "data.batch_size=4"]
    small += ["trainer.check_val_every_n_epoch=1", "data.validation=0.25", f"paths.cache={cache}"]
    small += [f"paths.log_dir={tmp_path}"]
    small += TINY[model_of(experiment)]
    data = (
        ["data.size=40"]
        if experiment in ("demo", "synthetic_dan")
        else [f"data.root={small_300w}", "data.allow_partial=true"]
    )
    if experiment == "mtcnn_wider":
        source = f"reader:canthus.data.readers.W300,root:{small_300w},train_parts:[afw],test_parts:[ibug]"
        data = [
            f"data.root={small_wider}",
            "data.allow_partial=true",
            f"data.landmarks={{{source},allow_partial:true}}",
        ]
    folder = tmp_path / "run"
    assert run_command("train", f"experiment={experiment}", *small, *data, f"hydra.run.dir={folder}") == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["subsets"]["full"]["faces"] > 0
    if experiment.startswith("mtcnn"):
        assert metrics["detection"]["images"] > 0
        assert (folder / "detections.png").is_file()
        assert (folder / "roc.png").is_file()
    if experiment in ("dan_300w", "cfan_300w", "mdm_300w", "san_300w"):
        tested = json.loads((folder / "evaluation/w300-test/metrics.json").read_text())
        assert {"full", "common", "challenging", "ibug"} <= set(tested["subsets"])
        assert tested["subsets"]["full"]["faces"] == 24
