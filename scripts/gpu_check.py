"""What only a GPU can show, in ten minutes on one: steps, stalls, precision, DDP, the loader, a short training.

    python scripts/gpu_check.py --data DIR --output OUT          on the day there is a GPU
    python scripts/gpu_check.py --device cpu --toy --output OUT  the same on a processor, small: does it run?

Every part is tried, none stops the others, and ``OUT/gpu_check.json`` and ``gpu_check.md`` hold what was found as soon
as a part is done. Parts that would begin after ``--minutes`` are left out and named.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from canthus.commands.checks import register_schemas
from canthus.data.making import build_data
from canthus.runs.machine import describe_machine
from canthus.utils.files import conf_path, replacing

METHODS = ("dan", "mdm", "san", "fan_zhou", "facepose", "dcnn", "cfan", "mtcnn")
"""By what they cost."""
SETTINGS = {"san": ["model.generators=null"]}
GPU_TESTS = ["tests/unit/data/test_augment.py", "tests/unit/data/test_datamodule.py", "-k", "cuda or device or paths"]


def settings(method: str, options: argparse.Namespace, *words: str) -> Any:
    """The composed recipe of a method: full size, or that of small machines."""
    small = "_cpu" if options.toy else ("" if method != "mtcnn" else "_cpu")
    name = f"mtcnn{small}" if method == "mtcnn" else f"{method}_300w{small}"
    paths = [f"paths.output_dir={options.output}", f"paths.cache={options.output}/cache", "data.root=."]
    return compose("train", [f"experiment={name}", *paths, *SETTINGS.get(method, []), *words])


def prepared(method: str, options: argparse.Namespace) -> tuple[Any, Any]:
    """A recipe's model on the device and its data module, of rendered faces whose crops are copied as for a GPU."""
    cfg = settings(method, options)
    kind = "synthetic_scenes" if method == "mtcnn" else "synthetic"
    count = 8 if options.toy else int(cfg.data.batch_size)
    rendered = compose(
        "train", [f"data={kind}", f"data.size={count}", "data.validation=0", f"paths.cache={options.output}/cache"]
    ).data
    for key in ("augmentation", "scheme", "landmark_faces", "smallest_face", "extent"):
        if key in cfg.data:
            rendered[key] = cfg.data[key]
    rendered.batch_size = count
    if options.toy and "landmark_faces" in rendered:
        rendered.landmark_faces = 8
    model = instantiate(cfg.model, _convert_="all")
    data = build_data(rendered, model.input)
    data.prepare_data()
    data.setup("fit")
    model.initialise(data)
    if method == "mtcnn":
        model.train_stages([0])
    device = torch.device(options.device)
    told = {"training": True, "testing": False, "current_epoch": 0, "max_epochs": 1, "global_rank": 0, "world_size": 1}
    strategy = SimpleNamespace(root_device=device)
    state = SimpleNamespace(fn=None)
    trainer = SimpleNamespace(datamodule=data, accumulate_grad_batches=1, strategy=strategy, state=state, **told)
    model._trainer = data.trainer = trainer
    model._scheduler = None
    return model.to(device).train(), data


def batches(data: Any, device: torch.device) -> Iterator[Any]:
    """A batch on the device, again and again: rows of the store, as the loader gives them."""
    loader = data.train_dataloader()
    if data.num_workers is None:
        loader.num_workers = 0
    for view in (getattr(loader.dataset, name, None) for name in ("images", "faces")):
        if view is not None:
            view.pack = view.copy_rows = True
    if hasattr(loader.dataset, "copy_rows"):
        loader.dataset.copy_rows = True
    stored = next(iter(loader))
    while True:
        yield data.transfer_batch_to_device(dict(stored), device, 0)


