"""What the package ships as its zoo, and what happens to files that are not what was shipped."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from canthus import zoo
from canthus.data.readers import W300
from canthus.data.split import hold_out
from canthus.export.entry import LARGEST, LARGEST_ZOO
from canthus.runs import faces as run_faces
from canthus.runs import loading, weights
from canthus.utils.errors import ConfigError

NAMES = zoo.names()


@pytest.mark.parametrize("name", NAMES)
def test_every_model_is_whole_small_and_loadable(name: str) -> None:
    run = Path("zoo", name)
    path = zoo.stored_file(run)
    assert path is not None
    assert path.stat().st_size <= LARGEST
    cfg = loading.load_config(run)
    model = loading.open_run(run).model
    assert model.depth == model.num_stages  # trained to the end
    header = weights.read_header(path)
    assert header["model"] == model.name
    assert cfg.data.get("root") is None or cfg.data._get_node("root")._is_missing()
    assert not re.search(r"(: |- )(/|~/(?!\.cache))", header["config"])  # no folder of the machine where it was made
    card = (zoo.FOLDER / f"{name}.md").read_text()
    assert not re.search(r"=[/~]", card)
    for words in (zoo.sha256(path), "## Data", "## Figures", "## Training", "## Use", "research", model.scheme.name):
        assert words in card, words


def test_the_zoo_has_a_detector_and_fits_into_the_wheel() -> None:
    assert {"mtcnn", "dan"} <= set(NAMES)
    assert sum(path.stat().st_size for path in zoo.files()) <= LARGEST_ZOO


@pytest.fixture
def own_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the smallest model."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("mtcnn.safetensors", zoo.SUMS):
        shutil.copy(zoo.FOLDER / name, folder)
    monkeypatch.setattr(zoo, "FOLDER", folder)
    return folder


def test_a_changed_file_is_refused(own_zoo: Path) -> None:
    path = own_zoo / "mtcnn.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for read in (loading.load_config, lambda run: loading.checkpoint_of(run, "best")):
        with pytest.raises(ConfigError, match=r"not the file that was shipped .its hash differs"):
            read(Path("zoo/mtcnn"))
    zoo.record(path)
    assert loading.load_config(Path("zoo/mtcnn")).model.scheme == "5"
    assert (own_zoo / zoo.SUMS).read_text().split() == [zoo.sha256(path), path.name]  # what is gone is taken off


def test_a_file_without_a_hash_is_refused(own_zoo: Path) -> None:
    shutil.copy(own_zoo / "mtcnn.safetensors", own_zoo / "other.safetensors")
    with pytest.raises(ConfigError, match="not the file that was shipped"):
        zoo.stored_file(Path("zoo/other"))


def test_sums_are_those_of_sha256sum() -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", zoo.SUMS], cwd=zoo.FOLDER, check=True)


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"the zoo has no such model; did you mean 'mtcnn'"):
        zoo.stored_file(Path("zoo/mtccn"))
    assert zoo.stored_file(Path("logs/zoo/dan")) is None
    assert zoo.stored_file(Path("weights.safetensors")) == Path("weights.safetensors")
    assert zoo.results_folder("zoo/dan") == "logs/zoo/dan"
    assert zoo.results_folder("a/dan.safetensors") == "a/dan"
    assert zoo.results_folder("logs/x/runs/1") == "logs/x/runs/1"
    monkeypatch.chdir(tmp_path)
    Path("zoo/dan").mkdir(parents=True)
    assert zoo.stored_file(Path("zoo/dan")) is not None
    Path("zoo/mine").mkdir()
    Path("zoo/mine/config.yaml").touch()
    assert zoo.stored_file(Path("zoo/mine")) is None  # somebody's own run, whose name nothing else has
    assert zoo.results_folder("zoo/mine") == "zoo/mine"


def test_a_folder_does_not_take_the_place_of_a_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("zoo/dan").mkdir(parents=True)
    Path("zoo/dan/config.yaml").touch()
    zoo._warn_of_namesake.cache_clear()
    for _ in range(2):
        assert zoo.stored_file(zoo.run_path("zoo/dan")) == zoo.FOLDER / "dan.safetensors"
    assert zoo.results_folder("zoo/dan") == "logs/zoo/dan"
    (said,) = caplog.messages  # once
    assert said == "zoo/dan is the model that canthus ships, not the run folder of that name here, which is ./zoo/dan"
    assert zoo.run_path("./zoo/dan") == tmp_path / "zoo/dan"
    assert zoo.stored_file(zoo.run_path("./zoo/dan")) is None
    assert zoo.results_folder("./zoo/dan") == "./zoo/dan"
    with pytest.raises(ConfigError, match=r"zoo/dan/config.yaml is empty"):
        loading.load_config(zoo.run_path("./zoo/dan"))
    assert loading.load_config(zoo.run_path("zoo/dan")).model._target_.endswith("DANModule")


def test_only_the_best_weights_are_there() -> None:
    with pytest.raises(ConfigError, match="the best weights only"):
        loading.checkpoint_of(Path("zoo/mtcnn"), "last")


def test_importing_canthus_is_light() -> None:
    """Shell completion imports it at every keystroke."""
    code = "import sys, canthus; assert 'torch' not in sys.modules; canthus.nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "module 'canthus' has no attribute 'nothing'" in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_model_knows_its_faces(name: str) -> None:
    """The 1086 that it was trained on and the 121 held-out ones, whatever its data has grown to."""
    known = run_faces.remembered(Path("zoo", name))
    assert known is not None
    assert known.data == "w300"
    assert len(known.trained) == 1086


def test_the_zoos_held_out_faces_are_those_of_its_figures(real_data: Path) -> None:
    reader = W300(real_data / "300w", allow_partial=True)
    faces = reader.faces(["afw", "helen/trainset"])
    known = run_faces.remembered(Path("zoo/dan"))
    assert known is not None
    held = known.held_out([face.photo for face in faces])
    assert held is not None
    assert held.sum() == 121
    assert held.tolist() == hold_out(faces, 0.1, 0).tolist()
    assert known.trained_on(faces, reader, "w300").tolist() == (~held).tolist()
    assert not known.trained_on(reader.faces(["helen/testset"]), reader, "w300").any()
