"""What strangers send is data: every command that takes a run refuses code, secrets and ways out of it in one line."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import canthus
from canthus.runs import weights
from canthus.runs.loading import load_config
from canthus.runs.resume import changed_settings
from canthus.runs.trust import as_reader
from canthus.utils.errors import ConfigError

SECRET = "hunter2-of-the-reader"
LOADER = "canthus_test_loader"


class Pwned:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears if anything of a stranger's runs."""
    monkeypatch.setenv("CANTHUS_TEST_SECRET", SECRET)
    (tmp_path / "some.pkl").write_bytes(pickle.dumps(Pwned(tmp_path / "pwned")))
    return tmp_path / "pwned"


def attacks(pickled: Path) -> dict[str, tuple[Callable[[dict], object], str]]:
    """Name -> how a config is changed, and what the refusal says."""
    load = f"{{_target_: joblib.load, filename: {pickled}}}"
    node = yaml.safe_load(load)

    def at(*place: str, value: object) -> Callable[[dict], object]:
        def change(config: dict) -> None:
            for key in place[:-1]:
                config = config.setdefault(key, {})
            config[place[-1]] = value

        return change

    created = "${oc.create:{_target_:joblib.load,filename:" + str(pickled) + "}}"
    return {
        "created": (at("model", "width", value={"a": created}), "model.width.a=${oc.create:"),
        "escaped": (at("model", "width", value="\\${oc.env:CANTHUS_TEST_SECRET}"), "is an interpolation"),
        "in a list": (at("data", "train_parts", value=["train", ["${oc.env:CANTHUS_TEST_SECRET}"]]), "[1][0]=${oc.env"),
        "in a key": (at("data", "subsets", value={"${oc.env:CANTHUS_TEST_SECRET}": ["train"]}), "is an interpolation"),
        "secret": (
            at("data", "name", value="${oc.env:CANTHUS_TEST_SECRET}"),
            "data.name=${oc.env:CANTHUS_TEST_SECRET}",
        ),
        "relative": (at("data", "name", value="${..seed}"), "data.name=${..seed} is an interpolation"),
        "nested": (at("model", "width", value=node), "model.width._target_=joblib.load is code from outside canthus"),
        "under a number": (at("model", "width", value={1: node}), "model.width.1._target_=joblib.load is code"),
        "in lists": (at("model", "statistics_faces", value=[[node]]), "statistics_faces[0][0]._target_=joblib.load"),
        "itself": (at("model", "_target_", value="os.system"), "model._target_=os.system is code from outside"),
        "through": (at("model", "_target_", value="canthus.runs.loading.os.system"), "code from outside canthus"),
        "arguments": (at("model", "_args_", value=[1]), "model._args_=[1] is code from outside"),
        "later": (at("model", "_recursive_", value=False), "model._recursive_=False is code from outside"),
        "partly": (at("model", "_partial_", value=True), "model._partial_=True is code from outside"),
        "no name": (at("model", "_target_", value={"a": 1}), "names no class"),
    }


NAMES = tuple(attacks(Path("x")))
OF_DATA = {
    "reader": ({"reader": "os.system"}, "data.reader=os.system is code from outside canthus"),
    "augmentation": ({"augmentation": {"_target_": "os.system"}}, "data.augmentation._target_=os.system is code"),
    "landmarks": ({"landmarks": {"reader": "os.system"}}, "data.landmarks.reader=os.system is code"),
    "defaults": ({"defaults": [{"/callbacks": "default"}]}, "data.defaults would choose other configs"),
    "folder": ({"name": "../../../x"}, "data.name=../../../x cannot be part of a folder's name"),
}


def changed(run: Path, copy: Path, change: Callable[[dict], object]) -> Path:
    """A copy of a run, as somebody sends it, with another config."""
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("overlays"))
    config = yaml.safe_load((copy / "config.yaml").read_text())
    change(config)
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    return copy


def stored(run: Path, path: Path) -> Path:
    """The same as a weights file."""
    state = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    state = {name: value.contiguous() for name, value in state.items()}
    weights.write_weights(path, state, {"model": "dan", "config": (run / "config.yaml").read_text()})
    return path