def wait(device: torch.device) -> None:
    """For what the device has been told."""
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def no_stalls(device: torch.device) -> Iterator[None]:
    """CUDA raises where the host would wait."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


# -- parts -----------------------------------------------------------------------------------------------------------


def steps(options: argparse.Namespace, report: Callable[[str, Any], None]) -> None:
    """Milliseconds of a step with its augmentation, in float32 and bfloat16; share of the time that the GPU works."""
    device = torch.device(options.device)
    for method in options.methods:
        try:
            model, data = prepared(method, options)
            optimizer = model.configure_optimizers()
            given = batches(data, device)

            def step(mixed: bool) -> None:
                with torch.autocast(device.type, torch.bfloat16, enabled=mixed):  # called in this round
                    batch = data.on_after_batch_transfer(next(given), 0)  # noqa: B023
                    terms = model.losses(batch, model.estimates(batch))  # noqa: B023
                    loss = torch.stack(list(terms.values())).sum()
                optimizer.zero_grad()  # noqa: B023
                loss.backward()
                optimizer.step()  # noqa: B023

            row: dict[str, Any] = {"faces": len(next(given)["index"])}
            for mixed in (False, True):
                if mixed and device.type == "cpu":
                    continue  # emulated where the processor has none
                for _ in range(2 if options.toy else 8):
                    step(mixed)
                row["bf16" if mixed else "fp32"] = timed(functools.partial(step, mixed), device, options.toy)
            row["stalls"] = stalls(functools.partial(step, False), device)
            report(method, row)
        except Exception as error:
            report(method, {"failed": f"{type(error).__name__}: {error}", "where": traceback.format_exc()[-1500:]})


def timed(step: Callable[[], None], device: torch.device, toy: bool) -> dict[str, float]:
    """Median wall time of a step, time until the host is done with it, and the share of the wall time the GPU works."""
    walls, hosts = [], []
    for _ in range(3 if toy else 20):
        wait(device)
        begin = time.perf_counter()
        step()
        hosts.append(time.perf_counter() - begin)
        wait(device)
        walls.append(time.perf_counter() - begin)
    found = {"ms": 1000 * statistics.median(walls), "host_ms": 1000 * statistics.median(hosts)}
    if device.type == "cuda":
        count = 10
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            begin = time.perf_counter()
            for _ in range(count):
                step()
            wait(device)
            wall = time.perf_counter() - begin
        busy = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
        found |= {"busy_percent": 100 * busy / wall, "peak_mb": torch.cuda.max_memory_allocated() / 2**20}
    return {key: round(value, 2) for key, value in found.items()}


def stalls(step: Callable[[], None], device: torch.device) -> str:
    """Whether a step stalls, by CUDA's own watch."""
    if device.type != "cuda":
        return "not watched: no GPU"
    try:
        with no_stalls(device):
            step()
    except RuntimeError as error:
        lines = [line.strip() for line in traceback.format_exc().splitlines() if "/canthus/" in line]
        return f"{error} at {lines[-1] if lines else '?'}"
    return "none"


def loader(options: argparse.Namespace, report: Callable[[str, Any], None]) -> None:
    """Training samples a second, loader to network input at 256 px; HRNet-FLD's loader beside it by data_path.py."""
    device = torch.device(options.device)
    for workers in (0, 4) if not options.toy else (0,):
        cfg = settings("mdm", options)
        words = ["data=synthetic", f"data.size={16 if options.toy else 512}", "data.validation=0"]
        rendered = compose("train", [*words, f"paths.cache={options.output}/cache"]).data
        rendered.augmentation, rendered.batch_size, rendered.num_workers = cfg.data.augmentation, 8, workers
        if not options.toy:
            rendered.batch_size = 64
        model = instantiate(cfg.model, _convert_="all")
        data = build_data(rendered, model.input)
        data.prepare_data()
        data.setup("fit")
        _, told = prepared("dan", argparse.Namespace(**{**vars(options), "toy": True}))
        data.trainer = told.trainer
        source = data.train_dataloader()
        source.dataset.copy_rows = True
        count, begin = 0, time.perf_counter()
        for _ in range(1 if options.toy else 4):
            for stored in source:
                batch = data.on_after_batch_transfer(data.transfer_batch_to_device(stored, device, 0), 0)
                count += len(batch["index"])
        wait(device)
        report(f"canthus, {workers} workers", {"samples_a_second": round(count / (time.perf_counter() - begin), 1)})
    if options.data is None:
        report("HRNet-FLD", {"left out": "no --data with 300w/"})
        return
    path = options.output / "data_path.json"
    words = ["--data", str(options.data), "--json", str(path), "--faces", "48"]
    done = run([sys.executable, "benchmarks/data_path.py", *words], options, 240)
    report("data_path.py, one core", json.loads(path.read_text()) if path.is_file() else {"failed": done})


def ddp(options: argparse.Namespace, report: Callable[[str, Any], None]) -> None:
    """One epoch of a training as one process, and under DDP on one device: the same metrics."""
    rows: dict[str, Any] = {}
    gpu = options.device == "cuda"
    for name, words in {
        "one process": ["trainer=gpu" if gpu else "trainer=cpu"],
        "ddp, one device": ["trainer=ddp", f"trainer.accelerator={'gpu' if gpu else 'cpu'}", "trainer.devices=1"],
    }.items():
        folder = options.output / name.replace(" ", "_").replace(",", "")
        problem = run([*training(options, folder), *words, "trainer.max_epochs=1"], options, 300)
        metrics = folder / "metrics.csv"
        rows[name] = problem or metrics.read_text().splitlines()[-1]
    rows["equal"] = rows["one process"] == rows["ddp, one device"]
    report("metrics after an epoch", rows)


