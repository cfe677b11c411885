"""Evaluation gives the training run's own figures, and refuses what it cannot trust."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf


def test_reproduces_the_validation_figures(trained: Path, run_command, tmp_path: Path) -> None:
    assert run_command("evaluate", f"run={trained}", f"output={tmp_path}") == 0
    ours, theirs = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path, trained))
    assert ours["normaliser"] == theirs["normaliser"] == "inter_ocular"
    assert ours["subsets"].keys() == theirs["subsets"].keys()
    for name, subset in theirs["subsets"].items():
        for key, value in subset.items():
            assert ours["subsets"][name][key] == pytest.approx(value, abs=1e-6), (name, key)
    assert (tmp_path / "predictions.csv").read_text() == (trained / "predictions.csv").read_text()


def test_other_data_and_another_normaliser(trained: Path, run_command, small_300w: Path, cache, tmp_path: Path) -> None:
    arguments = ["data=w300", f"data.root={small_300w}", "data.allow_partial=true", "data.test_parts=[ibug]"]
    arguments += [f"paths.cache={cache}", "normaliser=box_diagonal", "threshold=5", f"output={tmp_path}"]
    assert run_command("evaluate", f"run={trained}", *arguments) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["data"], metrics["normaliser"], metrics["threshold"]) == ("w300", "box_diagonal", 5.0)
    assert metrics["subsets"]["full"]["faces"] == 8


def test_single_keys_of_the_runs_data(trained: Path, run_command, tmp_path: Path) -> None:
    assert run_command("evaluate", f"run={trained}", "split=test", "data.size=30", f"output={tmp_path}") == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["subsets"]["full"]["faces"] == 6


def test_what_is_given_is_not_overwritten(trained: Path, run_command, tmp_path: Path, capsys) -> None:
    """The run's seed and threshold are for those who name none."""
    words = [f"run={trained}", f"output={tmp_path}", "overlays=0"]
    assert run_command("evaluate", *words, "seed=7", "threshold=5.5") == 0
    cfg = OmegaConf.load(tmp_path / "config.yaml")
    assert (cfg.seed, cfg.threshold) == (7, 5.5)
    assert json.loads((tmp_path / "provenance.json").read_text())["seed"] == 7
    capsys.readouterr()
    assert run_command("evaluate", *words, "threshold=0") == 2
    assert "threshold=0.0: percent of the normaliser, above 0 (8.0, not 0.08)" in capsys.readouterr().err


def test_not_a_run(run_command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("evaluate", f"run={tmp_path}") == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_a_missing_checkpoint_names_those_that_are_there(trained: Path, run_command, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "checkpoints/best.ckpt").unlink()
    assert run_command("evaluate", f"run={copy}") == 2
    text = next(copy.rglob("evaluate.log")).read_text()
    assert "best.ckpt does not exist" in text
    assert "last.ckpt" in text


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (open, ("evil", "w"))


def test_a_checkpoint_that_holds_code_is_refused(trained: Path, run_command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(trained, tmp_path / "copy")
    checkpoint = torch.load(copy / "checkpoints/best.ckpt", weights_only=True)
    torch.save({**checkpoint, "evil": Evil()}, copy / "checkpoints/best.ckpt", pickle_module=pickle)
    assert run_command("evaluate", f"run={copy}") == 2
    assert not (tmp_path / "evil").exists()
    assert "it holds pickled code (io.open)" in next(copy.rglob("evaluate.log")).read_text()


@pytest.mark.parametrize("place", ["model.scheme", "data.root", "trainer.callbacks"])
def test_nested_code_from_outside_is_refused(place: str, trained: Path, run_command, tmp_path: Path, capsys) -> None:
    """Instantiation is recursive, so every node counts, not only the top."""
    from omegaconf import OmegaConf

    copy = shutil.copytree(trained, tmp_path / "copy")
    config = OmegaConf.load(copy / "config.yaml")
    OmegaConf.update(config, place, {"_target_": "os.makedirs", "name": str(tmp_path / "made")}, force_add=True)
    OmegaConf.save(config, copy / "config.yaml")
    assert run_command("evaluate", f"run={copy}") == 2
    assert not (tmp_path / "made").exists()
    logs = "".join(log.read_text() for log in copy.rglob("evaluate.log")) + capsys.readouterr().err
    assert "os.makedirs is code from outside canthus" in logs


def test_what_canthus_would_call_for_others_is_refused(trained: Path, run_command, tmp_path: Path, capsys) -> None:
    """A function of canthus that builds what it is told to is as good as code from outside."""
    from omegaconf import OmegaConf

    copy = shutil.copytree(trained, tmp_path / "copy")
    config = OmegaConf.load(copy / "config.yaml")
    made = {"_target_": "canthus.data.make_reader", "_args_": ["subprocess.Popen", {"args": f"touch {tmp_path}/made"}]}
    OmegaConf.update(config, "model.scheme", made, force_add=True)
    OmegaConf.save(config, copy / "config.yaml")
    assert run_command("evaluate", f"run={copy}") == 2
    assert not (tmp_path / "made").exists()


def test_a_module_that_canthus_imports_is_not_canthus(trained: Path, run_command, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = (copy / "config.yaml").read_text()
    config = config.replace("canthus.models.dan.module.DANModule", "canthus.runs.loading.subprocess.run")
    (copy / "config.yaml").write_text(config)
    assert run_command("evaluate", f"run={copy}") == 2
    assert "code from outside canthus" in next(copy.rglob("evaluate.log")).read_text()


def test_a_model_from_outside_is_refused(trained: Path, run_command, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = (copy / "config.yaml").read_text().replace("canthus.models.dan.module.DANModule", "os.system")
    (copy / "config.yaml").write_text(config)
    assert run_command("evaluate", f"run={copy}") == 2
    assert "code from outside canthus" in next(copy.rglob("evaluate.log")).read_text()
