"""Which settings may change when a run is resumed."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from canthus.runs.resume import MAY_CHANGE, _refuse_changes, changed_settings
from canthus.utils.errors import ConfigError

CONFIG = {
    "model": {"_target_": "canthus.models.dan.module.DANModule", "width": 0.5, "optimizer": {"lr": 0.001}},
    "data": {"_target_": "canthus.data.face_data", "name": "w300", "root": "a", "num_workers": 2, "batch_size": 8},
    "trainer": {
        "max_epochs": 5, "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "precision": 32,
        "accumulate_grad_batches": 1,
    },
    "callbacks": {
        "ema": {"decay": 0.999}, "stages": {"phases": None}, "early_stopping": {"patience": 3},
        "overlays": {"every_n_epochs": 5}, "belief_maps": {"faces": 4}, "previews": {"faces": 4},
        "progress": {"refresh_rate": 1},
    },
    "logger": {"wandb": {"project": "a"}}, "paths": {"output_dir": "/runs/one", "cache": "/cache"}, "tags": ["a"],
    "seed": 0, "normaliser": "inter_ocular", "threshold": 8.0,
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    OmegaConf.save(OmegaConf.create(CONFIG), tmp_path / "config.yaml")
    return tmp_path


def changed(run: Path, **values: object) -> list[str]:
    config = OmegaConf.create(CONFIG)
    for place, value in values.items():
        OmegaConf.update(config, place, value)
    return [place for place, _, _ in changed_settings(run, config)]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("callbacks.ema.decay", 0.9),
        ("callbacks.stages.phases", [{"stages": [0]}]),
        ("callbacks.early_stopping.patience", 4),
        ("model.width", 1.0),
        ("model.optimizer.lr", 0.01),
        ("data.batch_size", 16),
        ("data.name", "wflw"),
        ("trainer.precision", 16),
        ("seed", 1),
        ("normaliser", "box"),
        ("threshold", 10.0),
    ],
)
def test_what_changes_numbers_is_refused(place: str, value: object, run: Path) -> None:
    (found,) = changed(run, **{place: value})
    assert found.startswith(place)
    config = OmegaConf.create(CONFIG)
    OmegaConf.update(config, place, value)
    with pytest.raises(ConfigError, match=found.partition("[")[0]):
        _refuse_changes(run, config)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("callbacks.overlays.every_n_epochs", 1),
        ("callbacks.belief_maps.faces", 8),
        ("callbacks.previews.faces", 8),
        ("callbacks.progress.refresh_rate", 9),
        ("logger.wandb.project", "b"),
        ("paths.cache", "/elsewhere"),
        ("tags", ["b"]),
    ],
)
def test_what_changes_no_number_is_not_mentioned(place: str, value: object, run: Path) -> None:
    assert changed(run, **{place: value}) == []


def test_what_may_change_is_said(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = {"trainer.max_epochs": 9, "trainer.accelerator": "gpu", "trainer.devices": 2, "data.num_workers": 0}
    values |= {"data.root": "b", "trainer.num_nodes": 2, "trainer.strategy": "ddp"}
    values |= {"trainer.accumulate_grad_batches": 2}
    assert set(changed(run, **values)) == set(values)
    assert set(values) == set(MAY_CHANGE) - {"data.verify_store"}
    config = OmegaConf.create(CONFIG)
    for place, value in values.items():
        OmegaConf.update(config, place, value)
    _refuse_changes(run, config)
    for place in values:
        assert place in caplog.text