COMMANDS: dict[str, Callable[[Path, Path, Path], list[object]]] = {
    "evaluate": lambda run, images, out: [f"run={run}", f"output={out}", "overlays=0"],
    "evaluate other data": lambda run, images, out: [
        f"run={run}", "data=synthetic", "data.size=12", f"output={out}",
    ],
    "predict": lambda run, images, out: [f"run={run}", f"source={images}", f"output={out}"],
    "export graph": lambda run, images, out: [f"run={run}", "format=torchscript", f"output={out}/a.pt"],
    "export weights": lambda run, images, out: [
        f"run={run}", "format=safetensors", "terms=none", f"output={out}/a.safetensors",
    ],
    "evaluate study": lambda run, images, out: [
        "study=critique", "data=synthetic", "data.size=12", "data.test_parts=[test]", f"runs=[{run}]", f"output={out}",
    ],
    "train resume": lambda run, images, out: [f"resume={run}", "trainer.max_epochs=9"],
    "train init_from": lambda run, images, out: [
        "data=synthetic", "data.size=12", "trainer=cpu", "model.width=0.05", f"init_from={run}", f"hydra.run.dir={out}",
        "callbacks=none", "+trainer.fast_dev_run=true", "model.statistics_faces=4", "data.batch_size=4",
    ],
}  # fmt: skip


def said(capfd: pytest.CaptureFixture[str]) -> str:
    captured = capfd.readouterr()
    return captured.out + captured.err


def refused(command: str, run: Path, images: Path, tmp_path: Path, run_command, capfd) -> str:
    """What a command says that has to refuse a run."""
    out = tmp_path / "out"
    assert run_command(command.split()[0], *COMMANDS[command](run, images, out)) == 2
    text = said(capfd)
    assert "Traceback" not in text
    assert SECRET not in text
    for path in out.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    return text


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "train init_from"])
@pytest.mark.parametrize("attack", ["created", pytest.param("secret", marks=pytest.mark.slow)])
def test_every_command_refuses_a_strangers_run(
    command: str, attack: str, trained: Path, images: Path, mark: Path, tmp_path: Path, run_command, capfd
) -> None:
    change, words = attacks(tmp_path / "some.pkl")[attack]
    run = changed(trained, tmp_path / "run", change)
    assert words in refused(command, run, images, tmp_path, run_command, capfd)
    assert not mark.exists()


@pytest.mark.parametrize("command", ["evaluate", "evaluate other data", "predict", "export graph"])
@pytest.mark.parametrize("attack", ["created"])
def test_every_command_refuses_a_strangers_weights_file(
    command: str, attack: str, trained: Path, images: Path, mark: Path, tmp_path: Path, run_command, capfd
) -> None:
    change, words = attacks(tmp_path / "some.pkl")[attack]
    run = stored(changed(trained, tmp_path / "run", change), tmp_path / "x.safetensors")
    assert words in refused(command, run, images, tmp_path, run_command, capfd)
    assert not mark.exists()


@pytest.mark.parametrize("attack", NAMES)
def test_no_way_of_saying_it_runs(attack: str, trained: Path, mark: Path, tmp_path: Path) -> None:
    change, words = attacks(tmp_path / "some.pkl")[attack]
    run = changed(trained, tmp_path / "run", change)
    for source in (run, stored(run, tmp_path / "x.safetensors")):
        with pytest.raises(ConfigError) as refusal:
            canthus.load(source, detector=None, device="cpu")
        assert words in str(refusal.value)
        assert "\n" not in str(refusal.value)
        assert SECRET not in str(refusal.value)
    assert not mark.exists()


