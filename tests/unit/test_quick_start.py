"""What is there at once: help, completion and mistakes do not wait for torch."""

import re
import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "matplotlib", "scipy", "cv2", "wandb", "torchmetrics", "kornia")
CODE = """
import runpy, sys
sys.argv = ["canthus", *sys.argv[1:]]
try:
    runpy.run_module("canthus", run_name="__main__", alter_sys=True)
finally:
    print("heavy:", *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE.format(heavy=HEAVY), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], "predict locate landmarks on images and videos"),
        (["--help"], "canthus COMMAND --help shows the groups and keys of a command."),
        (["--version"], "canthus "),
        (["train", "--help"], "max_epochs: 40"),
        (["train", "model=mdm", "--help"], "*mdm "),
        (["eval", "-h"], "compare: null # folder of another evaluation"),
        (["predict", "--help"], "source: ??? #"),
        (["data", "--help"], "w300 "),
        (["report", "--help"], "latency: "),
        (["export", "--help"], "opset: 18"),
    ],
)
def test_help_is_there_at_once(words: list[str], shown: str) -> None:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert shown in re.sub(" +", " ", done.stdout)
    assert done.stderr.splitlines()[-1] == "heavy:"


def test_an_unknown_command_is_told_the_nearest() -> None:
    done = run("trian")
    assert done.returncode == 2
    assert "no command is called 'trian': did you mean 'train'?" in done.stderr
