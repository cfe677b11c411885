"""What is there at once: help, completion and mistakes do not wait for torch."""

import re
import subprocess
import sys
from pathlib import Path

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


TRAINING = (
    "lightning", "torchmetrics", "matplotlib", "scipy.signal", "torchvision", "kornia", "wandb", "pandas", "timm",
    "sklearn", "h5py",
)  # fmt: skip
"""What inference never imports."""
INFERENCE = """
import sys
from pathlib import Path
from pathlib import Path
import cv2
import numpy as np
import canthus
from canthus import zoo
from canthus.commands import predict

folder = Path(sys.argv[1])
picture = np.zeros((96, 96, 3), np.uint8)
cv2.imwrite(str(folder / "photo.png"), picture)
sys.argv = ["canthus-predict", "run=zoo/dan", f"source={{folder}}/photo.png", f"output={{folder}}/out", "detector=none"]
predict.main()
canthus.load("zoo/dan")(picture)
for name in sorted(path.stem for path in zoo.files() if path.stem != "facepose"):  # whose backbone is timm's
    assert canthus.load(f"zoo/{{name}}", detector=None)(picture)[0].found
print("imported:", *(name for name in {training!r} if name in sys.modules))
modules = [name for name in sys.modules if name.startswith("canthus.models.")]
print("of training:", *(name for name in modules if name.endswith((".module", ".base"))))
"""


def test_inference_imports_nothing_of_training(tmp_path: Path) -> None:
    """One image by the command, then every model of the zoo with its detector from Python."""
    command = [sys.executable, "-c", INFERENCE.format(training=TRAINING), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "landmarks.json").is_file()
    assert done.stdout.splitlines()[-2:] == ["imported:", "of training:"]
