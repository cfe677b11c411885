"""Saved runs, zoo cards, results and command lines with names of earlier versions."""

import json
from pathlib import Path

import pytest

from canthus import zoo
from canthus.commands.overriding import readable
from canthus.data import data_options
from canthus.evaluation.external.predictions import read_predicted
from canthus.evaluation.files import read_metrics_json
from canthus.runs.jobs import Job
from canthus.runs.loading import load_config
from canthus.runs.trust import config_of
from canthus.utils.old_names import CONFIG, VALUES, renamed

METRICS = {"model": "m", "data": "d", "normaliser": "n", "threshold": 8.0, "subsets": {}}


def test_new_names_are_options_and_old_ones_are_not():
    options = {f"data.{name}" for part in data_options("canthus.data.synthetic.source.Synthetic") for name in part}
    assert set(CONFIG.values()) <= options
    assert not set(CONFIG) & options
    assert {key for key, _ in VALUES} <= options


def test_order_and_other_keys_stay_and_the_new_name_wins():
    old = {"x": 1, "data": {"photo_side": 7, "view": "photo", "z": {"photo_side": 1}}, "photo_side": 2}
    now = {"x": 1, "data": {"image_side": 7, "view": "image", "z": {"photo_side": 1}}, "photo_side": 2}
    assert list(renamed(old, CONFIG, VALUES).items()) == list(now.items())
    assert renamed({"data": {"photo_side": 7, "image_side": 8}}, CONFIG) == {"data": {"image_side": 8}}


def test_saved_configs_and_cards():
    saved = {
        "model": {"_target_": "canthus.models.mtcnn.module.MTCNNModule"},
        "data": {"name": "w300", "view": "photo"},
    }
    assert config_of(saved | {"data": saved["data"] | {"photo_side": 512}}, "here").data.image_side == 512
    card = load_config(zoo.run_path("zoo/mtcnn"))
    assert (card.data.view, card.data.image_side) == ("image", 1024)
    assert "photo_side" not in card.data


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_command_lines(sign):
    assert readable([f"{sign}data.photos_per_person=2", "data.view=photo"]) == [
        f"{sign}data.images_per_person=2",
        "data.view=image",
    ]


def test_results(tmp_path: Path):
    place = tmp_path / "metrics.json"
    place.write_text(json.dumps(METRICS | {"detection": {"photographs": 3, "faces": 5}}))
    assert read_metrics_json(place)["detection"] == {"images": 3, "faces": 5}
    place = tmp_path / "landmarks.json"
    faces = {"a.png": {"faces": [{"landmarks": [[1, 2], [3, 4]]}]}}
    place.write_text(json.dumps({"scheme": "5", "photographs": faces}))
    found = read_predicted(place)
    assert (list(found.faces), found.scheme, found.num_points) == (["a.png"], "5", 2)


def test_jobs_of_a_sweep(tmp_path: Path):
    (tmp_path / "job.json").write_text(json.dumps({"number": 0, "overrides": ["data.photos_per_person=3", "seed=1"]}))
    assert Job.read(tmp_path).overrides == ["data.images_per_person=3", "seed=1"]
