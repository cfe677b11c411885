"""Whatever ends a command other than success: one line, the right status, and what was made stays."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.errors import InstantiationException

from canthus.runs import faults
from canthus.runs.interruptions import Stopped, how_it_ended, signals_raise
from canthus.utils import processes
from canthus.utils.errors import ConfigError, DataError, RunError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")


def slow(*commands: str) -> list:
    return [pytest.param(command, marks=pytest.mark.slow) for command in commands]


SMALL = ["data=synthetic", "data.size=20", "data.resolution=64"]


def record(folder: Path) -> dict:
    return json.loads((folder / "provenance.json").read_text())


@pytest.fixture
def _signals_as_in_a_shell() -> Iterator[None]:
    """Lightning leaves Ctrl-C ignored, and whoever runs the tests may have ignored SIGHUP."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals_as_in_a_shell")
@pytest.mark.parametrize(
    ("place", "name", "status", "ended", "by"),
    [
        ("canthus.models.cascade.Cascade.final_estimates", "SIGHUP", 129, "terminated (SIGHUP)", "SIGHUP"),
        ("canthus.models.cascade.Cascade.final_estimates", "SIGINT", 130, "interrupted", "Ctrl-C"),
        ("canthus.commands.evaluation.write_results", "SIGINT", 130, "interrupted", "Ctrl-C"),
        ("canthus.commands.evaluation.write_results", "SIGTERM", 143, "terminated (SIGTERM)", "SIGTERM"),
    ],
)
def test_signals_in_an_evaluation(
    place: str, name: str, status: int, ended: str, by: str, trained: Path, run_command, tmp_path, monkeypatch, capsys
) -> None:
    """In the middle of Lightning's loop, and outside of it."""
    monkeypatch.setattr(place, lambda *_, **__: signal.raise_signal(getattr(signal, name)))
    assert run_command("evaluate", f"run={trained}", f"output={tmp_path}", "overlays=0") == status
    assert (record(tmp_path)["status"], record(tmp_path)["exit_status"]) == (ended, status)
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    text = (tmp_path / "evaluate.log").read_text()
    assert text.count(f"stopped by {by}; what was made until then is in {tmp_path}") == 1


@pytest.mark.usefixtures("_signals_as_in_a_shell")
def test_a_lost_terminal_ends_a_training_in_order(run_command, cache: Path, tmp_path: Path) -> None:
    bomb = "+callbacks.bomb={_target_:tests.helpers.bombs.Fault,epoch:1,kind:SIGHUP}"
    settings = ["data.size=40", "data.resolution=128", "data.batch_size=10", "data.validation=0.25", "trainer=cpu"]
    settings += ["model.width=0.05", "model.statistics_faces=16", "trainer.max_epochs=2", "callbacks.overlays=null"]
    assert run_command("train", *settings, f"paths.cache={cache}", f"hydra.run.dir={tmp_path}", bomb) == 129
    assert (record(tmp_path)["status"], record(tmp_path)["exit_status"]) == ("terminated (SIGHUP)", 129)
    assert "stopped by SIGHUP; last.ckpt is intact (epoch 0)" in (tmp_path / "train.log").read_text()


@pytest.mark.usefixtures("_signals_as_in_a_shell")
def test_signals_that_are_ignored_stay_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    with signals_raise():
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.usefixtures("_signals_as_in_a_shell")
def test_a_second_signal_does_not_disturb_the_records() -> None:
    ended = []

    def work() -> None:
        with signals_raise():
            try:
                signal.raise_signal(signal.SIGHUP)
            finally:
                signal.raise_signal(signal.SIGTERM)
                ended.append("in order")

    with pytest.raises(Stopped) as raised:
        work()
    assert ended == ["in order"]
    assert raised.value.code == 129


PRINTING = """
import os, sys
from canthus.runs.interruptions import lasting_streams
lasting_streams()
opened = open(sys.argv[1], "w")
for number in range(2000):
    print("something " * 10)
    sys.stderr.write("a warning\\n")
os.write(1, b"from a library")
opened.write(f"done {opened.fileno() > 2}")
"""


@pytest.mark.parametrize("streams", ["| head -1", "2>&1 | head -1", ">&-", ">&- 2>&-", "<&- >&- 2>&-", "> /dev/null"])
def test_streams_that_nobody_reads(streams: str, tmp_path: Path) -> None:
    """The work goes on, in its files; what is printed goes nowhere, least of all into these."""
    script, made = tmp_path / "print.py", tmp_path / "made"
    script.write_text(PRINTING)
    shell = f"set -o pipefail; '{sys.executable}' '{script}' '{made}' {streams}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert made.read_text() == "done True"
    assert "Error" not in done.stderr
    assert done.stdout == ("something " * 10 + "\n" if streams == "| head -1" else done.stdout)


