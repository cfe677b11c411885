"""`canthus benchmark`: which runs it makes, and that what was stopped goes on and what is done stays."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from canthus.commands.benchmark_plan import Settings, plan
from canthus.utils.files import conf_path
from tests.helpers.places import REPOSITORY
from tests.helpers.stand_in import StandIn

EIGHT = {"cfan", "dan", "dcnn", "facepose", "fan_zhou", "mdm", "mtcnn", "san"}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """In place of the interpreter that runs the steps."""
    program = StandIn(tmp_path / "stand_in")
    for name, value in program.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "executable", str(program.program))
    return program


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "my data"
    folder.mkdir()
    return folder


@pytest.fixture
def benchmark(run_command, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Runs the command; returns its status and what it printed."""

    def call(*words: object) -> tuple[int, str]:
        status = run_command("benchmark", f"data.root={data}", f"output={tmp_path / 'out'}", *words)
        said = capfd.readouterr()
        return status, said.out + said.err

    return call


def shown(text: str, module: str) -> list[list[str]]:
    """Words of every call of a module that a dry run shows."""
    lines = [shlex.split(line) for line in text.splitlines() if not line.startswith("# ")]
    return [line[line.index("-m") + 2 : line.index(">")] for line in lines if f"canthus.commands.{module}" in line]


@pytest.mark.parametrize(("suite", "detection"), [("cpu", False), ("gpu", False), ("gpu", True)])
def test_every_model_is_trained_and_comparable(suite: str, detection: bool, benchmark, data, tmp_path: Path) -> None:
    """Dry: five points for all, 68 for those that have them, each seed, shipped experiments only, the report last."""
    more = [f"wider={tmp_path}", f"celeba={tmp_path}"] if detection else []
    status, text = benchmark(f"suite={suite}", "seeds=[0,3]", "--dry-run", *more)
    assert status == 0, text
    models = EIGHT if suite == "cpu" or detection else EIGHT - {"mtcnn"}
    trained = [dict(word.split("=", 1) for word in words) for words in shown(text, "train")]
    expected = {"mtcnn": "mtcnn_cpu" if suite == "cpu" else "mtcnn_wider"}
    names = {expected.get(model, f"{model}_300w{'_cpu' if suite == 'cpu' else ''}") for model in models}
    assert sorted((words["experiment"], words["seed"]) for words in trained) == sorted(
        (n, s) for n in names for s in "03"
    )
    for words in trained:
        assert (Path(conf_path()) / "experiment" / f"{words['experiment']}.yaml").is_file()
        assert words["data.root"] == (str(tmp_path) if words["experiment"] == "mtcnn_wider" else f"'{data}'")
    evaluated = shown(text, "evaluate")
    for points, who in (("5", models), ("68", models - {"mtcnn", "dcnn"})):
        place = re.compile(rf"output={tmp_path}/out/runs/(\w+)/seed\d/evaluation/{points}")
        found = [(match[1], words) for words in evaluated if (match := place.fullmatch(words[1]))]
        assert sorted(model for model, _ in found) == sorted([*who, *who])
        assert all(("data.scheme=5" in words) == (points == "5") for _, words in found)
        assert all(("data=w300" in words) == (suite == "gpu") for _, words in found)
        assert all({"normaliser=inter_ocular", "normalisers=[inter_pupil]", "threshold=8"} < set(w) for _, w in found)
    assert len(evaluated) == 2 * (2 * len(models) - (1 if models < EIGHT else 2))
    report = [f"images='{data}'", f"runs={tmp_path}/out/runs", f"output={tmp_path}/out/report.html"]
    assert shown(text.splitlines()[-1], "report") == [report]
    assert not (tmp_path / "out").exists()


