"""The wheel carries the configs and works outside the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.places import REPOSITORY

PAGE = [f"reporting/page/page.{kind}" for kind in ("html.j2", "css", "js")] + ["reporting/claims.json"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist and unpacked; its dependencies come from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, *arguments: str) -> str:
    code = (
        "import sys, canthus, canthus.commands.train; assert 'site/canthus' in canthus.__file__; "
        "canthus.commands.train.main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=installed.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_configs_schemes_and_the_type_marker(installed: Path) -> None:
    for name in (
        "conf/train.yaml",
        "conf/experiment/dan_300w.yaml",
        "schemes/68.yaml",
        "py.typed",
        "zoo/SHA256SUMS",
        "zoo/mtcnn.safetensors",
        *PAGE,
    ):
        assert (installed / "canthus" / name).is_file(), name


@pytest.mark.parametrize("experiment", ["dan_300w", "demo"])
def test_experiments_compose_from_another_folder(installed: Path, experiment: str) -> None:
    assert "_target_: canthus.models.dan.module.DANModule" in run(installed, "--cfg", "job", f"experiment={experiment}")


def test_nothing_of_the_data_is_shipped(installed: Path) -> None:
    assert not [path for path in installed.rglob("*") if path.suffix in (".jpg", ".png", ".pts", ".ckpt", ".mat")]
