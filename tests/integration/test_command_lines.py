"""Command lines as they go wrong: the right result, or one line with status 2; never a traceback."""

import logging
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from canthus.commands import checks, overriding, schemas
from canthus.commands.launch import preflight
from canthus.runs import faults
from canthus.utils.files import conf_path
from tests.helpers.mutations import VALUES, files, mutated

TRAIN_KEYS = """
seed normaliser normalisers threshold test resume step steps init_from tags task_name trainer
trainer.max_epochs trainer.accelerator trainer.devices trainer.precision trainer.log_every_n_steps
trainer.gradient_clip_val trainer.accumulate_grad_batches trainer.max_steps model model.width model.optimizer.lr
model.optimizer model.scheduler model.statistics_faces model._target_ data data.root data.size data.resolution
data.batch_size data.validation data.validation_seed data.train_faces data.cache data.scheme data.augmentation
data.augmentation.rotation data.extent data.oversample data.num_workers data.max_broken data.seed data.name data.reader
data.styles data.train_parts data.subsets data.severity data.corruption callbacks callbacks.best callbacks.best.monitor
callbacks.stages.phases callbacks.overlays.faces logger paths.cache paths.log_dir hydra.run.dir experiment"""


def read(words: list[str]) -> DictConfig:
    """What `launch` does before anything is built, and the task's own check."""
    checks.register_schemas()
    words, cfg = preflight(overriding.readable(words), "train")
    assert cfg is not None
    with initialize_config_dir(conf_path(), version_base="1.3"):
        composed = compose("train", [word for word in words if not word.startswith("-")])
    checks.check(composed, schemas.TrainConfig)
    return composed


def built(cfg: DictConfig, folder: Path) -> None:
    """What a training builds before it begins."""
    cfg.paths.output_dir, cfg.task_name = str(folder), "task"
    model = instantiate(cfg.model, _convert_="all")
    instantiate(cfg.data, _partial_=True, _convert_="all")(input=model.input)
    for node in (cfg.callbacks or {}).values():
        if node is not None:
            instantiate(node, _convert_="all")
    instantiate(cfg.trainer, logger=False, enable_progress_bar=False)


def check_lines(folder: Path, seed: int, count: int, *, build: bool) -> None:
    words = ["data=synthetic", "trainer=cpu", "model.width=0.05", "data.size=8", "data.resolution=64"]
    words.append(f"hydra.run.dir={folder / 'run'}")
    refused = 0
    unforeseen: list[tuple[list[str], Exception]] = []
    for line in mutated(words, TRAIN_KEYS.split(), VALUES + files(folder / "odd"), seed, count):
        try:
            cfg = read(line)
            if build:
                built(cfg, folder)
        except Exception as error:
            refused += 1
            if not faults.mendable(error) or faults.exit_status(error) != 2:
                unforeseen.append((line, error))
        finally:
            GlobalHydra.instance().clear()
    assert not unforeseen
    assert refused > count / 4  # the values are wrong enough


def test_wrong_command_lines_are_one_message(tmp_path: Path) -> None:
    check_lines(tmp_path, 1, 12, build=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_many_wrong_command_lines_are_one_message(seed: int, tmp_path: Path) -> None:
    check_lines(tmp_path, seed, 100, build=True)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["predict", "report", "evaluate", "score", "study", "data", "export"])
def test_other_commands(command: str, trained: Path, cache: Path, images: Path, run_command, tmp_path, capsys) -> None:
    """The commands themselves, on a run that exists."""
    small = ["data=synthetic", "data.size=20", "data.resolution=64", f"paths.cache={cache}"]
    output = f"output={tmp_path / 'out'}"
    lines = {
        "predict": ([f"run={trained}", f"source={images}", output], PREDICT_KEYS),
        "report": ([f"runs={trained}", f"output={tmp_path / 'r.html'}", "latency=0", "faces=false"], REPORT_KEYS),
        "evaluate": ([f"run={trained}", output, "overlays=0"], EVAL_KEYS),
        "score": ([f"predictions={trained / 'predictions.csv'}", output, "split=val", *small], SCORE_KEYS),
        "study": (["study=critique", output, *small], STUDY_KEYS),
        "data": ([output, *small], DATA_KEYS),
        "export": ([f"run={trained}", "format=torchscript", f"output={tmp_path / 'x.pt'}"], EXPORT_KEYS),
    }
    words, keys = lines[command]
    unforeseen = []
    odd = (*VALUES, *files(tmp_path / "odd"), str(trained), str(images))
    for line in mutated(words, keys.split(), odd, 3, 25):
        given = [word.partition("=")[0] for word in line]
        if not {"output", "run", "runs", "predictions", "study"} & set(given):
            continue
        logging.getLogger().handlers.clear()
        status = run_command({"score": "evaluate", "study": "evaluate"}.get(command, command), *line)
        said = capsys.readouterr()
        # canthus-data tells damage by 1
        if "Traceback" in said.out + said.err or status not in (0, 2, *([1] if command == "data" else [])):
            unforeseen.append((line, status, said.err[-1500:]))
    assert not unforeseen


PREDICT_KEYS = (
    "detector checkpoint boxes box box_margin batch_size device overlays video video.frames flip_average trust"
)
REPORT_KEYS = "title measure latency threads device faces trust"
EVAL_KEYS = """checkpoint split normaliser normalisers threshold compare corruptions styles flip_average trust data
data.root data.batch_size data.validation trainer trainer.accelerator overlays seed"""
SCORE_KEYS = "name scheme first_pixel missing split normaliser normalisers threshold overlays compare seed data.scheme"
STUDY_KEYS = """study runs checkpoint persons pairs box_noise label_noise corruptions severity corrupted_faces align_by
embedder embedder_weights size seed data.scheme"""
DATA_KEYS = "poses beside faces seed limits limits.copies data data.root data.scheme data.validation data.train_parts"
EXPORT_KEYS = "checkpoint flip_average device opset storage tolerance terms trust format"
