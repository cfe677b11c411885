"""canthus-export, and its weights in every command that takes a run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from canthus import zoo
from canthus.export import entry
from canthus.inference.predictor import Predictor
from canthus.runs import loading
from canthus.runs.loading import open_run


@pytest.fixture(scope="module")
def stored(trained: Path, run_command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "tiny.safetensors"
    assert run_command("export", f"run={trained}", "format=safetensors", f"output={path}", "tolerance=0.5") == 0
    return path


def landmarks(folder: Path) -> dict[str, np.ndarray]:
    content = json.loads((folder / "landmarks.json").read_text())
    return {Path(name).name: np.array(each["faces"][0]["landmarks"]) for name, each in content["images"].items()}


def test_torchscript(trained: Path, run_command, tmp_path: Path, capsys) -> None:
    path = tmp_path / "deep" / "dan.pt"
    assert run_command("export", f"run={trained}", "format=torchscript", f"output={path}") == 0
    said = capsys.readouterr().err
    assert "outputs differ from the model's by at most" in said
    assert "batch 1:" in said
    assert "(PyTorch " in said
    files = {"canthus.json": ""}
    module = torch.jit.load(str(path), _extra_files=files)
    about = json.loads(files["canthus.json"])
    assert about["scheme"] == "68"
    predictor = Predictor.of(open_run(trained), device="cpu", batch_size=4)
    pixels = np.random.default_rng(0).integers(0, 255, (90, 80, 3), dtype=np.uint8)
    batch = predictor.inputs(pixels, np.array([[10.0, 10, 70, 80]]))
    found = predictor(pixels, np.array([[10.0, 10, 70, 80]]))[0]
    crop = module(batch["image"])[0][0, -1].double()
    matrix = batch["to_original"][0].double()
    np.testing.assert_allclose((crop @ matrix[:, :2].T + matrix[:, 2]).numpy(), found.landmarks, atol=1e-3)
    assert sorted(each.name for each in path.parent.iterdir()) == ["dan.pt"]


def test_stored_weights_are_a_run(stored: Path, trained: Path, run_command, images: Path, tmp_path: Path) -> None:
    card = stored.with_suffix(".md").read_text()
    assert zoo.sha256(stored) in card
    assert "Storing changed the NME from" in card
    assert "trainer.max_epochs=4" in card
    assert str(trained) not in card
    assert stored.stat().st_size < 0.4 * (trained / "checkpoints" / "best.ckpt").stat().st_size
    for run, name in ((trained, "a"), (stored, "b")):
        arguments = [f"source={images / 'b.png'}", f"output={tmp_path / name}", "detector=none"]
        assert run_command("predict", f"run={run}", *arguments) == 0
    first, then = landmarks(tmp_path / "a")["b.png"], landmarks(tmp_path / "b")["b.png"]
    assert np.abs(first - then).max() < 0.5
    assert run_command("evaluate", f"run={stored}", "overlays=0") == 0
    results = list((stored.parent / "tiny" / "evaluation").glob("*/metrics.json"))
    nme = json.loads(results[0].read_text())["subsets"]["full"]["nme"]
    assert abs(nme - json.loads((trained / "metrics.json").read_text())["subsets"]["full"]["nme"]) < 0.05


def test_a_zoo_of_ones_own(
    trained: Path, run_command, images: Path, cache: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    """From a run to ``zoo/tiny``: recorded, used to predict and to start from, refused once it was touched."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("terms.yaml", "mtcnn.safetensors", zoo.SUMS):
        shutil.copy(zoo.FOLDER / name, folder)
    monkeypatch.setattr(zoo, "FOLDER", folder)
    monkeypatch.chdir(tmp_path)
    path = folder / "tiny.safetensors"
    words = [f"run={trained}", "format=safetensors", f"output={path}", "storage=int8", "tolerance=0.5"]
    assert run_command("export", *words) == 0
    assert path.stat().st_mode & 0o044  # for everybody
    assert f"{zoo.sha256(path)}  tiny.safetensors" in (folder / zoo.SUMS).read_text()
    source = f"source={images / 'b.png'}"
    assert run_command("predict", "run=zoo/tiny", source, "output=found") == 0  # the zoo's detector looks for faces
    assert "faces" in json.loads(Path("found/landmarks.json").read_text())["images"][str(images / "b.png")]
    assert run_command("predict", "run=zoo/tiny", source, "output=whole", "detector=none") == 0
    assert landmarks(Path("whole"))["b.png"].shape == (68, 2)
    train = ["data=synthetic", "trainer=cpu", "model.width=0.05", "data.size=24", "data.resolution=128"]
    train += ["data.batch_size=8", "data.validation=0.25", f"paths.cache={cache}", "trainer.fast_dev_run=true"]
    assert run_command("train", *train, "init_from=zoo/tiny", "hydra.run.dir=warm") == 0
    capsys.readouterr()
    assert run_command("train", "resume=zoo/tiny") == 2
    assert "init_from=zoo/tiny starts from them" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:-1] + b"\x00\x01")
    assert run_command("predict", "run=zoo/tiny", source, "output=again", "detector=none") == 2
    assert "its hash differs" in "".join(capsys.readouterr())


def test_what_is_too_large_or_too_lossy_is_not_written(
    trained: Path, run_command, tmp_path: Path, monkeypatch, capsys
) -> None:
    folder = tmp_path / "shipped"
    folder.mkdir()
    shutil.copy(zoo.FOLDER / "terms.yaml", folder)
    monkeypatch.setattr(zoo, "FOLDER", folder)
    words = [f"run={trained}", "format=safetensors", f"output={folder / 'tiny.safetensors'}"]
    assert run_command("export", *words, "tolerance=-99") == 1
    assert "the NME rises by" in "".join(capsys.readouterr())
    monkeypatch.setattr(entry, "LARGEST", 1000)
    assert run_command("export", *words, "tolerance=9") == 1
    assert "a file of the zoo has at most 0.001" in "".join(capsys.readouterr())
    assert [path.name for path in folder.iterdir()] == ["terms.yaml"]


def test_the_stored_config_is_of_no_machine(trained: Path) -> None:
    trained_config = loading.load_config(trained)
    trained_config.data.root = "/somebody/300w"
    trained_config.model.weights = "/somebody/weights.pt"
    kept = entry.portable_config(trained_config)
    assert kept.data._get_node("root")._is_missing()
    assert kept.model.weights == "weights.pt"
    assert "logger" not in kept
    assert "default_root_dir" not in kept.trainer


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["format=onix"], "format=onix: did you mean 'onnx'"),
        (["format=safetensors", "storage=int4"], "storage=int4: did you mean 'int8'"),
        (["format=safetensors"], "weights go into a .safetensors file"),
        (["format=torchscript", "device=abacus"], "device=abacus"),
    ],
)
def test_mistakes(trained: Path, run_command, tmp_path: Path, capsys, words: list[str], message: str) -> None:
    assert run_command("export", f"run={trained}", f"output={tmp_path / 'a.bin'}", *words) == 2
    assert message in "".join(capsys.readouterr())
    assert not list(tmp_path.iterdir())
