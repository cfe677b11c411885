"""Steps of a run: done once, in order, before it; skipped, gone on with or refused when they are there."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from canthus.commands import pipeline
from canthus.commands.checks import register_schemas
from canthus.utils.errors import ConfigError
from canthus.utils.files import conf_path

SMALL = [
    "experiment=san_300w_cpu", "data.allow_partial=true", "data.validation=0.25", "data.batch_size=4",
    "trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "model.width=0.05",
    "model.later_width=0.05", "model.size=32", "steps.style.model.size=32", "steps.style.callbacks.clusters.minimum=0",
    "steps.style.data.batch_size=4", "steps.gan.data.batch_size=4", "steps.gan.model.width=0.05",
    "steps.gan.model.blocks=1", "steps.gan.model.size=32", "steps.gan.trainer.max_epochs=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def arguments(small_300w: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    logs = tmp_path_factory.mktemp("steps")
    return [*SMALL, f"data.root={small_300w}", f"paths.cache={cache}", f"paths.log_dir={logs}"]


@pytest.fixture(scope="module")
def logs(arguments: list[str], run_command) -> Path:
    """Where the steps went, after a whole run."""
    logs = Path(arguments[-1].partition("=")[2])
    assert run_command("train", *arguments, f"hydra.run.dir={logs / 'run'}") == 0
    return logs / "san_300w_cpu"


def record(folder: Path) -> dict:
    return json.loads((folder / "provenance.json").read_text())


def test_every_step_is_a_run_with_its_pictures(logs: Path) -> None:
    style, gan, run = logs / "style", logs / "gan", logs.parent / "run"
    assert [record(folder)["status"] for folder in (style, gan, run)] == ["finished"] * 3
    assert record(style)["started"] <= record(gan)["started"] <= record(run)["started"]
    sizes = json.loads((style / "clusters.json").read_text())["sizes"]
    assert len(sizes) == 3
    assert sum(sizes) == len((style / "clusters.csv").read_text().splitlines()) - 1
    assert {path.stem for path in (style / "styles").iterdir()} == {"styles", "cluster_0", "cluster_1", "cluster_2"}
    assert sorted(path.name for path in (gan / "previews").iterdir()) == ["epoch_0000.png", "epoch_0001.png"]
    assert (run / "belief_maps" / "epoch_0000.png").is_file()
    assert not (run / "previews").exists()
    before = torch.load(gan / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    after = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    generators = [name for name in before if name.startswith("generators.")]
    assert len(generators) > 10
    assert all(torch.equal(before[name], after[f"network.{name}"]) for name in generators)


def test_a_step_cannot_be_evaluated_and_says_what_it_is_for(logs: Path, run_command, tmp_path: Path) -> None:
    for name, model, use in (
        ("style", "classifier", "san_style model.clusters"),
        ("gan", "style", "san model.generators"),
    ):
        folder = tmp_path / name
        assert run_command("evaluate", f"run={logs / name}", f"output={folder}") == 2
        text = next(folder.rglob("evaluate.log")).read_text()
        assert f"is of model=san_{model}, which places no landmarks" in text
        assert f"Train that with model={use}={logs / name}" in text
        assert "trust=" not in text


@pytest.mark.slow
def test_styles_are_compared_with_generators_and_without(
    logs: Path, arguments: list[str], run_command, tmp_path: Path
) -> None:
    """Trained on sketches, too; the steps before it keep to the images and are not done again."""
    begun = [record(logs / name)["started"] for name in ("style", "gan")]
    for name, words in (("with", []), ("without", ["model.generators=null"])):
        run = tmp_path / name
        assert run_command("train", *arguments, *words, "data.styles=[sketch]", f"hydra.run.dir={run}") == 0
        assert run_command("evaluate", f"run={run}", "styles=[original,sketch,grey]", f"output={run / 'table'}") == 0
        content = json.loads((run / "table/styles.json").read_text())
        assert content["trained_on"] == ["sketch"]
        errors = {style: subsets["full"]["nme"] for style, subsets in content["styles"].items()}
        assert len(set(errors.values())) == 3
        assert errors["sketch"] == pytest.approx(
            json.loads((run / "metrics.json").read_text())["subsets"]["full"]["nme"]
        )
    assert [record(logs / name)["started"] for name in ("style", "gan")] == begun


def test_what_is_done_is_not_done_again(logs: Path, arguments: list[str], run_command, tmp_path: Path) -> None:
    begun = [record(logs / name)["started"] for name in ("style", "gan")]
    assert run_command("train", *arguments, "seed=1", f"hydra.run.dir={tmp_path / 'again'}") == 0
    assert [record(logs / name)["started"] for name in ("style", "gan")] == begun
    assert "step 2 of 2, gan: done" in (tmp_path / "again" / "train.log").read_text()


def test_other_settings_are_refused_by_name(logs: Path, arguments: list[str], run_command, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run_command("train", *arguments, "steps.gan.model.cycle=5.0", f"hydra.run.dir={folder}") == 2
    text = (folder / "train.log").read_text()
    assert "holds step gan with model.cycle=None, which is 5.0 now" in text
    assert "steps.gan.folder=DIR" in text


def test_a_stopped_step_goes_on(logs: Path, arguments: list[str], run_command, tmp_path: Path) -> None:
    stopped = tmp_path / "gan"
    shutil.copytree(logs / "gan", stopped)
    for name in ("config.yaml", "provenance.json"):
        text = (stopped / name).read_text().replace(str(logs / "gan"), str(stopped))
        (stopped / name).write_text(text.replace('"finished"', '"running"'))
    words = [*arguments, f"steps.gan.folder={stopped}", "step=gan", f"hydra.run.dir={tmp_path / 'run'}"]
    assert run_command("train", *words) == 0
    assert record(stopped)["status"] == "finished"
    assert "its 2 epochs are done" in (tmp_path / "run" / "train.log").read_text()
    assert not (tmp_path / "run" / "checkpoints").exists()  # step=gan ends there


def composed(*words: str):
    register_schemas()
    # the command line does this by itself for arguments that stand in no config
    words = tuple(f"++{word}" if "." in word.split("=")[0] and word[0] != "+" else word for word in (*SMALL, *words))
    with initialize_config_dir(conf_path(), version_base="1.3"):
        cfg = compose("train", [*words, "data.root=nowhere", "task_name=test"])
    cfg.paths.output_dir = "run"
    return cfg


def prepared(*words: str) -> list[str]:
    """The steps that would be done."""
    done: list[str] = []
    pipeline.prepare(
        composed("paths.log_dir=/nowhere", *words), lambda cfg: done.append(Path(cfg.paths.output_dir).name)
    )
    return done


@pytest.fixture(autouse=True)
def _no_locks(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "logs" not in request.fixturenames:
        from contextlib import nullcontext

        monkeypatch.setattr("canthus.runs.folders.held", lambda folder, wait: nullcontext())


def test_only_steps_that_somebody_reads_are_done() -> None:
    assert prepared() == ["style", "gan"]
    assert prepared("step=style") == ["style"]
    assert prepared("model.generators=null") == []
    assert prepared("model.generators=/elsewhere") == []
    assert prepared("steps.gan.model.clusters=/elsewhere") == ["gan"]
    assert prepared("model.generators=null", "step=gan") == ["style", "gan"]


def test_a_step_is_the_run_with_parts_of_its_own() -> None:
    step = pipeline.step_config(composed("steps.gan.folder=/there", "seed=3", "data.extent=2.5"), "gan")
    assert step.paths.output_dir == step.callbacks.last.dirpath.removesuffix("/checkpoints") == "/there"
    assert step.model.clusters.endswith("san_300w_cpu/style")
    assert "stages" not in step.callbacks
    assert "scheme" not in step.model
    assert [step.seed, step.data.seed, step.data.extent, step.data.batch_size] == [0, 0, 2.5, 4]
    assert step.steps == {}
    leaking = pipeline.step_config(composed("steps.style.data.include_test=true"), "gan")
    assert leaking.data.include_test is True


def test_mistakes_in_any_step_are_found_before_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"step gan: unknown key 'data.batch_sise'.*batch_size"):
        prepared("+steps.gan.data.batch_sise=3")
    with pytest.raises(ConfigError, match=r"step=gna: did you mean 'gan'"):
        prepared("step=gna")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"step style is not done and runs in one process"):
        prepared()