def test_the_zoo_is_evaluated_without_training(benchmark, data: Path) -> None:
    (data / "300w").mkdir()
    status, text = benchmark("suite=zoo", "dry_run=true")
    assert status == 0
    assert "300w/helen/testset is not there: all figures are of the validation faces" in text
    assert not shown(text, "train")
    evaluated = shown(text, "evaluate")
    assert sorted(w[0] for w in evaluated if "data.scheme=5" in w) == [f"run=zoo/{model}" for model in sorted(EIGHT)]
    assert len(evaluated) == 8 + 6
    assert all(f"data.root='{data}/300w'" in words for words in evaluated)
    (data / "300w/helen/testset").mkdir(parents=True)
    text = benchmark("suite=zoo", "dry_run=true")[1]
    assert "is not there" not in text
    steps = [words for words in shown(text, "evaluate") if "split=test" in words]
    tested = [words for words in steps if "detector=zoo/mtcnn" not in words]
    found = [words for words in steps if words not in tested]
    assert sorted(words[0] for words in found) == [f"run=zoo/{model}" for model in sorted(EIGHT - {"dcnn", "mtcnn"})]
    assert all(words[1].endswith("evaluation/68_found") and "unseen=true" in words for words in found)
    assert "detector=" not in benchmark("suite=zoo", "models=[dan]", "dry_run=true")[1]
    assert sorted(words[0] for words in tested) == sorted(words[0] for words in evaluated)
    for words in tested:
        assert {"data.test_parts=[helen/testset]", "data.allow_partial=true", "unseen=true", "corruptions=all"} < set(
            words
        )
        assert words[1].removesuffix("_test") in {words[1] for words in evaluated}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_targets_of_make(tmp_path: Path) -> None:
    """They want DATA, and hand on every variable as one word, whatever is in it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "-n", "-o", "env", *words], cwd=REPOSITORY, env=environment, capture_output=True, text=True
        )

    done = make("benchmark")
    assert done.returncode != 0
    assert "DATA=DIR is needed" in done.stderr
    variables = {
        "OUT": "o", "SEEDS": "0 1", "MODELS": "dan mdm", "CORRUPTIONS": "blur", "JOBS": "3", "THREADS": "2",
        "WIDER": "w", "CELEBA": "c", "OPTIONS": "a.b='x, y' c=1", "OPTIONS_dan": "model.width=0.5",
    }  # fmt: skip
    for suite, target in (("cpu", "benchmark"), ("gpu", "benchmark-gpu"), ("zoo", "benchmark-zoo")):
        assert shlex.split(make(target, "DATA=/my data").stdout)[1:] == [f"suite={suite}", "data.root=/my data"]
        said = make(target, "DATA=d", "DRY=1", *(f"{key}={value}" for key, value in variables.items())).stdout
        keys = ("output", "seeds", "models", "corruptions", "jobs", "threads", "wider", "celeba", "options.all")
        handed = [f"{key}={value}" for key, value in zip(keys, variables.values(), strict=False)]
        expected = [f"suite={suite}", "data.root=d", *handed, "options.dan=model.width=0.5", "--dry-run"]
        assert shlex.split(said)[1:] == expected


def test_what_it_calls_works(
    run_command, small_300w: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very words, but for the size of the training: DAN's 68 points and DCNN's five end in one table."""
    monkeypatch.setenv("CANTHUS_CACHE", str(cache))
    monkeypatch.setenv("CANTHUS_LOGS", str(tmp_path / "logs"))
    tiny = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.check_val_every_n_epoch=1"]
    tiny += ["data.batch_size=4", "data.validation=0.25", "callbacks.stages.phases=null"]
    options = {"dan": [*tiny, "model.width=0.05", "model.statistics_faces=8"], "dcnn": tiny}
    settings = Settings("cpu", small_300w, tmp_path, ["dan", "dcnn"], corruptions="[blur]", options=options)
    *work, report = plan(settings)
    assert [step.module for step in work] == ["train", "train", *["evaluate"] * 6]
    for step in work:
        assert run_command(step.module, *step.words, *(["overlays=2"] if step.module == "evaluate" else [])) == 0
    faces: dict[str, set[tuple[str, ...]]] = {"val": set(), "test": set()}
    for model, points in (("dan", "5"), ("dan", "68"), ("dcnn", "5")):
        for split, place in (("val", points), ("test", f"{points}_test")):
            folder = tmp_path / "runs" / model / "seed0/evaluation" / place
            metrics = json.loads((folder / "metrics.json").read_text())
            assert (metrics["scheme"], metrics["normaliser"], metrics["split"]) == (points, "inter_ocular", split)
            assert set(metrics["subsets"]["full"]["other_normalisers"]) == {"inter_pupil"}
            assert (folder / "corruptions.json").is_file() == (split == "test")
            with (folder / "predictions.csv").open(newline="") as file:
                faces[split].add(tuple(row["image"] for row in csv.DictReader(file)))
    (held_out,), (tested,) = faces.values()
    assert len(tested) == 8
    assert all("helen/testset" in image for image in tested)
    assert not set(tested) & set(held_out)
    assert set(metrics["subsets"]) == {"full"}  # half of 300-W's common set is not the common set
    assert "8 of the 330 faces of helen/testset" in (folder / "summary.md").read_text()
    assert run_command(report.module, *report.words, "latency=0", "faces=false") == 0
    page = (tmp_path / "report.html").read_text()
    assert "8 of the 330 faces of helen/testset; the others were not at hand" in page
    assert "they chose the epochs" in page
    assert all(step.done for step in plan(settings))


