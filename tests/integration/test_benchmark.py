"""`make benchmark`: which runs it makes, and that what was stopped goes on and what is done stays."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from canthus.utils.files import conf_path
from tests.helpers.places import REPOSITORY

EIGHT = {"cfan", "dan", "dcnn", "facepose", "fan_zhou", "mdm", "mtcnn", "san"}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run targets of benchmark.mk."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-f", "benchmark.mk", *map(str, words)]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment | variables, capture_output=True, text=True, check=False
    )


def commands(text: str, module: str) -> list[list[str]]:
    """Words of every call of a module that a dry run shows, without the redirection."""
    found = re.findall(rf"-m canthus\.{module} ([^>;]*)", text.replace("\\\n", " "))
    return [shlex.split(words) for words in found]


@pytest.mark.parametrize(("suite", "more"), [("cpu", ""), ("gpu", ""), ("gpu", "WIDER=/w CELEBA=/c")])
def test_every_model_is_trained_and_comparable(suite: str, more: str, tmp_path: Path) -> None:
    """Dry: five points for all, 68 for those that have them, each seed, shipped experiments only, the report last."""
    shown = make("-n", f"SUITE={suite}", "DATA=/data", f"OUT={tmp_path}", "SEEDS=0 3", *more.split(), "report")
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout.replace("\\\n", " ")
    models = EIGHT if suite == "cpu" or more else EIGHT - {"mtcnn"}
    trained = re.findall(r"experiment=(\S+) seed=(\d)", text)
    expected = {"mtcnn": "mtcnn_cpu" if suite == "cpu" else "mtcnn_wider"}
    names = {expected.get(model, f"{model}_300w{'_cpu' if suite == 'cpu' else ''}") for model in models}
    assert sorted(trained) == sorted((name, seed) for name in names for seed in "03")
    for name in names:
        assert (Path(conf_path()) / "experiment" / f"{name}.yaml").is_file()
    for points, who in (("5", models), ("68", models - {"mtcnn", "dcnn"})):
        found = re.findall(rf"output={tmp_path}/runs/(\w+)/seed\d/evaluation/{points} (.*)", text)
        assert sorted(model for model, _ in found) == sorted([*who, *who])
        assert all(("data.scheme=5" in words) == (points == "5") for _, words in found)
        assert all(("data=w300" in words) == (suite == "gpu") for _, words in found)
    assert text.rstrip().endswith(f"runs={tmp_path}/runs output={tmp_path}/report.html")


def test_the_zoo_is_evaluated_without_training(tmp_path: Path) -> None:
    shown = make("-n", "SUITE=zoo", "DATA=/data", f"OUT={tmp_path}", "report")
    assert shown.returncode == 0, shown.stderr
    assert not commands(shown.stdout, "train")
    evaluated = commands(shown.stdout, "evaluate")
    assert sorted(words[0] for words in evaluated if "data.scheme=5" in words) == [
        f"run=zoo/{m}" for m in sorted(EIGHT)
    ]
    assert len(evaluated) == 8 + 6
    assert all("data.root=/data" in words for words in evaluated)


def test_the_targets_want_data() -> None:
    done = subprocess.run(
        ["make", "-n", "benchmark", "BIN=/nowhere"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "DATA=DIR is needed" in done.stderr


def test_what_it_calls_works(
    run_command, small_300w: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very words, but for the size of the training: DAN's 68 points and DCNN's five end in one table."""
    monkeypatch.setenv("CANTHUS_CACHE", str(cache))
    monkeypatch.setenv("CANTHUS_LOGS", str(tmp_path / "logs"))
    shown = make("-n", f"DATA={small_300w}", f"OUT={tmp_path}", "MODELS=dan dcnn", "CORRUPTIONS=blur", "evaluated")
    tiny = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.check_val_every_n_epoch=1"]
    tiny += ["data.batch_size=4", "data.validation=0.25", "callbacks.stages.phases=null"]
    small = {"dan": ["model.width=0.05", "model.statistics_faces=8"], "dcnn": []}
    trained = [words for words in commands(shown.stdout, "train") if not words[0].startswith("resume=")]
    assert len(trained) == 2
    for words in trained:
        model = re.search(r"experiment=(\w+?)_", " ".join(words))[1]
        assert run_command("train", *words, *tiny, *small[model]) == 0
    for words in commands(shown.stdout, "evaluate"):
        assert run_command("evaluate", *words, "overlays=2") == 0
    faces = set()
    for model, points in (("dan", "5"), ("dan", "68"), ("dcnn", "5")):
        folder = tmp_path / "runs" / model / "seed0/evaluation" / points
        metrics = json.loads((folder / "metrics.json").read_text())
        assert (metrics["scheme"], metrics["normaliser"], metrics["split"]) == (points, "inter_ocular", "val")
        assert set(metrics["subsets"]["full"]["other_normalisers"]) == {"inter_pupil"}
        assert (folder / "corruptions.json").is_file()
        with (folder / "predictions.csv").open(newline="") as file:
            faces.add(tuple(row["image"] for row in csv.DictReader(file)))
    assert len(faces) == 1


STAND_IN = r"""#!/bin/sh
# trains: fails at first, as if the machine had stopped, and ends well when it is resumed
echo "$@" >> "$CALLS"
case "$*" in
*canthus.commands.train\ resume=*) folder=${3#resume=}; echo '{\n "status": "finished"\n}' > "$folder/provenance.json";;
*canthus.commands.train*)
  for word in "$@"; do case $word in hydra.run.dir=*) folder=${word#hydra.run.dir=};; esac; done
  touch "$folder/config.yaml"; echo '{\n "status": "interrupted"\n}' > "$folder/provenance.json"
  echo "out of luck"; exit 1;;
esac
"""


def test_what_was_stopped_goes_on_and_what_is_done_stays(tmp_path: Path) -> None:
    """With a program in canthus's place, to see what make does of its endings."""
    calls, program = tmp_path / "calls", tmp_path / "bin/python"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    words = [
        f"BIN={program.parent}",
        "DATA=/data",
        f"OUT={tmp_path / 'out'}",
        "MODELS=dan mtcnn",
        "-j2",
        "-k",
        "report",
    ]

    def run() -> tuple[subprocess.CompletedProcess[str], list[str]]:
        calls.write_text("")
        done = make(*words, CALLS=str(calls))
        return done, sorted(re.sub(r"^-m canthus\.", "", line) for line in calls.read_text().splitlines())

    first, called = run()
    assert first.returncode != 0
    assert "out of luck\ndan/seed0: train failed" in first.stdout
    assert [line.split(" seed")[0] for line in called] == [
        "train experiment=dan_300w_cpu",
        "train experiment=mtcnn_cpu",
    ]

    second, called = run()
    assert second.returncode == 0, second.stdout + second.stderr
    runs = [f"{tmp_path}/out/runs/{model}/seed0" for model in ("dan", "mtcnn")]
    assert called[-2:] == [f"train resume={run}" for run in runs]
    assert [line.split()[0] for line in called] == [*["evaluate"] * 3, "report", "train", "train"]

    for name in ("trained", "evaluation/5/done", "evaluation/68/done"):
        (
            tmp_path / "out/runs/dan/seed0" / name
        ).unlink()  # stopped between the end of the training and make's note of it
    _, called = run()
    assert [line.split()[0] for line in called] == ["evaluate", "evaluate", "report"]
    (tmp_path / "out/report.html").touch()
    assert run()[1] == []
