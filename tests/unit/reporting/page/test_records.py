import json

import pytest
import yaml

from canthus import zoo
from canthus.reporting.page.records import find_evaluations, names_of, read_record, recipe_of
from canthus.runs.trust import Bounds
from canthus.utils.errors import ConfigError


def test_evaluations_are_found_in_and_below_folders_and_by_globs_once(make_run):
    first, second = make_run("a"), make_run("deep/b")
    make_run("a/evaluation/again")
    (first / "overlays/faces").mkdir(parents=True)
    (first / "overlays/faces/metrics.json").write_text("{}")  # no evaluation lies among pictures
    found, without = find_evaluations([str(first), f"{make_run.root}/*", str(make_run.root)])
    assert found == sorted([first, first / "evaluation/again", second])
    assert without == []


def test_folders_without_a_result_are_named(make_run):
    make_run("a")
    stopped = make_run("stopped", provenance={"status": "terminated (SIGTERM)"})
    (stopped / "metrics.json").unlink()
    _, without = find_evaluations([str(make_run.root)])
    assert [str(stopped) in line and "terminated" in line for line in without] == [True]
    with pytest.raises(ConfigError, match=r"no metrics.json.*canthus-eval"):
        find_evaluations([str(stopped)])
    with pytest.raises(ConfigError, match="is no folder"):
        find_evaluations([str(make_run.root / "nothing*")])


def test_what_a_run_says_of_its_training(make_run):
    record = read_record(make_run("a", seed=3))
    assert record.training is not None
    assert (record.training.seed, record.training.epochs, record.training.seconds) == (3, 2, 123.0)
    assert record.training.checkpoint is None
    assert ["no checkpoint" in problem for problem in record.problems] == [True]
    assert record.predictions is not None
    assert len(record.predictions) == 40


def test_a_model_of_the_zoo_tells_of_its_training(make_run):
    """Its file does; one that is not there is a problem in words."""
    folder = make_run("runs/a")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["model"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"run": "zoo/cfan"}))
    training = read_record(folder).training
    assert training is not None
    assert training.checkpoint == zoo.FOLDER / "cfan.safetensors"
    assert training.config["model"]["_target_"] == "canthus.models.cfan.module.CFANModule"
    assert training.epochs == training.config["trainer"]["max_epochs"]
    assert training.seconds > 60
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"run": "zoo/nobody"}))
    record = read_record(folder)
    assert record.training is None
    assert any("the zoo has no such model" in problem for problem in record.problems)


def test_an_evaluation_finds_its_run_where_it_was_and_where_it_was_moved_to(make_run):
    run = make_run("run", seed=5)
    settings = {"config": {"model": None, "run": str(run), "checkpoint": "last"}}
    outside = make_run("elsewhere", **settings)
    config = yaml.safe_load((outside / "config.yaml").read_text())
    config.pop("model")
    (outside / "config.yaml").write_text(yaml.safe_dump(config))
    record = read_record(outside)
    assert record.training is None  # nobody has named that folder
    assert any(f"run={run} of this evaluation lies outside of the named folders" in words for words in record.problems)
    record = read_record(outside, Bounds([run]))
    assert record.training is not None
    assert (record.training.folder, record.training.seed, record.settings) == (run, 5, ("checkpoint last",))
    inside = run / "evaluation/one"
    inside.parent.mkdir()
    outside.rename(inside)
    moved = run.rename(make_run.root / "moved")
    record = read_record(moved / "evaluation/one")
    assert record.training is not None
    assert record.training.folder == moved


@pytest.mark.parametrize("where", ["nme", "auc", "nme_per_stage", "regions", "threshold"])
def test_something_else_in_a_numbers_place_is_refused(where, make_run):
    folder = make_run("a")
    content = json.loads((folder / "metrics.json").read_text())
    full = content["subsets"]["full"]
    if where == "threshold":
        content["threshold"] = "<script>"
    elif where == "regions":
        content["regions"] = {"eye_left": ["<script>"]}
    else:
        full[where] = ["<script>"] if where == "nme_per_stage" else "<script>"
    (folder / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"<script>.*number has to be"):
        read_record(folder)


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("predictions.csv", "index,image\n", "predictions.csv is damaged"),
        ("predictions.csv", "", "predictions.csv is damaged"),
        ("provenance.json", "{", "provenance.json is damaged"),
        ("config.yaml", "a: [", "config.yaml is damaged"),
        ("corruptions.json", '{"clean": 1}', "corruptions.json is damaged"),
    ],
)
def test_damage_is_named_and_the_rest_is_read(file, text, problem, make_run):
    folder = make_run("a")
    (folder / file).write_text(text)
    record = read_record(folder)
    assert any(problem in one for one in record.problems)
    assert record.metrics["subsets"]["full"]["faces"] == 40


def test_yaml_of_strangers_runs_nothing_and_resolves_nothing(make_run, monkeypatch):
    monkeypatch.setenv("SECRET", "do not show")
    folder = make_run("a", config={"data": {"name": "${oc.env:SECRET}", "box": "gt"}})
    assert read_record(folder).config["data"]["name"] == "${oc.env:SECRET}"
    (folder / "config.yaml").write_text("a: !!python/object/apply:os.system ['touch /tmp/never']")
    assert any("config.yaml is damaged" in problem for problem in read_record(folder).problems)


def test_the_recipe_forgets_seeds_and_places_alone():
    config = {
        "model": {"width": 1},
        "data": {"name": "w300", "root": "/here", "seed": 0},
        "seed": 0,
        "normaliser": "box",
    }
    moved = {**config, "data": {"name": "w300", "root": "/there", "seed": 4}, "seed": 4, "paths": {"cache": "x"}}
    assert recipe_of(config) == recipe_of(moved)
    wider = {**config, "model": {"width": 2}}
    longer = {**config, "callbacks": {"stages": {"phases": [1]}}}
    assert len({recipe_of(config), recipe_of(wider), recipe_of(longer)}) == 3


def test_names_are_as_long_as_needed(tmp_path):
    paths = [tmp_path / "a/0", tmp_path / "b/0", tmp_path / "c"]
    assert list(names_of(paths).values()) == ["a/0", "b/0", "c"]
