"""The plan of a benchmark: what is done, what goes on, what begins; and settings that cannot work."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from canthus import zoo
from canthus.commands import schemas
from canthus.commands.benchmark import read_settings
from canthus.commands.benchmark_plan import FIVE_POINTS, MODELS, Settings, plan
from canthus.runs.children import Step, run_steps
from canthus.utils.errors import ConfigError


def record(folder: Path, status: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "provenance.json"
    path.write_text(json.dumps({"status": status}))
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings("cpu", tmp_path / "data", tmp_path / "out", ["dan"])


def done(settings: Settings) -> list[bool]:
    return [step.done for step in plan(settings)]


def test_a_training_that_never_began_is_started(settings: Settings) -> None:
    """Also one that was stopped in the steps before it, which leaves Hydra's records but no config.yaml."""
    folder = settings.runs / "dan/seed0"
    for _ in range(2):
        train, *rest = plan(settings)
        assert train.words[:2] == ("experiment=dan_300w_cpu", "seed=0")
        assert f"hydra.run.dir={folder}" in train.words
        assert [step.after for step in rest] == [("dan/seed0 train",)] * 2 + [tuple(step.name for step in rest[:2])]
        assert not any(step.done for step in (train, *rest))
        (folder / ".hydra").mkdir(parents=True, exist_ok=True)
        (folder / "train.txt").touch()


@pytest.mark.parametrize("status", ["running", "interrupted", "terminated (SIGTERM)", "failed: RunError: full"])
def test_a_training_that_was_stopped_goes_on(settings: Settings, status: str) -> None:
    folder = settings.runs / "dan/seed0"
    record(folder, status)
    (folder / "config.yaml").touch()
    record(folder / "evaluation/5", "finished")  # of a shorter training, which somebody has made longer since
    train, *rest = plan(settings)
    assert train.words == (f"resume={folder}",)
    assert not any(step.done for step in (train, *rest))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"status": 1}', '"finished"', "[" * 100_000])
def test_a_record_that_cannot_be_read_is_of_nothing_done(settings: Settings, text: str) -> None:
    record(settings.runs / "dan/seed0", "").write_text(text)
    assert not any(done(settings))


def test_what_is_finished_is_done(settings: Settings) -> None:
    folder = settings.runs / "dan/seed0"
    record(folder, "finished")
    assert done(settings) == [True, False, False, False]
    five = record(folder / "evaluation/5", "finished")
    assert done(settings) == [True, True, False, False]
    record(folder / "evaluation/68", "failed: MemoryError")
    settings.page.touch()
    assert done(settings) == [True, True, False, False]
    record(folder / "evaluation/68", "finished")
    os.utime(settings.page, (2**33, 2**33))
    assert done(settings) == [True] * 4
    os.utime(five, (2**33 + 1, 2**33 + 1))
    assert done(settings) == [True, True, True, False]


def test_the_zoo_has_no_trainings(tmp_path: Path) -> None:
    settings = Settings("zoo", tmp_path / "data", tmp_path / "out", ["dan"])
    assert [step.after for step in plan(settings)[:2]] == [()] * 2
    record(settings.runs / "dan/seed0/evaluation/5", "finished")
    assert done(settings) == [True, False, False]


def test_the_longest_trainings_are_first(tmp_path: Path) -> None:
    steps = plan(Settings("cpu", tmp_path, tmp_path / "out", seeds=[0, 1]))
    assert [step.name for step in steps[:16]] == [f"{m}/seed{s} train" for m in MODELS for s in (0, 1)]
    assert {step.module for step in steps[16:-1]} == {"evaluate"}
    assert len({step.name for step in steps}) == len(steps)
    assert len({step.log for step in steps}) == len(steps)


def test_odd_paths_are_quoted(tmp_path: Path) -> None:
    settings = Settings("cpu", Path("2026_12_01"), Path("my 'runs'"), ["dan"], options={"dan": ["a=1"]})
    words = plan(settings)[0].words
    assert "data.root='2026_12_01'" in words
    assert r"hydra.run.dir='my \'runs\'/runs/dan/seed0'" in words
    assert words[-1] == "a=1"


def test_the_models_are_those_of_the_zoo() -> None:
    from canthus.inference.api import load

    assert sorted(MODELS) == zoo.names()
    for name in MODELS:
        assert (load(f"zoo/{name}").scheme.name == "5") == (name in FIVE_POINTS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"suite": "cpus"}, r"suite=cpus: did you mean 'cpu'"),
        ({"models": ["dann"]}, r"models=dann: did you mean 'dan'"),
        ({"models": "dan mdn"}, r"models=mdn: did you mean 'mdm'"),
        ({"models": []}, r"models=\[\] names none"),
        ({"models": None}, r"models=null: all, or some"),
        ({"models": "mtcnn", "suite": "gpu"}, r"models=mtcnn: .*wider=DIR celeba=DIR"),
        ({"wider": "."}, r"name both, or neither"),
        ({"wider": "/nowhere", "celeba": "."}, r"wider=/nowhere: no such folder"),
        ({"data": {"root": "/nowhere"}}, r"data\.root=/nowhere: no such folder"),
        ({"seeds": []}, r"seeds=\[\]: whole numbers"),
        ({"seeds": [0, -1]}, r"seeds=\[0, -1\]: whole numbers"),
        ({"seeds": "0 x"}, r"seeds=0 x: whole numbers"),
        ({"seeds": [1.5]}, r"seeds=\[1\.5\]: whole numbers"),
        ({"seeds": None}, r"seeds=null: whole numbers"),
        ({"seeds": True}, r"seeds=True: whole numbers"),
        ({"seeds": [1], "suite": "zoo"}, r"seeds=\[1\]: suite=zoo trains nothing"),
        ({"corruptions": ["blurr"]}, r"no corruption 'blurr'; did you mean 'blur'"),
        ({"corruptions": []}, r"corruptions=\[\] names none"),
        ({"options": {"dann": "a=1"}}, r"options\.dann: did you mean 'dan'"),
        ({"options": {"dan": "a='1"}}, r"options\.dan=a='1: .*No closing quotation"),
        ({"options": {"dan": "epochs"}}, r"'epochs' is no key=value"),
        ({"options": "a=1", "suite": "zoo"}, r"options: suite=zoo trains nothing"),
    ],
)
def test_wrong_values_are_one_line(words: dict, message: str) -> None:
    cfg = OmegaConf.merge(
        OmegaConf.structured(schemas.BenchmarkConfig), {"data": {"root": "."}, "paths": {"log_dir": "logs"}}, words
    )
    with pytest.raises(ValueError, match=message) as caught:
        read_settings(cfg)
    assert "\n" not in str(caught.value)


