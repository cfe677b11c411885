"""Folders that commands write: one process at a time, whatever became of the one before; new names by default."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from canthus.commands import checks
from canthus.commands.launch import preflight
from canthus.runs.folders import LOCK, FolderInUse, claimed, claimed_by_command, held
from canthus.utils import errors, locks, processes

HOLDER = """
import os, sys, time
from pathlib import Path
from canthus.runs.folders import held
with held(Path(sys.argv[1])):
    if "fork" in sys.argv and os.fork() == 0:  # as the worker of a data loader
        print(os.getpid(), flush=True)
        os.close(1)  # who reads to the end does not wait for the worker
        time.sleep(60)
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path, *more: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder), *more], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def test_a_second_process_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with pytest.raises(FolderInUse) as refused, held(tmp_path, instead="name another output"):
            pass
    finally:
        process.terminate()
        process.wait()
    words = str(refused.value)
    assert words.startswith(f"{tmp_path} is in use by -c, process {process.pid} on this machine since 20")
    assert words.endswith(": name another output")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_lock_ends_with_its_process_even_if_its_workers_live_on(tmp_path: Path) -> None:
    process = holder(tmp_path, "fork")
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    process.send_signal(signal.SIGKILL)
    process.wait()
    lines += process.stdout.readlines() if not any(line.strip().isdigit() for line in lines) else []
    assert (tmp_path / LOCK).is_file()
    with held(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_worker_that_ends_takes_no_lock_away(tmp_path: Path) -> None:
    with held(tmp_path):
        child = os.fork()
        if child == 0:
            try:
                raise SystemExit  # leaves the block as any exception would
            finally:
                os._exit(0 if not locks.held_here else 1)
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(FolderInUse), held(tmp_path):
            pass


def test_what_another_machine_left_says_how_to_remove_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held(tmp_path):
        monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
        with pytest.raises(FolderInUse, match=f"if that machine has crashed, remove {tmp_path}/{LOCK}"), held(tmp_path):
            pass
        (tmp_path / LOCK).unlink()
        with held(tmp_path):
            inside = (tmp_path / LOCK).read_text()
        assert "elsewhere" in inside
    assert not (tmp_path / LOCK).exists()


def test_a_lock_file_that_its_holder_has_just_removed_is_made_anew(tmp_path: Path, monkeypatch) -> None:
    """Between opening and locking: a lock on a file without a name would keep nobody out."""
    path, calls, flock = tmp_path / LOCK, [], locks.fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", late)
    descriptor = locks.take(path)
    assert descriptor is not None
    assert path.stat().st_ino == os.fstat(descriptor).st_ino
    assert locks.take(path) is None
    locks.release(path, descriptor)
    assert not path.exists()


def test_a_lock_that_somebody_else_made_meanwhile_stays(tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / LOCK).unlink()
        (tmp_path / LOCK).write_text("{}")
    assert (tmp_path / LOCK).read_text() == "{}"


@pytest.mark.parametrize("content", ["", "no json", "[]", '{"process": 1}', "\0\xff", '{"a": ' * 5000])
def test_any_old_lock_file_is_taken_over(content: str, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(content)
    with held(tmp_path):
        record = json.loads((tmp_path / LOCK).read_text())
        assert set(record) == {"process", "host", "command", "since"}
        (tmp_path / LOCK).write_text(content)
        with pytest.raises(FolderInUse, match="in use by another process"), held(tmp_path):
            pass


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("text")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / LOCK).symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"), held(folder):
        pass
    assert precious.read_text() == "text"
    (folder / LOCK).unlink()
    os.mkfifo(folder / LOCK)
    with pytest.raises(errors.ConfigError, match="no plain file"), held(folder):
        pass


def test_waiting_ends_with_the_lock(tmp_path: Path) -> None:
    entered = threading.Event()

    def hold() -> None:
        with held(tmp_path):
            entered.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    with held(tmp_path, wait=30):
        pass
    thread.join()
    begin = time.monotonic()
    with held(tmp_path), pytest.raises(FolderInUse), held(tmp_path, wait=0.1):
        pass
    assert time.monotonic() - begin > 0.1


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_does_not_stop_anybody(code: int, tmp_path: Path, monkeypatch, caplog) -> None:
    def without(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", without)
    with held(tmp_path):
        pass
    assert "no locks here" in caplog.text
    assert not locks.held_here


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "x"}, True),
        ({"RANK": "8", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "x"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"NODE_RANK": "0"}, True),
        ({"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_PROCID": "1"}, False),
    ],
)
def test_the_first_process_holds_the_lock_for_all(variables: dict, first: bool, tmp_path: Path, monkeypatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert processes.first() is first
    with held(tmp_path):
        assert (tmp_path / LOCK).exists() is first


def claim(folder: Path) -> Path:
    """In a process of its own; all of them begin in one second."""
    processes.restart_clock = lambda: setattr(processes._Clock, "number", 1)  # type: ignore[assignment]
    processes._Clock.second = "2026-12-01_11-30-00"
    with claimed(lambda: str(folder / f"w300_{processes.stamp()}")) as made:
        return made


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_names_with_the_time_are_never_shared(tmp_path: Path) -> None:
    with get_context("fork").Pool(8) as pool:
        made = pool.map(claim, [tmp_path] * 40, chunksize=1)
    assert len(set(made)) == 40
    assert sorted(tmp_path.iterdir()) == sorted(made)


def test_a_number_is_added_in_the_same_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("canthus.utils.processes.restart_clock", lambda: setattr(processes._Clock, "number", 1))
    monkeypatch.setattr(processes._Clock, "second", "2026-12-01_11-30-00")
    checks.register_schemas()
    found = []
    for name, words in (("inspect", []), ("study", ["study=critique"])):
        for _ in range(3):
            _, cfg = preflight([*words, f"paths.log_dir={tmp_path}"], name)
            assert cfg is not None
            with claimed_by_command(cfg) as folder:
                assert folder == Path(cfg.output)
                found.append(folder)
    assert [folder.name for folder in found] == [
        f"{name}_2026-12-01_11-30-00{number}" for name in ("synthetic", "critique_ytf68") for number in ("", "-2", "-3")
    ]
    assert all(list(folder.iterdir()) == [] for folder in found)


def test_a_named_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    checks.register_schemas()
    _, cfg = preflight(["data=synthetic", f"output={tmp_path}"], "inspect")
    assert cfg is not None
    with claimed_by_command(cfg) as folder:
        assert folder == tmp_path
        with (
            pytest.raises(FolderInUse, match=r"wait for its end, or name another output$"),
            claimed_by_command(cfg),
        ):
            pass
    with claimed_by_command(cfg) as folder:
        assert folder == tmp_path


def test_results_are_not_written_over_a_training(tmp_path: Path) -> None:
    checks.register_schemas()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    for name, words, message in (
        ("inspect", [f"output={tmp_path}"], "is the folder of a training, whose records would be lost"),
        ("train", [f"hydra.run.dir={tmp_path}"], f"holds a run already; go on with it by resume={tmp_path}"),
    ):
        _, cfg = preflight(words, name)
        assert cfg is not None
        with pytest.raises(errors.ConfigError, match=message), claimed_by_command(cfg):
            pass


def test_a_requeued_job_waits_for_its_own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine before it may have crashed; the server gives the lock back after some time."""
    checks.register_schemas()
    _, cfg = preflight([f"hydra.run.dir={tmp_path}"], "train")
    assert cfg is not None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    process = holder(tmp_path)
    threading.Timer(0.5, process.kill).start()
    with claimed_by_command(cfg) as folder:
        assert folder == tmp_path
    process.wait()


def test_files_need_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checks.register_schemas()
    _, cfg = preflight(["runs=x", "output=page.html"], "report")
    assert cfg is not None
    with claimed_by_command(cfg) as folder:
        assert folder is None
    assert list(tmp_path.iterdir()) == []
