"""One command: a step on rendered faces, and the run that starts from its weights."""

import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from canthus.commands import pipeline
from canthus.commands.checks import register_schemas
from canthus.reporting.page.records import recipe_of, trained_seconds
from canthus.utils.files import conf_path

TINY = [
    "experiment=mdm_300w_cpu", "data.batch_size=8", "data.validation=0.25", "trainer.max_epochs=1",
    "trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "callbacks.overlays=null", "callbacks.ema=null",
    "model.size=32", "model.diagonal=24", "model.patch=10", "model.channels=2", "model.hidden=4", "model.stages=2",
    "model.scheduler=null", "model.optimizer.lr=0.0", "steps.pretrain.model.scheduler=null",
    "+steps.pretrain.model.optimizer.lr=0.01", "steps.pretrain.trainer.max_epochs=1", "steps.pretrain.data.size=16",
    "steps.pretrain.data.resolution=64",
]  # fmt: skip


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]


def test_a_model_is_trained_from_the_weights_of_its_step(
    small_300w: Path, cache: Path, tmp_path: Path, run_command
) -> None:
    """The rate of the run is 0, so that its weights are those of the step, which learns."""
    words = [*TINY, f"data.root={small_300w}", f"paths.cache={cache}", f"paths.log_dir={tmp_path / 'logs'}"]
    assert run_command("train", *words, "step=pretrain", f"hydra.run.dir={tmp_path / 'first'}") == 0
    (step,) = (tmp_path / "logs/steps").iterdir()
    begun = json.loads((step / "provenance.json").read_text())["started"]
    run = tmp_path / "run"
    assert run_command("train", *words, f"hydra.run.dir={run}") == 0
    assert [path.name for path in (tmp_path / "logs/steps").iterdir()] == [step.name]
    mine, its = weights(run), weights(step)
    assert all(torch.equal(mine[name], its[name]) for name in its)
    record = json.loads((run / "provenance.json").read_text())
    of_step = record["steps"]["pretrain"]
    assert [of_step[key] for key in ("folder", "data", "seed", "started", "epochs", "status", "best_epoch")] == [
        str(step), "synthetic", 0, begun, 1, "finished", 0,
    ]  # fmt: skip
    assert trained_seconds(record) == pytest.approx(record["seconds"] + of_step["seconds"])


def composed(*words: str, recipe: str = "experiment=mdm_300w_cpu") -> DictConfig:
    register_schemas()
    words = tuple(f"++{word}" if word.startswith(("model.", "steps.")) else word for word in words)
    with initialize_config_dir(conf_path(), version_base="1.3"):
        cfg = compose("train", [recipe, "data.root=nowhere", "task_name=test", "paths.log_dir=/there", *words])
    cfg.paths.output_dir = "run"
    return cfg


def done(cfg: DictConfig, monkeypatch: pytest.MonkeyPatch) -> dict[str, DictConfig]:
    """The steps that would be done, by the name of their folder, in their order."""
    from contextlib import nullcontext

    monkeypatch.setattr("canthus.runs.folders.held", lambda folder, wait: nullcontext())
    found: dict[str, DictConfig] = {}
    pipeline.prepare(cfg, lambda step: found.update({Path(step.paths.output_dir).name: step}))
    return found


def test_a_step_is_the_same_model_on_faces_of_another_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = composed("model.hidden=7", "data.extent=2.5", "data.validation_seed=3")
    ((name, step),) = done(cfg, monkeypatch).items()
    assert cfg.init_from == step.paths.output_dir == f"/there/steps/{name}"
    assert [step.model.hidden, step.data.extent, step.data.validation_seed, step.data.batch_size] == [7, 2.5, 3, 16]
    assert step.data.augmentation == cfg.data.augmentation
    assert not {"root", "allow_partial", "box"} & set(step.data)
    assert [step.data.name, list(step.data.train_parts), step.data.size] == ["synthetic", ["train"], 3000]
    assert [step.model.scheduler.max_lr, step.trainer.max_epochs, step.init_from] == [0.002, 14, None]
    assert "ema" in step.callbacks
    assert step.callbacks.last.dirpath == f"/there/steps/{name}/checkpoints"


def test_runs_share_a_step_that_is_the_same_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(*words: str) -> str:
        (name,) = done(composed(*words), monkeypatch)
        return name

    usual = place()
    assert usual == place("trainer.max_epochs=99", "data.root=elsewhere", "model.scheduler.max_lr=0.1", "task_name=b")
    others = [place("model.hidden=7"), place("seed=1"), place("steps.pretrain.data.size=9"), place("data.extent=2.9")]
    assert len({usual, *others}) == 5
    assert not done(composed("init_from=null"), monkeypatch)
    assert not done(composed("init_from=zoo/mdm"), monkeypatch)


def test_seeds_of_one_recipe_stay_one_although_their_steps_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = []
    for words in (["seed=0"], ["seed=1"], ["steps.pretrain.data.size=9"]):
        cfg = composed(*words)
        done(cfg, monkeypatch)
        content = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(content, dict)
        recipes.append(recipe_of(content))
    assert recipes[0] == recipes[1] != recipes[2]


def test_a_step_comes_after_those_that_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """SAN's generators are part of the network that is pretrained."""
    cfg = composed("pretrain=rendered", recipe="experiment=san_300w_cpu")
    names = list(done(cfg, monkeypatch))
    assert [name.split("_")[0] for name in names] == ["style", "gan", "pretrain"]
