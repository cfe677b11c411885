"""Training steps of the eight methods under what belongs to a process or a run: memory, threads, precision (README.md).

Every contender is a process of its own that has made its model and batch before the clock starts. They take turns.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.table import Table

METHODS = ("cfan", "dan", "dcnn", "facepose", "fan_zhou", "mdm", "mtcnn", "san")
CONTENDERS: dict[str, tuple[dict[str, str], list[str]]] = {
    "as the system has it": ({"CANTHUS_TUNING": "off"}, []),
    "memory kept": ({"GOMP_SPINCOUNT": "300000"}, []),
    "threads sleep": ({"CANTHUS_TUNING": "off", "OMP_WAIT_POLICY": "PASSIVE"}, []),
    "canthus": ({}, []),
    "bf16-mixed": ({}, ["--precision", "bf16-mixed"]),
    "fused optimiser": ({}, ["--fused", "true"]),
    "optimiser not fused": ({}, ["--fused", "false"]),
}
"""Name -> environment, options of the process. The first is the reference. 300000 is how often threads look for work if
nobody says anything."""
SETTINGS = {"mtcnn": ["data=synthetic_scenes"], "san": ["model.generators=null"]}
"""Of a method, beside its recipe: scenes to find faces in; no generators, which are trained apart."""
TAKEN = ("batch_size", "augmentation", "scheme", "landmark_faces", "smallest_face", "extent")
"""What the data keep of the recipe."""


# -- one contender ---------------------------------------------------------------------------------------------------


def step_of(options: argparse.Namespace) -> Callable[[], None]:
    """A function that does one training step of a recipe's model on rendered faces."""
    from canthus.runs.tuning import tune

    tune()
    import lightning
    import torch
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    from canthus.commands.checks import register_schemas
    from canthus.data.making import build_data
    from canthus.utils.files import conf_path

    register_schemas()
    lightning.seed_everything(0, verbose=False)
    method, folder = options.method, options.folder
    own, recipe = SETTINGS.get(method, []), f"{method}{'' if method == 'mtcnn' else '_300w'}{options.recipe}"
    with initialize_config_dir(conf_path(), version_base="1.3"):
        paths = [f"paths.output_dir={folder}", f"paths.cache={folder}/cache"]
        words = [word for word in own if word.startswith("model.")]
        cfg = compose("train", [f"experiment={recipe}", "data.root=.", *paths, *words, *options.set])
        data = [word for word in own if word.startswith("data=")] or ["data=synthetic"]
        count = options.batch or cfg.data.batch_size
        rendered = compose("train", [*data, f"data.size={count}", "data.validation=0", *paths]).data
    for key in TAKEN:
        if key in cfg.data:
            rendered[key] = cfg.data[key]
    rendered.batch_size = count
    if options.fused:
        cfg.model.optimizer.fused = options.fused == "true"
    model = instantiate(cfg.model, _convert_="all")
    data = build_data(rendered, model.input)
    data.prepare_data()
    data.setup("fit")
    model.initialise(data)
    phases = (cfg.callbacks.get("stages") or {}).get("phases") or [{"stages": range(model.num_stages)}]
    stages = [0] if method == "mtcnn" else phases[-1]["stages"]
    model.train_stages([int(stage) for stage in stages])
    model._trainer = data.trainer = _trainer(data)
    model.train()
    model._scheduler = None
    optimizer = model.configure_optimizers()
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    mixed = options.precision == "bf16-mixed"

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = torch.stack(list(model.losses(batch, model.estimates(batch)).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _trainer(data: Any) -> Any:
    """What models and data ask a trainer that trains on one processor."""
    import torch

    strategy, state = SimpleNamespace(root_device=torch.device("cpu")), SimpleNamespace(fn=None)
    told = {"training": True, "testing": False, "current_epoch": 0, "max_epochs": 1, "global_rank": 0, "world_size": 1}
    return SimpleNamespace(datamodule=data, accumulate_grad_batches=1, strategy=strategy, state=state, **told)


def work(options: argparse.Namespace) -> None:
    """Answer every line of the standard input with the cost of some steps."""
    step = step_of(options)
    for _ in range(3):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        steps = int(line)
        before, cpu, wall = resource.getrusage(resource.RUSAGE_SELF), time.process_time(), time.perf_counter()
        for _ in range(steps):
            step()
        after = resource.getrusage(resource.RUSAGE_SELF)
        answer = {
            "cpu": 1000 * (time.process_time() - cpu) / steps,
            "wall": 1000 * (time.perf_counter() - wall) / steps,
            "faults": (after.ru_minflt - before.ru_minflt) / steps,
            "rss": after.ru_maxrss / 1024,
        }
        print(json.dumps(answer), flush=True)


# -- side by side ----------------------------------------------------------------------------------------------------


class Contender:
    """A process that steps when it is told to."""

    def __init__(self, name: str, method: str, folder: str, options: argparse.Namespace) -> None:
        variables, words = CONTENDERS[name]
        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), **variables}
        for key in ("OMP_WAIT_POLICY", "CANTHUS_TUNING", "GOMP_SPINCOUNT"):
            if key not in variables:
                environment.pop(key, None)
        words = [*words, "--set", *options.set] if options.set else words
        size = ["--batch", str(options.batch)] if options.batch else []
        call = [sys.executable, __file__, "--work", method, folder, "--recipe", options.recipe, *size, *words]
        self.process = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
        self.name, self.times = name, []  # type: ignore[var-annotated]

    def ready(self) -> None:
        """Wait until it is."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "ready\n":
                return
        raise SystemExit(f"{self.name} has failed")

    def steps(self, count: int) -> dict[str, float]:
        """Let it do some steps."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer: dict[str, float] = json.loads(self.process.stdout.readline())
        return answer

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()