STOPPED = 'mkdir -p "$folder"; touch "$folder/config.yaml"; ended interrupted; echo out of luck; exit 1'


def test_what_was_stopped_goes_on_and_what_is_done_stays(benchmark, stand_in: StandIn, tmp_path: Path) -> None:
    words = ["models=[dan,mtcnn]", "jobs=2"]
    stand_in.behaves("train", STOPPED)
    status, text = benchmark(*words)
    assert status == 1
    assert re.search(r"out of luck\n.*dan/seed0 train failed \(status 1\)", text)
    assert "2 of 6 steps failed: " in text
    assert "4 that need them are left out" in text
    started = ["train experiment=dan_300w_cpu", "train experiment=mtcnn_cpu"]
    assert sorted(line.split(" seed")[0] for line in stand_in.calls()) == started

    status, text = benchmark(*words)
    assert (status, "all 6 steps are done" in text) == (0, True)
    called = stand_in.calls()
    assert sorted(called[:2]) == [f"train resume={tmp_path}/out/runs/{model}/seed0" for model in ("dan", "mtcnn")]
    assert [line.split()[0] for line in called[2:]] == ["evaluate"] * 3 + ["report"]

    (tmp_path / "out/runs/dan/seed0/evaluation/68/provenance.json").unlink()
    assert benchmark(*words)[0] == 0
    assert [line.split()[0] for line in stand_in.calls()] == ["evaluate", "report"]
    status, text = benchmark(*words)
    assert (status, stand_in.calls()) == (0, [])
    text = benchmark(*words, "--dry-run")[1]
    marked = re.findall(r"^# (.*): done$", text, re.MULTILINE)
    trainings, evaluations = ["mtcnn/seed0 train", "dan/seed0 train"], ["mtcnn/seed0 evaluate 5 points"]
    evaluations += [f"dan/seed0 evaluate {points} points" for points in (5, 68)]
    assert marked == [*trainings, *evaluations, "report"]
    assert not shown(text, "")
    shutil.rmtree(tmp_path / "out/runs/mtcnn/seed0/evaluation")
    text = benchmark(*words, "--dry-run")[1]
    assert [len(shown(text, module)) for module in ("train", "evaluate", "report")] == [0, 1, 1]