@pytest.mark.parametrize("attack", OF_DATA)
def test_the_data_of_a_run_run_nothing(
    attack: str, trained: Path, images: Path, mark: Path, tmp_path: Path, run_command, capfd
) -> None:
    settings, words = OF_DATA[attack]
    run = changed(trained, tmp_path / "run", lambda config: config["data"].update(settings))
    assert words in refused("evaluate", run, images, tmp_path, run_command, capfd)
    assert sorted(path.name for path in tmp_path.parent.iterdir() if path.name.startswith("x")) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"callbacks": {"x": {"_target_": "os.system", "command": "true"}}}, "callbacks.x._target_=os.system is code"),
        ({"callbacks": {"x": {"_target_": "lightning.Trainer"}}}, "callbacks.x._target_=lightning.Trainer is code"),
        ({"logger": {"x": {"_target_": "canthus.callbacks.MetricsFile", "folder": "/tmp"}}}, "x.folder=/tmp lies"),
        ({"callbacks": {"x": {"_target_": "canthus.callbacks.Checkpoint", "filename": "../../../x"}}}, "lies outside"),
        ({"hydra": {"callbacks": {"x": {"_target_": "os.system"}}}}, "not what canthus-train saves: it has 'hydra'"),
        ({"defaults": [{"experiment": "demo"}]}, "not what canthus-train saves: it has 'defaults'"),
        ({"paths": None}, "it has no paths.output_dir"),
        (
            {"logger": {"x": {"_target_": "lightning.pytorch.loggers.WandbLogger",
                              "settings": {"_target_": "wandb.Settings", "base_url": "http://evil"}}}},
            "logger.x.settings.base_url=http://evil names a server",
        ),
    ],
)  # fmt: skip
def test_a_resumed_run_runs_and_reaches_nothing(
    settings: dict, words: str, trained: Path, images: Path, tmp_path: Path, run_command, capfd
) -> None:
    run = changed(trained, tmp_path / "run", lambda config: config.update(settings))
    assert words in refused("train resume", run, images, tmp_path, run_command, capfd)


def test_init_from_takes_the_weights_alone(
    trained: Path, images: Path, mark: Path, tmp_path: Path, run_command, capfd
) -> None:
    """No config of a stranger is read, so that there is nothing to refuse."""
    for number, attack in enumerate(("created", "secret")):
        run = changed(trained, tmp_path / f"run{number}", attacks(tmp_path / "some.pkl")[attack][0])
        out = tmp_path / f"out{number}"
        assert run_command("train", *COMMANDS["train init_from"](run, images, out)) == 0
        assert SECRET not in said(capfd) + (out / "config.yaml").read_text()
    assert not mark.exists()


def test_a_step_that_is_a_strangers_run_is_refused(trained: Path, tmp_path: Path) -> None:
    change, words = attacks(tmp_path / "some.pkl")["secret"]
    run = changed(trained, tmp_path / "run", change)
    with pytest.raises(ConfigError) as refusal:
        list(changed_settings(run, load_config(trained)))
    assert words in str(refusal.value)


def test_a_report_leaves_the_model_of_a_strangers_run_out(
    trained: Path, mark: Path, tmp_path: Path, run_command, capfd
) -> None:
    for attack in ("created", "nested"):
        changed(trained, tmp_path / "runs" / attack.replace(" ", "_"), attacks(tmp_path / "some.pkl")[attack][0])
    change, _ = attacks(tmp_path / "some.pkl")["secret"]
    changed(trained, tmp_path / "runs/secret", change)
    page = tmp_path / "report.html"
    assert run_command("report", f"runs={tmp_path / 'runs'}", f"output={page}", "latency=0") == 0
    text = page.read_text() + page.with_suffix(".md").read_text() + said(capfd)
    assert text.count("its model cannot be loaded") >= 3
    assert "model.width._target_=joblib.load is code from outside canthus" in text
    assert SECRET not in text
    assert not mark.exists()