@LINUX
@pytest.mark.parametrize(
    ("command", "arguments", "kilobytes", "kept"),
    [
        ("evaluate", ["overlays=8", "output={disk}/out"], 100, ["metrics.json", "predictions.csv"]),
        ("data", [*SMALL, "output={disk}/out"], 60, ["report.json"]),
        ("report", ["latency=0", "faces=false", "output={disk}/r.html"], 40, []),
        ("export", ["format=torchscript", "output={disk}/x.pt"], 100, []),
        ("predict", ["source={images}", "output={disk}/out"], 60, ["landmarks.json"]),
    ],
)
def test_a_full_disk(
    command: str, arguments: list[str], kilobytes: int, kept: list[str], trained: Path, images: Path,
    run_command, small_disk, capsys
) -> None:  # fmt: skip
    disk = small_disk(kilobytes)
    words = [word.format(disk=disk, images=images) for word in arguments]
    run = {"data": [], "report": [f"runs={trained}"]}.get(command, [f"run={trained}"])
    status = run_command(command, *run, *words)
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert ("Free some space" in said.err) == (status == 1), said.err  # predict leaves pictures out and goes on
    assert status == 1 or command == "predict"
    for name in kept:
        assert (disk / "out" / name).stat().st_size > 100
    assert not [path for path in disk.rglob("*.tmp*")]


@LINUX
@pytest.mark.parametrize("command", ["evaluate", "report", "train", *slow("predict", "data", "export")])
def test_a_place_that_cannot_be_written(
    command: str, trained: Path, images: Path, run_command, small_disk, capsys
) -> None:
    disk = small_disk(64, "ro")
    words = {
        "evaluate": [f"run={trained}", f"output={disk}/out"],
        "predict": [f"run={trained}", f"source={images}", f"output={disk}/out"],
        "report": [f"runs={trained}", f"output={disk}/r.html", "latency=0", "faces=false"],
        "data": [*SMALL, f"output={disk}/out"],
        "export": [f"run={trained}", "format=torchscript", f"output={disk}/x.pt"],
        "train": [*SMALL, f"hydra.run.dir={disk}/out"],
    }[command]
    assert run_command(command, *words) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "Read-only file system. Name a place that can be written" in said.err


@pytest.mark.parametrize("command", ["evaluate", *slow("predict", "data", "train")])
def test_an_output_that_is_a_file(command: str, trained: Path, images: Path, run_command, tmp_path, capsys) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    words = {
        "evaluate": [f"run={trained}", f"output={file}"],
        "predict": [f"run={trained}", f"source={images}", f"output={file}"],
        "data": [*SMALL, f"output={file}"],
        "train": [*SMALL, f"hydra.run.dir={file}"],
    }[command]
    assert run_command(command, *words) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert str(file) in said.err
    assert file.read_text() == "mine"


def test_a_cache_that_is_a_file(run_command, tmp_path: Path, capsys) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    words = [*SMALL, "trainer=cpu", "model.width=0.05", f"hydra.run.dir={tmp_path / 'run'}", f"paths.cache={file}"]
    assert run_command("train", *words) == 2
    said = capsys.readouterr().err
    assert str(file) in said
    assert "paths.cache" in said
    assert record(tmp_path / "run")["exit_status"] == 2


@pytest.mark.parametrize("device", ["cuda", "cuda:9", "mps", "abc", "meta", "cpu:x", ""])
def test_a_device_that_is_not_there(device: str) -> None:
    import torch

    from canthus.inference.predictor import chosen_device

    if (device == "cuda" and torch.cuda.is_available()) or (device == "mps" and torch.backends.mps.is_available()):
        pytest.skip("it is there")
    with pytest.raises(ConfigError, match=rf"^device={device} is not there .*cpu always works$"):
        chosen_device(device)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ConfigError("seed=-1: no"), 2, "seed=-1: no"),
        (DataError("a.csv: no"), 2, "a.csv: no"),
        (RunError("diverged"), 1, "diverged"),
        (OSError(28, "No space left on device", "/x/y"), 1, "/x/y: No space left on device. Free some space"),
        (PermissionError(13, "Permission denied", "/x"), 2, "/x: Permission denied. Name a place that you may use"),
        (OSError(5, "Input/output error", "/x"), 1, "/x: Input/output error. Is the disk in order?"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes. Buy more"), 1, "can't allocate memory: 9"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), 1, "raise the limit of its memory"),
        (RuntimeError("CUDA error: no kernel image is available\nmore"), 1, "CUDA error: no kernel image is available"),
        (ValueError("Expected more than 1 value per channel when training, got"), 2, "data.batch_size leaves one face"),
        (KeyError("a mistake in the program"), 1, None),
        (ValueError("operands could not be broadcast"), 1, None),
        (SystemExit(7), 7, None),
    ],
)
def test_the_words_of_errors(error: BaseException, status: int, words: str | None) -> None:
    assert faults.exit_status(error) == status
    assert (faults.mendable(error) is None) == (words is None)
    if words is not None:
        assert words in str(faults.mendable(error))