def training(options: argparse.Namespace, folder: Path) -> list[str]:
    """The command of a small training on rendered faces."""
    size = ["data.size=24", "data.batch_size=8", "model.width=0.1", "model.statistics_faces=16"] if options.toy else []
    quiet = ["callbacks.overlays=null", "callbacks.progress=null", "logger=csv"]
    words = ["data=synthetic", "model=dan", *(size or ["data.size=1000"]), *quiet, f"hydra.run.dir={folder}"]
    return [sys.executable, "-m", "canthus.commands.train", *words, f"paths.cache={options.output}/cache"]


def tests(options: argparse.Namespace, report: Callable[[str, Any], None]) -> None:
    """The tests that need a GPU."""
    problem = run([sys.executable, "-m", "pytest", "-q", "-x", *GPU_TESTS], options, 200)
    report("tests", problem or "passed")


def short_training(options: argparse.Namespace, report: Callable[[str, Any], None]) -> None:
    """A full-size DAN for a few minutes, on 300-W where it is there: faces a second, the error, GPU and host."""
    folder = options.output / "dan"
    if options.toy:
        words = [*training(options, folder)[3:], "trainer=cpu", "trainer.max_epochs=1"]
    else:
        words = ["experiment=dan_300w", f"hydra.run.dir={folder}", "trainer=gpu", "trainer.max_time=00:00:02:30"]
        words += ["callbacks.progress=null", "data.allow_partial=true", "data.train_parts=[helen/trainset,afw]"]
        words += [f"data.root={options.data}/300w"] if options.data else ["data=synthetic", "data.size=4000"]
    problem = run([sys.executable, "-m", "canthus.commands.train", *words], options, 300)
    record = json.loads((folder / "provenance.json").read_text()) if (folder / "provenance.json").is_file() else {}
    rows = (folder / "metrics.csv").read_text().splitlines() if (folder / "metrics.csv").is_file() else []
    found = {"problem": problem, "seconds": record.get("seconds"), "precision": record.get("precision")}
    report("training", found | {"epochs": max(len(rows) - 1, 0), "last": rows[-1] if rows else None})


PARTS: dict[str, Callable[[argparse.Namespace, Callable[[str, Any], None]], None]] = {
    "steps": steps, "ddp": ddp, "loader": loader, "training": short_training, "tests": tests,
}  # fmt: skip


# -- all of it -------------------------------------------------------------------------------------------------------


def run(command: list[str], options: argparse.Namespace, limit: int) -> str:
    """Run a command; returns what was wrong, empty if nothing."""
    log = options.output / f"{Path(command[-1]).name[:20]}.log"
    with log.open("w") as file:
        try:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return f"stopped after {limit} s"
    return "" if not done.returncode else f"status {done.returncode}: {log.read_text()[-500:]}"


def write(content: dict[str, Any], output: Path) -> None:
    """Both files, whole."""
    lines = ["# GPU check", "", f"`{json.dumps(content['machine'])}`"]
    for part, rows in content["parts"].items():
        lines += ["", f"## {part}", "", *(f"- {name}: {json.dumps(row)}" for name, row in rows.items())]
    for path, text in (("gpu_check.json", json.dumps(content, indent=1)), ("gpu_check.md", "\n".join(lines) + "\n")):
        with replacing(output / path) as temporary:
            temporary.write_text(text)


def main(arguments: list[str] | None = None) -> int:
    """Run the parts; returns 1 if one has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    parser.add_argument("--toy", action="store_true", help="small sizes: does everything run?")
    parser.add_argument("--data", type=Path, default=os.environ.get("CANTHUS_DATA"), help="holds 300w/")
    parser.add_argument("--output", type=Path, default=Path("logs/gpu_check"))
    parser.add_argument("--minutes", type=float, default=10.0, help="no part begins later")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    options = parser.parse_args(arguments)
    options.output = options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    register_schemas()
    lightning.seed_everything(0, verbose=False)
    begin = time.monotonic()
    content: dict[str, Any] = {"machine": describe_machine(), "parts": {}}
    failed = False
    with initialize_config_dir(conf_path(), version_base="1.3"):
        for part in options.parts:
            rows: dict[str, Any] = content["parts"].setdefault(part, {})

            def report(name: str, row: Any, rows: dict[str, Any] = rows, part: str = part) -> None:
                rows[name] = row
                print(f"{part}: {name}: {row}", flush=True)
                write(content, options.output)

            if time.monotonic() - begin > 60 * options.minutes:
                report("left out", f"{options.minutes:g} minutes are over")
                continue
            try:
                PARTS[part](options, report)
            except Exception as error:
                report("failed", f"{type(error).__name__}: {error}\n{traceback.format_exc()[-1500:]}")
            failed |= any("failed" in str(row) or "status" in str(row) for row in rows.values())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
