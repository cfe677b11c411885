"""Training for minutes: DAN learns 16 faces by heart, and real faces well enough to leave the mean shape far behind."""

import functools
import json
from pathlib import Path

import pytest
import torch

from canthus.data import face_data
from canthus.models.dan.module import DANModule

pytestmark = pytest.mark.slow


def test_sixteen_faces_are_learnt_by_heart(cache: Path) -> None:
    """Below 1 % of the inter-ocular distance on its training faces: the least that a whole training path must do."""
    torch.manual_seed(0)
    model = DANModule(functools.partial(torch.optim.Adam, lr=1e-3), width=0.25, dropout=0.0, later_stages="previous")
    data = face_data(
        model.input, "canthus.data.synthetic.Synthetic", name="synthetic", size=16, difficulty="easy", batch_size=16,
        train_parts=["train"], validation=0, cache=cache,
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    model.initialise(data)
    batch = data.to_input(next(iter(data.train_dataloader())), "train", augment=False)
    left, right = model.scheme.normalisers["inter_ocular"]
    distance = (batch["landmarks"][:, left[0]] - batch["landmarks"][:, right[0]]).norm(dim=-1, keepdim=True)
    errors = []
    for stage in (0, 1):
        model.train_stages([stage])
        optimizer = model.configure_optimizers()
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 250)
        for _ in range(250):
            model.train()
            loss = model.losses(batch, model.estimates(batch))["point"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            points = model.estimates(batch).points[-1]
        errors.append(float(((points - batch["landmarks"]).norm(dim=-1) / distance).mean()))
    assert errors[1] < 0.01, errors
    assert errors[1] < errors[0] + 1e-3, errors


def test_real_faces_in_a_few_minutes(run_command, real_data: Path, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = [
        "experiment=dan_300w_cpu",
        f"data.root={real_data / '300w'}",
        "model.width=0.25",
        f"paths.cache={cache}",
    ]
    assert run_command("train", *settings, "trainer.max_epochs=24", f"hydra.run.dir={folder}") == 0
    helen = json.loads((folder / "metrics.json").read_text())["subsets"]["helen/trainset"]
    assert helen["nme_initial"] > 14  # the mean shape in the box
    assert helen["nme"] < 7.5
    assert helen["nme_per_stage"][1] < helen["nme_per_stage"][0]