def test_a_command_of_its_own_process(trained: Path, images: Path, mark: Path, tmp_path: Path) -> None:
    change, words = attacks(tmp_path / "some.pkl")["created"]
    run = changed(trained, tmp_path / "run", change)
    command = [
        sys.executable,
        "-m",
        "canthus.commands.predict",
        f"run={run}",
        f"source={images}",
        f"output={tmp_path}/out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not mark.exists()


def test_a_model_of_ones_own_is_run_with_trust(trained: Path, tmp_path: Path, monkeypatch, run_command, capfd) -> None:
    (tmp_path / "mine.py").write_text(
        "from canthus.models.dan.module import DANModule\n\nclass Mine(DANModule):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = changed(trained, tmp_path / "run", lambda config: config["model"].update(_target_="mine.Mine"))
    arguments = [f"run={run}", "overlays=0", f"output={tmp_path / 'out'}"]
    assert run_command("evaluate", *arguments) == 2
    assert "model._target_=mine.Mine is code from outside canthus, or says what to call; if you trust" in said(capfd)
    assert "mine" not in sys.modules
    assert run_command("evaluate", *arguments, "trust=true") == 0
    assert type(canthus.load(run, detector=None, trust=True).predictor.model).__name__ == "Mine"


def test_machine_settings_are_those_of_the_reader(
    trained: Path, cache: Path, tmp_path: Path, run_command, caplog
) -> None:
    def change(config: dict) -> None:
        config["data"] |= {"cache": str(tmp_path / "theirs"), "num_workers": 64}
        config["trainer"] |= {"devices": 6, "strategy": "ddp", "num_nodes": 4}

    run = changed(trained, tmp_path / "run", change)
    assert run_command("evaluate", f"run={run}", "overlays=0", f"output={tmp_path / 'out'}") == 0
    (line,) = [line for line in caplog.messages if "settings of another machine" in line]
    for words in ("devices=6", "strategy=ddp", "num_nodes=4", "num_workers=64", f"cache={tmp_path / 'theirs'}"):
        assert words in line
    assert not (tmp_path / "theirs").exists()
    used = yaml.safe_load((tmp_path / "out/config.yaml").read_text())
    assert used["data"]["cache"] == str(cache)
    assert (used["trainer"]["devices"], used["trainer"].get("strategy")) == (1, None)


def test_own_settings_need_no_warning(trained: Path, caplog) -> None:
    config = load_config(trained)
    assert as_reader(config, trained, trust=True) == config
    assert as_reader(config, trained, trust=False).trainer.max_epochs == config.trainer.max_epochs
    assert not caplog.messages


# -- files that are none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.yaml", "checkpoints/best.ckpt"])
@pytest.mark.parametrize("kind", ["link", "pipe", "device", "folder", "circle"])
def test_a_run_is_no_way_out_of_itself(kind: str, name: str, trained: Path, tmp_path: Path) -> None:
    run = changed(trained, tmp_path / "run", lambda config: None)
    path = run / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"link": trained / name, "device": Path("/dev/zero"), "circle": path}[kind])
    with pytest.raises(ConfigError) as refusal:
        canthus.load(run, detector=None)
    words = {"link": "leads out of", "device": "leads out of", "circle": "cannot be opened"}
    assert words.get(kind, "is no regular file") in str(refusal.value) or kind == "circle"
    assert "\n" not in str(refusal.value)


def test_a_report_opens_no_link_out_of_a_folder(trained: Path, tmp_path: Path, run_command, capfd) -> None:
    names = ("metrics.json", "predictions.csv", "config.yaml", "provenance.json")
    changed(trained, tmp_path / "runs/good", lambda config: None)
    secret = tmp_path / "secret"
    secret.write_text(f"root:{SECRET}\n")
    for name in names:
        path = changed(trained, tmp_path / "runs" / name.replace(".", "_"), lambda config: None) / name
        path.unlink()
        path.symlink_to(secret)
    page = tmp_path / "report.html"
    arguments = [f"runs={tmp_path / 'runs'}", f"output={page}", "latency=0", "measure=false", "faces=false"]
    assert run_command("report", *arguments) == 0
    text = page.read_text() + said(capfd)
    assert SECRET not in text
    for name in names:
        assert f"{name.replace('.', '_')}/{name} leads out of" in text


