"""A whole run in a second: synthetic faces, a very small DAN."""

import functools
from pathlib import Path

import lightning
import pytest
import torch

from canthus.callbacks.evaluator import Evaluator
from canthus.data import face_data
from canthus.data.augment import Augmentation
from canthus.models.dan.module import DANModule


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_data(cache: Path):
    def make(model: DANModule, **options):
        settings = {"size": 48, "train_parts": ["train"], "test_parts": ["test"], "validation": 0.25, "batch_size": 8}
        settings |= {"cache": cache, "name": "synthetic", "augmentation": Augmentation(), "resolution": 96} | options
        return face_data(model.input, "canthus.data.synthetic.Synthetic", **settings)

    return make


@pytest.fixture
def make_model():
    def make(**options) -> DANModule:
        torch.manual_seed(0)
        optimizer = functools.partial(torch.optim.Adam, lr=1e-3)
        return DANModule(optimizer, width=0.05, statistics_faces=32, **options)

    return make


@pytest.fixture
def make_trainer(tmp_path: Path):
    def make(*callbacks: lightning.Callback, **options) -> lightning.Trainer:
        settings = {"accelerator": "cpu", "max_epochs": 4, "enable_progress_bar": False, "logger": False}
        settings |= {"enable_model_summary": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
        settings |= {"use_distributed_sampler": False, "default_root_dir": tmp_path} | options
        return lightning.Trainer(callbacks=[Evaluator(), *callbacks], **settings)

    return make
