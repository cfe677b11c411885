"""What a run says about the code that made it."""

import subprocess
from pathlib import Path

import pytest

from canthus.runs import record


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository from which canthus seems to run."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    module = folder / Path(record.__file__).name
    module.write_text("first = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "First")
    monkeypatch.setattr(record, "__file__", str(module))
    return folder


def test_a_clean_checkout_and_a_changed_one(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert len(commit) == 40
    assert record._code_version() == {"commit": commit, "dirty": False}
    module = Path(record.__file__)
    module.write_text("first = 2\n")
    assert record._code_version() == {"commit": commit, "dirty": True}
    git(checkout, "commit", "-qam", "Second")
    assert record._code_version() == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    (checkout / "new.py").write_text("")  # a file that git does not know is a difference, too
    assert record._code_version()["dirty"] is True


def test_a_checkout_that_merely_holds_the_environment(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / ".venv").mkdir()
    monkeypatch.setattr(record, "__file__", str(checkout / ".venv" / Path(record.__file__).name))
    assert record._code_version() == {"commit": None, "dirty": None}


def test_no_checkout_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(record, "__file__", str(tmp_path / Path(record.__file__).name))
    assert record._code_version() == {"commit": None, "dirty": None}