def test_a_page_shows_no_image_that_nobody_named(trained: Path, images: Path, tmp_path: Path, run_command) -> None:
    """A stranger's rows name the reader's own images, which the reader would then hand on with the page."""
    run = changed(
        trained, tmp_path / "run", lambda config: config["data"].update(reader="canthus.data.readers.CsvLabels")
    )
    text = (run / "predictions.csv").read_text().splitlines()
    rows = [text[0]]
    for line in text[1:]:
        index, _, rest = line.split(",", 2)
        rows.append(f"{index},{images / 'a.jpg'},{rest}")
    (run / "predictions.csv").write_text("\n".join(rows) + "\n")
    page = tmp_path / "report.html"
    arguments = [f"runs={run}", f"output={page}", "latency=0", "measure=false"]
    assert run_command("report", *arguments) == 0
    assert "data:image" not in page.read_text()
    assert "lies outside of the named folders" in page.read_text()
    for more in (f"images={images}", "trust=true"):
        assert run_command("report", *arguments, more) == 0
        assert "data:image/jpeg" in page.read_text()


# -- weights ---------------------------------------------------------------------------------------------------------


def with_weights(run: Path, change: Callable[[dict], object]) -> Path:
    path = run / "checkpoints/best.ckpt"
    content = torch.load(path, weights_only=True)
    torch.save(change(content) or content, path)
    return path


@pytest.mark.parametrize(
    "value",
    [float("nan"), *(pytest.param(value, marks=pytest.mark.slow) for value in (float("inf"), -float("inf")))],
)
def test_weights_that_are_not_finite_are_refused_everywhere(
    value: float, trained: Path, images: Path, tmp_path: Path, run_command, capfd
) -> None:
    run = changed(trained, tmp_path / "run", lambda config: None)

    def spoil(content: dict) -> None:
        content["state_dict"]["network.first.features.0.0.0.weight"][0, 0, 0, 0] = value

    with_weights(run, spoil)
    shutil.copy(run / "checkpoints/best.ckpt", run / "checkpoints/last.ckpt")
    words = "values of network.first.features.0.0.0.weight are NaN or infinite"
    with pytest.raises(ConfigError, match=words):
        canthus.load(stored(run, tmp_path / "x.safetensors"), detector=None)
    commands = list(COMMANDS) if np.isnan(value) else ["predict"]
    for command in commands:
        assert words in refused(command, run, images, tmp_path, run_command, capfd), command
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content["state_dict"], "holds no Lightning checkpoint (no state_dict)"),
        (lambda content: [1, 2], "holds no Lightning checkpoint (no state_dict)"),
        (lambda content: {"state_dict": 3}, "holds a int where weights by name should be"),
        (lambda content: {"state_dict": {"a": "b"}}, "a is a str where a plain tensor should be"),
        (
            lambda content: {"state_dict": {"a": torch.zeros(1).expand(10**12)}},
            "is larger than what the file holds of it",
        ),
        (lambda content: {"state_dict": {"a": torch.eye(3).to_sparse()}}, "where a plain tensor should be"),
        (lambda content: {"state_dict": {}}, "does not fit the run's config: active_stages is missing"),
    ],
)
def test_a_checkpoint_of_another_kind(change, words: str, trained: Path, tmp_path: Path) -> None:
    run = changed(trained, tmp_path / "run", lambda config: None)
    with_weights(run, change)
    with pytest.raises(ConfigError) as refusal:
        canthus.load(run, detector=None)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_checkpoints_of_other_shapes_and_stages(trained: Path, tmp_path: Path) -> None:
    run = changed(trained, tmp_path / "run", lambda config: config["model"].update(width=0.1))
    with pytest.raises(ConfigError, match=r"does not fit the run's config: network.first.* there and .* here; .* more"):
        canthus.load(run, detector=None)
    other = changed(trained, tmp_path / "other", lambda config: None)
    with_weights(other, lambda content: content["state_dict"]["active_stages"].fill_(10**6) is None)
    with pytest.raises(ConfigError, match="is of 1000000 stages, and the run's config has 2"):
        canthus.load(other, detector=None)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("width", 3000.0, "larger than its weights|allocate"),
        ("stages", 10**9, "model.stages=1000000000 is more than 1,000,000"),
        ("stages", 10**5, "larger than its weights"),
    ],
)
def test_a_config_that_would_take_all_memory(
    key: str, value: object, words: str, trained: Path, tmp_path: Path
) -> None:
    run = changed(trained, tmp_path / "run", lambda config: config["model"].update({key: value}))
    with pytest.raises(ConfigError, match=words):
        canthus.load(run, detector=None)