def test_a_failure_stops_no_other_run(benchmark, stand_in: StandIn, tmp_path: Path) -> None:
    """Its last 25 lines are shown, a progress bar's last state among them; the report is of the others."""
    bar = r"for n in $(seq 30); do echo line $n; done; printf 'epoch 1\repoch 2\repoch 3\n'"
    stand_in.behaves("train", f'case "$*" in *dan_300w*) {bar}; exit 3;; esac')
    stand_in.behaves("evaluate", 'case "$*" in *mdm*scheme=5*) echo broken; kill -9 $$;; esac')
    status, text = benchmark("models=[dan,cfan,mdm]", "jobs=1", "threads=null")
    assert status == 1
    assert "line 6\n" not in text
    assert "line 7\n" in text
    assert "line 30\nepoch 3\n" in text
    assert "epoch 2" not in text
    assert re.search(r"dan/seed0 train failed \(status 3\) after 0:00:0\d, 1 of 10: ", text)
    assert re.search(r"broken\n.* mdm/seed0 evaluate 5 points failed \(signal 9\)", text)
    assert "2 of 10 steps failed: dan/seed0 train (" in text
    assert "run the same command again" in text
    called = [line.split()[0] for line in stand_in.calls()]
    assert called == ["train"] * 3 + ["evaluate"] * 4 + ["report"]
    assert (tmp_path / "out/report.html").is_file()


def test_nothing_to_report(benchmark, stand_in: StandIn) -> None:
    stand_in.behaves("evaluate", "exit 1")
    assert benchmark("suite=zoo", "models=dcnn")[0] == 1
    assert [line.split()[0] for line in stand_in.calls()] == ["evaluate"]


def test_threads_and_jobs(benchmark, stand_in: StandIn, tmp_path: Path) -> None:
    """Never more than `jobs` at a time; each with its number of threads."""
    running = tmp_path / "running"
    running.mkdir()
    count = f'touch {running}/$$; ls {running} | wc -l; echo "threads $OMP_NUM_THREADS"; sleep 0.3; rm {running}/$$'
    stand_in.behaves("evaluate", count)
    assert benchmark("suite=zoo", "models=[dan,mdm,cfan]", "jobs=2", "threads=7")[0] == 0
    logs = [path.read_text().split() for path in (tmp_path / "out").rglob("evaluate_*.txt")]
    assert len(logs) == 6
    assert max(int(log[0]) for log in logs) == 2
    assert all(log[1:] == ["threads", "7"] for log in logs)


WAIT = """
mkdir -p "$folder"; touch "$folder/config.yaml"; ended running
trap 'sleep 0.2; ended interrupted; echo in order; exit 143' TERM
trap 'echo twice >> "$folder/int"' INT
while :; do sleep 0.05; done
"""
COMMAND = "import sys; sys.executable = sys.argv.pop(1); from canthus.commands.benchmark import main; main()"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_runs_in_order(number: signal.Signals, data: Path, tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path / "stand_in")
    stand_in.behaves("train", WAIT)
    words = [f"data.root={data}", f"output={tmp_path / 'out'}", "models=[dan,mdm,cfan]"]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(stand_in.program), *words],
        env=os.environ | stand_in.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # a shell that runs the tests in the background hands down that Ctrl-C is to be ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    records = [tmp_path / f"out/runs/{model}/seed0/provenance.json" for model in ("dan", "cfan")]
    end = time.monotonic() + 60
    while not all(path.is_file() and "running" in path.read_text() for path in records):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, number)  # as a terminal does: to all of its group
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert [json.loads(path.read_text())["status"] for path in records] == ["interrupted"] * 2
    assert all((path.parent / "train.txt").read_text() == "in order\n" for path in records)
    assert not list((tmp_path / "out").rglob("int"))
    assert "stopping dan/seed0 train, cfan/seed0 train" in said
    assert f"stopped by {'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'}; what is finished in " in said
    assert "run the same command again" in said
    assert "Traceback" not in said
    called = stand_in.calls()
    assert len(called) == 2
    assert not (tmp_path / "out/runs/mdm").exists()
