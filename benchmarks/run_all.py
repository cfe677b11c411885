"""Every benchmark, one after the other, and one table of ratios with the machine that they were measured on.

A benchmark that fails is named and stops no other. Each runs in a process of its own, with its file's options.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from canthus.runs.machine import describe_machine
from canthus.utils.files import replacing

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One contender of one comparison.

    Attributes:
        comparison: what was measured, on what.
        contender: who did it.
        value: median, in ``unit``.
        unit: of ``value``.
        ratio: of its time to that of the comparison's reference, which reads 1: more is slower. None without one.
    """

    comparison: str
    contender: str
    value: float
    unit: str
    ratio: float | None


# -- from what the files write to rows: one function for each form ---------------------------------------------------


def by_title(content, unit="ms", reference=0) -> Iterator[Row]:
    """``{comparison: {contender: [milliseconds]}}``; the first contender of each is the reference."""
    for comparison, times in content.items():
        medians = {name: statistics.median(values) for name, values in times.items()}
        base = list(medians.values())[reference]
        for name, value in medians.items():
            yield Row(comparison, name, value, unit, value / base)


def loaders(content) -> Iterator[Row]:
    """Data path: the reference delivers what the field's loaders deliver, heat maps included."""
    for size, enlarged in dict.fromkeys((line["size"], line["enlarged"]) for line in content):
        lines = [line for line in content if (line["size"], line["enlarged"]) == (size, enlarged)]
        base = next(line["median"] for line in lines if line["loader"] == "canthus + heat maps on the CPU")
        for line in lines:
            comparison = f"training samples, {size} px{', from 800x1000' if enlarged else ''}"
            yield Row(comparison, line["loader"], line["median"], "ms/sample", line["median"] / base)


def labels(content) -> Iterator[Row]:
    for line in content:
        rate = line["faces"] / statistics.median(line["seconds"])
        yield Row("reading labels", line["labels"], rate, "faces/s", None)


def loops(content) -> Iterator[Row]:
    for line in content:
        median = statistics.median(line["bare"]["cpu"][1:])
        share = 1 + line["overhead"]["cpu"] / 100
        comparison = f"training step, {line['loop']} beside a bare loop"
        yield Row(comparison, "bare loop", median, "ms", 1.0)
        yield Row(comparison, line["loop"], median * share, "ms", share)


def steps(content) -> Iterator[Row]:
    """Training steps, in processor time; the first contender of each method is as the system has it."""
    for title, contenders in content.items():
        times = {name: [one["cpu"] for one in rounds] for name, rounds in contenders.items()}
        yield from by_title({f"training step, {title}": times})


def detectors(content) -> Iterator[Row]:
    for line in content:
        setting = ", ".join(f"{key} {line[key]}" for key in ("min_size", "batch", "threads"))
        times = {name: [1000 * value for value in values] for name, values in line["seconds"].items()}
        times = dict(sorted(times.items(), key=lambda item: item[0] != "canthus"))
        yield from by_title({f"detection {line['size']}, {setting}": times}, "ms/scene")


def reports(content) -> Iterator[Row]:
    for line in content:
        about = f"report, {line['faces']} faces, {line['seeds']} seeds of each recipe"
        yield Row(about, f"{line['runs']} runs", line["cpu"], "CPU s", None)


@dataclass(frozen=True)
class Benchmark:
    """A file of this folder.

    Attributes:
        rows: makes rows of what it writes.
        quick: its options for a first impression.
        needs: options of this file that it cannot do without.
        takes: options of this file that it is given where they are given here.
    """

    rows: object = by_title
    quick: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


BENCHMARKS = {
    "data_path": Benchmark(loaders, ("--rounds", "2", "--faces", "32", "--sizes", "112"), ("data",)),
    "reading": Benchmark(labels, ("--rounds", "2", "--faces", "2000"), takes=("data",)),
    "loop": Benchmark(loops, ("--rounds", "3", "--steps", "5", "--width", "0.05", "--batch", "8")),
    "steps": Benchmark(steps, ("--rounds", "2", "--methods", "dcnn", "--batch", "8", "--busy", "no")),
    "patches": Benchmark(quick=("--rounds", "2", "--batch", "8")),
    "maps": Benchmark(quick=("--rounds", "2", "--batch", "8")),
    "latency": Benchmark(quick=("--runs", "10", "--batches", "1"), takes=("dlib",)),
    "start": Benchmark(by_title, ("--rounds", "1")),
    "prediction": Benchmark(
        by_title,
        ("--rounds", "1", "--images", "4", "--frames", "10"),
        takes=("data",),
    ),
    "report": Benchmark(reports, ("--runs", "5", "20", "--faces", "100")),
    "synthetic": Benchmark(quick=("--rounds", "2")),
    "detection": Benchmark(
        detectors,
        (
            "--rounds",
            "1",
            "--scenes",
            "2",
            "--sizes",
            "640x480",
            "--min-sizes",
            "60",
            "--batches",
            "1",
            "--threads",
            "1",
        ),
        ("peer", "data"),
    ),
}