# -- config.yaml that is none ----------------------------------------------------------------------------------------

BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
)
FILES = {
    "binary": (bytes(range(256)), "is not a text in UTF-8"),
    "nul": (b"a: b\0c", "is not YAML"),
    "utf-16": ("model: {}".encode("utf-16"), "is not a text in UTF-8"),
    "empty": (b"", "is empty where the config of a training should be"),
    "list": (b"- 1\n- 2\n", "holds a list where the config of a training should be"),
    "text": (b"hello", "holds a str where"),
    "incomplete": (b"seed: 1\n", "is not the config of a training: it has no model"),
    "no data": (b"model: {_target_: canthus.models.dan.module.DANModule}\n", "it has no data"),
    "no class": (b"model: {}\ndata: {}\n", "model._target_=None names no class"),
    "cut": (b"model: {a: [1, 2", "is not YAML in line 1"),
    "twice": (b"seed: 1\nseed: 2\n", "found duplicate key seed"),
    "deep": (b"a: " + b"[" * 5000 + b"]" * 5000, "nested more than 24 deep"),
    "deep block": ("\n".join(" " * i + "a:" for i in range(500)).encode(), "nested more than 24 deep"),
    "aliases": (BOMB.encode(), "*a is an alias; write its value there"),
    "tag": (b"a: !!python/object/apply:os.system ['true']", "is a tag; a config holds plain values"),
    "many": (b"a: [" + b"1, " * 30_000 + b"1]", "holds more than 20,000 values"),
    "long": (b"a: " + b"x" * 10_000, "a value of 10,000 characters; up to 8,192"),
    "large": (b"# " + b"x" * 1_100_000, "has more than 1,000,000 bytes"),
    "huge number": (b"a: 0x" + b"f" * 40, "is a whole number of more than 64 bits"),
    "sexagesimal": (b"a: 1" + b":59" * 2000, "is a whole number of more than 64 bits"),
    "half a letter": (b'a: "\\ud800"', "holds a character that no text has"),
    "odd key": (b"? [1]\n: 2\n", "is not YAML"),
    "no key": (b"null: 2\n", "has the key None; keys are words"),
    "two": (b"a: 1\n---\nb: 2\n", "is not YAML"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_config_that_is_none(kind: str, tmp_path: Path) -> None:
    content, words = FILES[kind]
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as refusal:
        canthus.load(tmp_path, detector=None)
    assert words in str(refusal.value)
    assert str(tmp_path / "config.yaml") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_every_command_says_it_in_one_line(trained: Path, images: Path, tmp_path: Path, run_command, capfd) -> None:
    content, words = FILES["aliases"]
    run = changed(trained, tmp_path / "run", lambda config: None)
    (run / "config.yaml").write_bytes(content)
    for command in ("evaluate", "predict", "export graph", "evaluate study", "train resume"):
        assert words in refused(command, run, images, tmp_path, run_command, capfd), command


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ([1], "its header holds a list"),
        ({}, "its header holds no config"),
        ({"config": 3}, "its header holds no config"),
        ({"config": None}, "its header holds no config"),
        ({"config": "a: !!python/object/apply:os.system ['true']"}, "is a tag"),
        ({"config": "a: ["}, "is not YAML"),
        ("deep", "nested too deep"),
        ("cut", "its header is not JSON"),
    ],
)
def test_headers_of_weights_files(header: object, words: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    text = {"deep": "[" * 100_000, "cut": "{"}.get(header) if isinstance(header, str) else json.dumps(header)
    save_file({"a": torch.zeros(2)}, path, metadata={"canthus": text})
    with pytest.raises(ConfigError) as refusal:
        canthus.load(path, detector=None)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
