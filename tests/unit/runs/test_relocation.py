"""A run that was copied or moved goes on in its new folder, whatever the old and the new one are called."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from canthus.runs.relocation import relocated

NAMES = [
    "run", "a run with blanks", "it's", 'a "quoted" run', "back\\slash", "a,b=c", "[x]", "{y}", "ünï", "x" * 200,
    "a: b", "#1", "- a", "*", "(a|b)+", "$x", "50%", " leading", "trailing ", "~", "null", "line\u2028separator",
    "tab\there",
]  # fmt: skip


def config_at(folder: str, **more: Any) -> dict[str, Any]:
    return {
        "paths": {"output_dir": folder, "log_dir": "logs", "cache": "/cache"},
        "trainer": {"default_root_dir": folder, "max_epochs": 3},
        "callbacks": {"best": {"dirpath": f"{folder}/checkpoints", "filename": "best"}, "last": None},
        "notes": [f"{folder}/a b/c", {"deep": f"{folder}/x"}],
        "storage": f"sqlite://{folder}/study.db",
        "other": [f"{folder}2/checkpoints", f"see {folder}", f"/else{folder}", 0.5, None, True],
        **more,
    }


@pytest.mark.parametrize("old", NAMES)
@pytest.mark.parametrize("deep", [False, True])
def test_every_value_moves_and_nothing_else(old: str, deep: bool, tmp_path: Path) -> None:
    """Through a file, as a saved run is: long lines are folded there, and quotes doubled."""
    before = "/" + "/".join(["folder with blanks"] * 12 * deep + [old])
    for new in NAMES:
        run = tmp_path / new
        saved = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(OmegaConf.create(config_at(before)))))
        expected = config_at(str(run)) | {"other": config_at(before)["other"]}
        assert relocated(saved, run) == expected


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), st.randoms())
def test_any_name(name: str, chance: random.Random) -> None:
    if name in (".", "..") or name != name.strip("/"):
        return
    before, run = f"/old/{name}", Path("/new") / chance.choice(NAMES)
    assert relocated(config_at(before), run) == config_at(str(run)) | {"other": config_at(before)["other"]}


def test_a_run_in_its_place_is_left_as_it_is(tmp_path: Path) -> None:
    config = config_at(str(tmp_path))
    assert relocated(config, tmp_path) == config


def test_a_folder_reached_by_a_link(tmp_path: Path) -> None:
    real = tmp_path / "disk/run"
    real.mkdir(parents=True)
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    config = config_at(str(tmp_path / "home/run"), own=f"{real}/own")
    assert relocated(config, Path("/new"))["own"] == "/new/own"
    by_link = relocated(config_at(str(real)), tmp_path / "home/run")
    assert by_link["callbacks"]["best"]["dirpath"] == f"{tmp_path}/home/run/checkpoints"


def hydra_started_in(run: Path, folder: str) -> None:
    (run / ".hydra").mkdir(parents=True, exist_ok=True)
    (run / ".hydra/hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"cwd": folder}}}))


def test_relative_paths_are_those_of_the_folder_where_the_command_was_given(tmp_path: Path) -> None:
    run = tmp_path / "copy"
    hydra_started_in(run, "/home/me")
    values = {"inside": "out/run/pictures", "exactly": "out/run", "outside": "out/run2", "word": "run", "up": "../out"}
    for before in ("/home/me/out/run", "out/run"):
        moved = relocated({"paths": {"output_dir": before}, **values, "full": "/home/me/out/run/x"}, run)
        assert moved["paths"]["output_dir"] == str(run)
        assert moved["inside"] == f"{run}/pictures"
        assert moved["exactly"] == str(run)
        assert moved["full"] == f"{run}/x"
        assert [moved[name] for name in ("outside", "word", "up")] == ["out/run2", "run", "../out"]


def test_a_command_given_inside_its_own_folder_changes_no_word(tmp_path: Path) -> None:
    run = tmp_path / "copy"
    hydra_started_in(run, "/home/me")
    words = {"monitor": "val/nme", "name": "dan", "dot": "."}
    moved = relocated({"paths": {"output_dir": "/home/me"}, **words}, run)
    assert {name: moved[name] for name in words} == words


@pytest.mark.parametrize("content", ["", "[]", "hydra: 3", "hydra: {runtime: {cwd: [1]}}", "a: b: c", "\0"])
def test_a_damaged_record_of_hydra_is_done_without(content: str, tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/hydra.yaml").write_text(content)
    assert relocated(config_at("/old"), tmp_path)["trainer"]["default_root_dir"] == str(tmp_path)


def test_steps_beside_the_run_are_followed_if_they_moved_along(tmp_path: Path) -> None:
    old, new = tmp_path / "old/san", tmp_path / "new/san"
    config = config_at(
        f"{old}/runs/1",
        steps={"gan": {"folder": f"{old}/gan"}, "style": {"folder": f"{old}/runs/1/style"}, "none": {}},
        model={"generators": f"{old}/gan", "clusters": f"{old}/runs/1/style/clusters.csv"},
        data={"root": f"{old}/faces"},
    )
    run = new / "runs/1"
    run.mkdir(parents=True)
    assert relocated(config, run)["model"]["generators"] == f"{old}/gan"  # nowhere
    (new / "gan").mkdir()
    (new / "gan/config.yaml").touch()
    (new / "faces").mkdir()
    moved = relocated(config, run)
    assert moved["steps"]["gan"]["folder"] == moved["model"]["generators"] == f"{new}/gan"
    assert moved["steps"]["style"]["folder"] == f"{run}/style"
    assert moved["model"]["clusters"] == f"{run}/style/clusters.csv"
    assert moved["data"]["root"] == f"{old}/faces"
    (old / "gan").mkdir(parents=True)  # a copy: the step stays, it is only read
    assert relocated(config, run)["model"]["generators"] == f"{old}/gan"