def test_what_is_asked_for(tmp_path: Path) -> None:
    asked = {"data": {"root": str(tmp_path)}, "paths": {"log_dir": "logs"}, "models": "mdm dan", "seeds": "0 3 0"}
    asked |= {"options": {"all": "a=1 b='x y'", "dan": ["c=2"]}, "corruptions": "blur"}
    settings = read_settings(OmegaConf.merge(OmegaConf.structured(schemas.BenchmarkConfig), asked))
    assert (settings.models, settings.seeds, settings.corruptions) == (["dan", "mdm"], [0, 3], "[blur]")
    assert (settings.options["dan"], settings.options["mdm"]) == (["a=1", "b=x y", "c=2"], ["a=1", "b=x y"])
    assert settings.output == Path("logs/benchmark")
    asked["suite"] = "gpu"
    settings = read_settings(OmegaConf.merge(OmegaConf.structured(schemas.BenchmarkConfig), asked))
    assert settings.output == Path("logs/benchmark-gpu")
    (tmp_path / "300w").mkdir()
    assert (settings.data, settings.faces) == (tmp_path, tmp_path / "300w")


def test_steps_wait_for_those_before_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order given where there is a choice; what needs a failed step is left out, also by way of another."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho $3 >> {tmp_path}/order\n[ "$3" != bad ]\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))

    def step(name: str, *after: str, done: bool = False) -> Step:
        return Step(name, "any", (name,), tmp_path / "logs" / name, after, done=done)

    steps = [step("c", "b"), step("b", "a"), step("bad"), step("left", "bad"), step("too", "left")]
    some, none = step("some", "a", "bad", "c"), step("none", "bad", "left")
    steps += [replace(some, lenient=True), replace(none, lenient=True)]
    steps += [step("a"), step("old", done=True), step("z", "old")]
    ended = run_steps(steps, 1, os.environ)
    assert (tmp_path / "order").read_text().split() == ["bad", "a", "b", "c", "some", "z"]
    assert [one.name for one in ended.finished] == ["a", "b", "c", "some", "z"]
    assert {one.name: status for one, status in ended.failed.items()} == {"bad": 1}
    assert sorted(one.name for one in ended.left_out) == ["left", "none", "too"]


def test_a_log_that_cannot_be_written_stops_the_others_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\ntrap 'echo in order > {tmp_path}/end; exit 0' TERM\nwhile :; do sleep 0.05; done\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    (tmp_path / "folder").mkdir()
    steps = [Step("one", "any", (), tmp_path / "log"), Step("two", "any", (), tmp_path / "folder")]
    with pytest.raises(IsADirectoryError):
        run_steps(steps, 2, os.environ)
    assert (tmp_path / "end").exists() or not (tmp_path / "log").read_text()  # or the signal came before the trap


def test_yardsticks_are_scored_on_the_test_faces_and_again_when_they_change(tmp_path: Path) -> None:
    data, place = tmp_path / "data", tmp_path / "tools"
    place.mkdir()
    (data / "afw").mkdir(parents=True)

    def read(**values: object) -> Settings:
        given = {"data": {"root": str(data)}, "output": str(tmp_path / "out"), "suite": "zoo", "yardsticks": str(place)}
        paths = {"log_dir": "logs", "cache": "cache", "output_dir": "out"}
        return read_settings(
            OmegaConf.merge(OmegaConf.structured(schemas.BenchmarkConfig), {"paths": paths}, given, values)
        )

    with pytest.raises(ConfigError, match="helen/testset, which is not in"):
        read()
    (data / "helen/testset").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"no NAME.predictions.json or .csv there"):
        read()
    file = place / "ert.predictions.json"
    file.write_text("{}")
    (place / "ert.predictions.cost.json").write_text("{}")
    settings = read(models=["dcnn"])
    assert settings.yardsticks == {"ert": file}
    *_, score, report = plan(settings)
    assert score.words[:3] == (f"predictions={file}", "name=ert", f"output={tmp_path}/out/runs/yardsticks/ert")
    assert {"data=w300", "data.test_parts=[helen/testset]", "missing=failure"} < set(score.words)
    assert score.name in report.after
    assert not score.done
    made = record(tmp_path / "out/runs/yardsticks/ert", "finished")
    os.utime(made, (2e9, 2e9))
    assert plan(settings)[-2].done
    os.utime(file, (3e9, 3e9))
    assert not plan(settings)[-2].done