def command(name: str, options: argparse.Namespace, result: Path) -> list[str] | str:
    """How a benchmark is called, or why it is left out."""
    benchmark, given = BENCHMARKS[name], vars(options)
    absent = [f"--{key}" for key in benchmark.needs if given[key] is None]
    if absent:
        return f"needs {' and '.join(absent)}"
    passed = [(f"--{key}", str(given[key])) for key in (*benchmark.needs, *benchmark.takes) if given[key] is not None]
    words = [word for pair in passed for word in pair]
    return [
        sys.executable,
        str(HERE / f"{name}.py"),
        *words,
        *(benchmark.quick if options.quick else ()),
        "--json",
        str(result),
    ]


def machine() -> dict[str, object]:
    """What ratios depend on: also what else the machine was doing."""
    return {
        **describe_machine(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "load": [round(value, 2) for value in os.getloadavg()],
        "measured": time.strftime("%Y-%m-%d %H:%M"),
    }


def markdown(rows: list[tuple[str, Row]], about: dict[str, object], problems: dict[str, str], quick: bool) -> str:
    """The table, and below it what is missing from it."""
    load = " ".join(map(str, about["load"]))  # type: ignore[call-overload]
    lines = [
        "# Ratios",
        "",
        f"{about['processor']}, {about['processors']} cores, {about['memory_gb']} GB, {about['system']}, Python "
        f"{about['python']}, torch {about['torch']}, {about['threads']} threads unless a benchmark sets its own; load "
        f"when it began {load}; {about['measured']}.",
        "",
        "Medians; *x* is the time beside the row that reads 1.00: more is slower."
        + (" Few rounds: a first impression." if quick else ""),
    ]
    lines += ["", "| benchmark | comparison | contender | median | unit | x |", "|---|---|---|--:|---|--:|"]
    for name, row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines += [f"| {name} | {row.comparison} | {row.contender} | {row.value:.4g} | {row.unit} | {ratio} |"]
    if problems:
        lines += ["", *(f"- `{name}.py`: {what}" for name, what in problems.items())]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("CANTHUS_DATA"), help="holds 300w/ and ytf68/")
    parser.add_argument("--peer", type=Path, help="unpacked facenet-pytorch, for detection.py")
    parser.add_argument("--dlib", type=Path, help="shape_predictor_68_face_landmarks.dat, for latency.py")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="few rounds: does everything run, and a first impression")
    parser.add_argument(
        "--output", type=Path, default=Path("logs/benchmarks"), help="folder of ratios.md and ratios.json"
    )
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    about, rows, problems, failed = machine(), [], {}, False
    names = [name for name in options.only if (HERE / f"{name}.py").is_file()]
    for number, name in enumerate(names, 1):
        result = options.output / f"{name}.json"
        result.unlink(missing_ok=True)
        call = command(name, options, result)
        print(f"[{number}/{len(names)}] {name}.py", flush=True)
        if isinstance(call, str):
            problems[name] = f"left out, {call}"
            continue
        status = subprocess.run(call, check=False).returncode
        if status or not result.is_file():
            problems[name], failed = f"failed with status {status}", True
            continue
        rows += [(name, row) for row in BENCHMARKS[name].rows(json.loads(result.read_text()))]  # type: ignore[operator]
    table = markdown(rows, about, problems, options.quick)
    content = {"machine": about, "quick": options.quick, "problems": problems}
    content["rows"] = [{"benchmark": name, **vars(row)} for name, row in rows]
    for path, text in (("ratios.json", json.dumps(content, indent=1)), ("ratios.md", table)):
        with replacing(options.output / path) as temporary:
            temporary.write_text(text)
    print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
