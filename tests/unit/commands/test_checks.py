"""Configuration errors name the key, the place and the nearest right word; shipped configs all compose."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from canthus.commands import checks
from canthus.commands.launch import preflight
from canthus.utils import config, errors, files

EXPERIMENTS = sorted(path.stem for path in (Path(files.conf_path()) / "experiment").glob("*.yaml"))


def problem(*arguments: str) -> str | None:
    checks.register_schemas()
    try:
        preflight(list(arguments), "train")
    except errors.ConfigError as error:
        return str(error)
    return None


def composed(*overrides: str):
    checks.register_schemas()
    with initialize_config_dir(files.conf_path(), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sede=1"], ["unknown key 'sede'", "did you mean 'seed'"]),
        (["trainer.max_epoch=3"], ["unknown key 'trainer.max_epoch'", "'max_epochs'"]),
        (["model.widht=0.5"], ["unknown key 'model.widht'", "'width'"]),
        (["data.augmentation.rotatoin=3"], ["unknown key 'data.augmentation.rotatoin'", "'rotation'"]),
        (["model=dna"], ["no model is called 'dna'", "did you mean 'dan'"]),
        (["experiment=dan_300"], ["no experiment is called 'dan_300'", "'dan_300w'"]),
        (["data=wflww"], ["no data is called 'wflww'"]),
        (["seed=abc"], ["seed", "abc"]),
        (["experiment=san_300w_cpu", "steps.stile.folder=x"], ["unknown key 'steps.stile'", "did you mean 'style'"]),
        (["experiment=san_300w_cpu", "steps.gan.trainer.epochs=1"], ["steps.gan.trainer.epochs", "max_epochs"]),
    ],
)
def test_command_line_mistakes(arguments: list[str], words: list[str]) -> None:
    message = problem(*arguments)
    assert message is not None
    for word in words:
        assert word in message


def test_right_command_lines_pass() -> None:
    assert problem("seed=0", "trainer.max_epochs=3", "model.width=0.5", "data.root=/x", "data=w300") is None
    assert problem("-m", "seed=0,1", "model.width=0.5,1.0") is None


def test_null_is_none() -> None:
    checks.register_schemas()
    assert preflight(["logger=null", "callbacks=null"], "train")[0] == ["logger=none", "callbacks=none"]


def test_defaults_in_signatures_can_be_overridden_without_plus() -> None:
    checks.register_schemas()
    arguments = ["model.width=0.5", "seed=3", "-m", "trainer.gradient_clip_val=1,2"]
    assert preflight(arguments, "train")[0] == [
        "-m",
        "++model.width=0.5",
        "seed=3",
        "++trainer.gradient_clip_val=1,2",
    ]


def test_unknown_key_inside_an_experiment_file(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    (conf / "experiment").mkdir(parents=True)
    (conf / "experiment" / "mine.yaml").write_text("# @package _global_\nsede: 5\n")
    (conf / "experiment" / "nested.yaml").write_text("# @package _global_\ntrainer: {max_epoch: 3}\n")
    search = f"hydra.searchpath=[file://{conf}]"
    message = problem(search, "experiment=mine")
    assert message is not None
    assert "unknown key 'sede'" in message
    assert "experiment/mine" in message
    assert "did you mean 'seed'" in message
    with pytest.raises(errors.ConfigError, match=r"unknown key 'trainer.max_epoch'.*did you mean 'max_epochs'"):
        checks.check(composed(search, "experiment=nested"))


@pytest.mark.parametrize(
    ("name", "arguments", "absent"),
    [("eval", [], "run"), ("predict", ["run=x", "source=y"], "output"), ("predict", [], "run=..., source=")],
)
def test_needed_arguments_are_named(name: str, arguments: list[str], absent: str) -> None:
    from canthus.commands import evaluate

    checks.register_schemas()
    evaluate._register_run()
    with pytest.raises(errors.ConfigError, match=re.escape(f"needed but not given: {absent}")):
        preflight(arguments, name)


def test_plus_does_not_get_past_the_check() -> None:
    with pytest.raises(errors.ConfigError, match=r"unknown key 'sede': did you mean 'seed'"):
        checks.check(composed("+sede=1"))
    with pytest.raises(errors.ConfigError, match=r"unknown key 'trainer.max_epoch'"):
        checks.check(composed("+trainer.max_epoch=1"))
    with pytest.raises(errors.ConfigError, match=r"unknown key 'data.sise'.*'size'"):
        checks.check(composed("+data.sise=1"))


def test_callbacks_without_target_are_refused() -> None:
    with pytest.raises(errors.ConfigError, match=r"callbacks.evalutor has no _target_.*'evaluator'"):
        checks.check(composed("+callbacks.evalutor.threshold=10"))


def test_missing_values_are_listed_with_the_remedy() -> None:
    with pytest.raises(errors.ConfigError, match=r"needed but not given: data.root=\.\.\."):
        checks.check(composed("data=w300"))


def test_a_target_that_cannot_be_imported() -> None:
    with pytest.raises(errors.ConfigError, match=r"model._target_=canthus.models.nothing"):
        checks.check(composed("model._target_=canthus.models.nothing"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_passes_the_checks(experiment: str) -> None:
    folders = [] if experiment in ("demo", "synthetic_dan") else ["data.root=/nowhere"]
    if experiment == "mtcnn_wider":
        folders.append("data.landmarks.root=/nowhere")
    checks.check(composed(f"experiment={experiment}", *folders))


@pytest.mark.parametrize(
    "override",
    [
        *(f"trainer={name}" for name in ("cpu", "gpu", "mps", "ddp", "ddp_sim", "default")),
        *(f"logger={name}" for name in ("csv", "wandb", "tensorboard", "many", "none")),
        *(f"callbacks={name}" for name in ("default", "none")),
        *(f"debug={name}" for name in ("fdr", "overfit", "limit", "profiler")),
        "data.augmentation=null",
        "data=synthetic_scenes",
    ],
)
def test_every_choice_passes_the_checks(override: str) -> None:
    checks.check(composed(override))


def test_seed_zero_is_a_seed() -> None:
    assert composed("seed=0").seed == 0
    assert OmegaConf.select(composed("seed=0"), "data.seed") == 0


def test_config_module_does_not_import_torch() -> None:
    """Shell completion composes without building anything, so it must not wait for torch."""
    import subprocess
    import sys

    names = ", ".join(
        f"canthus.commands.{name}" for name in ("train", "evaluate", "predict", "data", "report", "export")
    )
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_other_primary_configs_are_refused() -> None:
    assert "--config-dir DIR" in (problem("-m", "-cn", "train", "seed=0,1") or "")


def test_glob_sweeps_are_left_to_hydra() -> None:
    assert problem("-m", "experiment=glob(*_cpu)") is None


def test_paths_are_checked() -> None:
    with pytest.raises(errors.ConfigError, match=r"unknown key 'paths.log_dri': did you mean 'log_dir'"):
        checks.check(composed("+paths.log_dri=/x"))


def test_a_config_folder_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 5\n")
    arguments, _ = preflight(["--config-dir", str(tmp_path), "experiment=mine"], "train")
    assert arguments == [f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine"]
    assert "no such folder" in (problem("--config-dir=/nowhere", "experiment=mine") or "")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.max_epochs=two", "trainer.max_epochs=two: it has to be a whole number"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs=1.5: it has to be a whole number"),
        ("+model.width=abc", "model.width=abc: it has to be a number"),
        ("data.size=sixty", "data.size=sixty: it has to be a whole number"),
        ("+data.augmentation.rotation=lots", "data.augmentation.rotation=lots: it has to be a number"),
        ("+trainer.detect_anomaly=maybe", "trainer.detect_anomaly=maybe: it has to be true or false"),
    ],
)
def test_values_of_another_kind_are_refused(override: str, words: str) -> None:
    with pytest.raises(errors.ConfigError, match=re.escape(words)):
        checks.check(composed(override))


def test_a_key_may_be_given_twice() -> None:
    assert problem("model.width=0.05", "model.width=0.06") is None


def test_nodes_below_keys_that_are_numbers_are_seen() -> None:
    node = OmegaConf.create({"a": {1: {"b": "x"}, 2.5: ["y"]}})
    found = {place: leaf._value() for place, leaf in config.nodes_of(node) if not OmegaConf.is_config(leaf)}
    assert found == {"a.1.b": "x", "a.2.5[0]": "y"}