def test_a_batch_of_one_face_is_the_setting_s() -> None:
    """As torch says it today."""
    import torch

    with pytest.raises(ValueError, match="more than 1 value") as raised:
        torch.nn.BatchNorm1d(2)(torch.zeros(1, 2))
    assert "data.batch_size leaves one face" in str(faults.mendable(raised.value))


@pytest.mark.parametrize("scheme", ["106", 106, "sixty-eight"])
def test_a_scheme_that_there_is_none_of(scheme: str | int, tmp_path: Path) -> None:
    """The same line from every command: those that build a data module, and canthus-data, which only reads."""
    from canthus.data import make_reader

    with pytest.raises(ConfigError, match=f"there is no landmark scheme '{scheme}'; nearest: "):
        make_reader("canthus.data.readers.CsvLabels", {"root": tmp_path, "label_scheme": scheme})


def test_a_reader_refuses_in_one_line(run_command, tmp_path: Path, capsys) -> None:
    words = ["data=csv", f"data.root={tmp_path}", "data.label_scheme=106", f"output={tmp_path / 'out'}"]
    assert run_command("data", *words) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "there is no landmark scheme '106'" in said.err


def test_errors_while_something_is_built_name_the_place() -> None:
    outer = InstantiationException(
        "Error in call to target 'canthus.models.dan.DAN':\nTypeError('no')\nfull_key: model"
    )
    outer.__cause__ = TypeError("unsupported operand\nmore")
    assert str(faults.mendable(outer)).startswith("model: canthus.models.dan.DAN cannot be built from these settings")
    outer.__cause__ = ValueError("stages=0: at least 1")
    assert faults.mendable(outer) == "model: stages=0: at least 1"
    outer.__cause__ = OSError(28, "No space left on device", "/x")
    assert faults.exit_status(outer) == 1


def test_a_file_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["canthus-train", "+data.root=/a/b", "paths.cache='/c d'"])
    assert str(faults.mendable(OSError(2, "No such file", "/a/b/x.jpg"))).startswith("data.root: /a/b/x.jpg: ")
    assert str(faults.mendable(OSError(30, "Read-only", "/c d/x"))).startswith("paths.cache: /c d/x: ")
    assert str(faults.mendable(OSError(30, "Read-only", "/a/b/.r.77.tmp.html"))).startswith("data.root: /a/b/r.html: ")
    assert str(faults.mendable(OSError(2, "No such file", "/a/bc"))).startswith("/a/bc: ")


def test_a_fault_keeps_its_traceback(capsys) -> None:
    with pytest.raises(SystemExit) as ended, faults.boundary():
        raise KeyError("a mistake in the program")
    assert ended.value.code == 1
    assert "Traceback" in capsys.readouterr().err


def test_what_canthus_itself_refuses_needs_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ValueError in its own words, but none of a library's, and no slip in an expression of its own."""
    import torch

    from canthus.metrics.functional import area_under_curve

    with pytest.raises(ValueError, match="must be positive") as refused:
        area_under_curve(torch.ones(1), -1.0)
    assert faults.exit_status(refused.value) == 2
    assert str(faults.mendable(refused.value)).startswith("threshold -1.0 must be positive")
    monkeypatch.setenv("LOCAL_RANK", "first")
    with pytest.raises(ValueError, match="invalid literal") as slip:
        processes.rank()
    assert faults.mendable(slip.value) is None


def test_how_it_ended() -> None:
    assert how_it_ended(Stopped(signal.SIGHUP)) == "terminated (SIGHUP)"
    assert how_it_ended(KeyboardInterrupt()) == "interrupted"
    assert how_it_ended(SystemExit(3)) == "failed: exit with status 3"
    assert how_it_ended(DataError("no")) == "failed: DataError: no"


def test_the_variable_for_tracebacks_is_the_users(trained: Path, run_command, tmp_path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        "canthus.commands.evaluation.write_results", lambda *_, **__: seen.append(os.environ.get("HYDRA_FULL_ERROR"))
    )
    run_command("evaluate", f"run={trained}", f"output={tmp_path}", "overlays=0")
    assert seen == [None]
    assert "HYDRA_FULL_ERROR" not in os.environ