BURN = "while True: pass"


def compare(method: str, options: argparse.Namespace, *, busy: bool) -> dict[str, list[dict[str, float]]]:
    """Rounds of all contenders, the order reversed in every second one; a busy machine has a loop beside each core."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        contenders = []
        for name in options.contenders:
            contender = stack.enter_context(Contender(name, method, folder, options))
            contender.ready()  # one after the other: the first renders the faces
            contenders.append(contender)
        if busy:
            for _ in range(os.cpu_count() or 1):
                burner = subprocess.Popen([sys.executable, "-c", BURN])
                stack.callback(burner.wait)
                stack.callback(burner.kill)
        times: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in contenders}
        for number in range(options.rounds):
            for contender in contenders[:: -1 if number % 2 else 1]:
                times[contender.name].append(contender.steps(options.steps))
    return times


def table(title: str, times: dict[str, list[dict[str, float]]]) -> Table:
    """Medians, and medians of the ratios of paired rounds."""
    shown = Table(title=title)
    for column in ("contender", "CPU ms", "x", "wall ms", "x", "page faults", "MB"):
        shown.add_column(column, justify="left" if column == "contender" else "right")
    first = next(iter(times.values()))
    for name, rounds in times.items():
        cells = []
        for key in ("cpu", "wall"):
            cells.append(f"{statistics.median(one[key] for one in rounds):.0f}")
            cells.append(f"{statistics.median(b[key] / a[key] for a, b in zip(rounds, first, strict=True)):.2f}")
        cells.append(f"{statistics.median(one['faults'] for one in rounds):.0f}")
        shown.add_row(name, *cells, f"{rounds[-1]['rss']:.0f}")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS)[:4], choices=list(CONTENDERS))
    parser.add_argument("--recipe", default="_cpu", help="end of the experiment's name: _cpu, or nothing for full size")
    parser.add_argument("--batch", type=int, help="faces; the recipe's number by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="a round")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--busy", nargs="+", default=["no", "yes"], choices=["no", "yes"])
    parser.add_argument("--set", nargs="+", default=[], help="further settings of the recipe")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="32-true", help=argparse.SUPPRESS)
    parser.add_argument("--fused", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        options.method, options.folder = options.work
        work(options)
        return
    result = {}
    for method in options.methods:
        for busy in options.busy:
            title = (
                f"{method}{options.recipe}, {options.threads} threads, {'busy' if busy == 'yes' else 'idle'} machine"
            )
            result[title] = compare(method, options, busy=busy == "yes")
            Console().print(table(title, result[title]))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
