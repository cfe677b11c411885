"""Detection trained and tested on rendered images."""

import json
from pathlib import Path

SMALL = ("data=synthetic_scenes", "data.size=10", "data.resolution=128", "data.faces=2")


def test_mtcnn_trains_and_is_tested_on_rendered_images(run_command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ["trainer=cpu", "trainer.max_epochs=3", "data.batch_size=7", "data.landmark_faces=4", "data.validation=0.3"]
    small += ["model.candidates=8", f"hydra.run.dir={run}", "trainer.check_val_every_n_epoch=1"]
    cache = f"paths.cache={tmp_path / 'cache'}"
    assert run_command("train", "model=mtcnn", *SMALL, *small, cache) == 0
    assert json.loads((run / "metrics.json").read_text())["detection"]["images"] == 3
    other = ["data.view=image", "data.scheme=5"]
    assert run_command("evaluate", f"run={run}", *SMALL, *other, cache, f"output={tmp_path / 'test'}") == 0
    tested = json.loads((tmp_path / "test/metrics.json").read_text())
    assert tested["detection"]["images"] == 2
