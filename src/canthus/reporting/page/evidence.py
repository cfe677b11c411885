"""What stands beside the figures: significance, difficulties, the literature, claims, provenance."""

from collections.abc import Mapping, Sequence
from typing import Any

from canthus.reporting.claims import Claim
from canthus.reporting.page.protocols import Group, Number, Row
from canthus.reporting.page.significance import LEVEL, Pair
from canthus.reporting.page.tables import Cell, Column, Table, number_cell, text_cell
from canthus.reporting.published import published_beside, published_of

__all__ = [
    "beside_tables", "claims_table", "corruption_table", "elsewhere_tables", "matrix_table", "pair_table",
    "provenance_table", "severities",
]  # fmt: skip

TONES = {"holds": "good", "holds in part": "fair", "does not hold": "bad"}


def matrix_table(group: Group, pairs: Sequence[Pair]) -> Table | None:
    """Rows minus columns: who is better than whom."""
    if not pairs:
        return None
    rows = [row for row in group.rows if any(row in (pair.first, pair.second) for pair in pairs)]
    found = {(pair.first, pair.second): pair for pair in pairs}
    lines = []
    for row in rows:
        cells = [Cell(row.label, swatch=row.colour)]
        for column in rows:
            pair, sign = (found.get((row, column)), 1) if (row, column) in found else (found.get((column, row)), -1)
            cells.append(Cell("·", tone="quiet") if pair is None else _difference(pair, sign))
        lines.append(cells)
    columns = [Column("row minus column", numeric=False), *(Column(row.label) for row in rows)]
    caption = f"Mean difference of NME, row minus column, in % of {group.protocol.normaliser}"
    note = (
        f"Green: the row is better, red: worse, by both tests at {100 * LEVEL:g} % for all {len(pairs)} pairs together "
        "(Holm); grey: no difference shown, or by one test only."
    )
    return Table("differences", caption, columns, lines, notes=[note])


def _difference(pair: Pair, sign: int) -> Cell:
    value = sign * pair.numbers.mean_difference
    tone = "quiet" if pair.verdict != "better" else ("good" if value < 0 else "bad")
    return Cell(f"{value:+.2f}", value, tone=tone, title=f"{pair.verdict}; p {_chance(pair.p_mean)}, {_chance(pair.p_rank)}")


def pair_table(group: Group, pairs: Sequence[Pair]) -> Table | None:
    """Every pair with interval, wins and p values."""
    if not pairs:
        return None
    columns = [Column("first", numeric=False), Column("second", numeric=False), Column("faces")]
    columns += [Column("difference"), Column("95 % interval", numeric=False), Column("wins / losses / ties", numeric=False)]
    columns += [Column("p (mean)"), Column("p (rank)"), Column("verdict", numeric=False)]
    lines = []
    for pair in pairs:
        numbers = pair.numbers
        interval = numbers.interval
        lines.append([
            Cell(pair.first.label, swatch=pair.first.colour),
            Cell(pair.second.label, swatch=pair.second.colour),
            Cell(str(numbers.faces), numbers.faces),
            Cell(f"{numbers.mean_difference:+.2f}", numbers.mean_difference),
            Cell("–") if interval is None else Cell(f"{interval[0]:+.2f} – {interval[1]:+.2f}", interval[0]),
            Cell(f"{numbers.wins} / {numbers.losses} / {numbers.ties}", numbers.wins),
            Cell(_chance(pair.p_mean), pair.p_mean),
            Cell(_chance(pair.p_rank), pair.p_rank),
            Cell(_verdict(pair), tone="good" if pair.verdict == "better" else ""),
        ])  # fmt: skip
    left_out = sorted({pair.numbers.left_out for pair in pairs if pair.numbers.left_out})
    notes = [
        "Differences are first minus second: negative, the first is better. Intervals are 95 % bootstraps over faces, each for "
        "itself; p (mean) is of random sign flips, p (rank) of Wilcoxon's signed-rank test, both after Holm's correction over "
        "these pairs. Several seeds enter with their mean error on each face."
    ]
    if left_out:
        notes.append(f"Up to {left_out[-1]} faces without an estimate by one of the two are in wins and losses only.")
    caption = f"All pairs on their common faces, NME in % of {group.protocol.normaliser}"
    return Table("pairs", caption, columns, lines, filtered=True, notes=notes)


def _verdict(pair: Pair) -> str:
    if pair.verdict == "no difference shown":
        return pair.verdict
    better = pair.first if pair.numbers.mean_difference < 0 else pair.second
    return f"{better.label} {pair.verdict}"


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def severities(row: Row, seed: Any, difficulty: str, key: str = "nme") -> list[tuple[int, Number]]:
    """Severity and number over all faces, clean (0) first; the mean over the seeds of a row that have a suite."""
    suites = _suites(row, seed, difficulty)
    if not suites:
        return []
    found = [(0, Number.of([suite["clean"]["subsets"]["full"].get(key) for suite in suites]))]
    for severity in suites[0]["corruptions"][difficulty]["severities"]:
        levels = [suite["corruptions"][difficulty]["severities"].get(severity) for suite in suites]
        found.append((int(severity), Number.of([level["subsets"]["full"].get(key) if level else None for level in levels])))
    return [(severity, number) for severity, number in found if number is not None]


def _suites(row: Row, seed: Any, difficulty: str | None = None) -> list[Mapping[str, Any]]:
    """One for each seed of a row that has one under this seed of the corruptions."""
    by_run: dict[Any, Mapping[str, Any]] = {}
    for record in row.all_records:
        suite = record.corruptions
        if suite and suite.get("seed") == seed and (difficulty is None or difficulty in suite["corruptions"]):
            by_run.setdefault(record.training.folder.resolve() if record.training else record.folder, suite)
    return list(by_run.values())


def corruption_table(group: Group, seed: Any, difficulties: Sequence[str]) -> Table:
    """The mean over severities of each difficulty, and over all of them."""
    columns = [Column("model", numeric=False), Column("clean"), *(Column(name.replace("_", " ")) for name in difficulties)]
    columns += [Column("mean"), Column("more than clean, %"), Column("FR, mean"), Column("seen in training", numeric=False)]
    lines = []
    for row in group.rows:
        suites = _suites(row, seed)
        if not suites:
            continue
        means = []
        for name in difficulties:
            entries = [suite["corruptions"].get(name) for suite in suites]
            means.append(Number.of([entry.get("mean_nme") if entry else None for entry in entries]))
        failures = [
            level["subsets"]["full"]["failure_rate"]
            for suite in suites
            for entry in suite["corruptions"].values()
            for level in entry["severities"].values()
        ]
        seen = suites[0].get("in_training")
        lines.append([
            Cell(row.label, swatch=row.colour),
            number_cell(Number.of([suite["clean"]["subsets"]["full"]["nme"] for suite in suites])),
            *map(number_cell, means),
            number_cell(Number.of([suite["mean_corruption_error"] for suite in suites]), tone="strong"),
            number_cell(Number.of([suite["relative_corruption_error"] for suite in suites]), 1),
            number_cell(sum(failures) / len(failures), 1),
            text_cell(", ".join(map(str, seen)).replace("_", " ") if isinstance(seen, list) and seen else "none"),
        ])  # fmt: skip
    caption = f"Difficulties, mean over severities: NME in % of {group.protocol.normaliser}"
    return Table("difficulties", caption, columns, lines)


def beside_tables(group: Group) -> list[Table]:
    """Published NME of the same faces, points and normaliser: a table for each normaliser, none where nothing compares."""
    protocol = group.protocol
    if protocol.split != "test" or protocol.shown != "as they are":
        return []
    names = [protocol.normaliser]
    for row in group.rows:
        names += row.records[0].metrics["subsets"][group.whole].get("other_normalisers", {})
    return [table for name in dict.fromkeys(names) if (table := _beside(group, name))]


def _beside(group: Group, normaliser: str) -> Table | None:
    protocol = group.protocol
    methods: dict[tuple[str, int, str, str], dict[str, float]] = {}
    subsets = []
    for name, faces in group.subsets:
        found = published_beside(protocol.data, protocol.scheme, name, normaliser, faces)
        subsets += [name] if found else []
        for row in found:
            methods.setdefault((row.method, row.year, row.source, row.status), {})[name] = row.value
    if not methods:
        return None
    lines = []
    for one in group.rows:
        values = [_under(one, name, normaliser) for name in subsets]
        if any(values):
            lines.append([Cell(one.label, swatch=one.colour), text_cell("measured"), *map(number_cell, values), Cell("–"), Cell("this page")])
    for (method, year, source, status), known in methods.items():
        cells = [number_cell(known.get(name)) for name in subsets]
        lines.append([Cell(f"{method} ({year})"), text_cell("published"), *cells, text_cell(status), text_cell(source)])
    columns = [Column("method", numeric=False), Column("kind", numeric=False), *map(Column, subsets)]
    columns += [Column("status", numeric=False), Column("source", numeric=False)]
    note = "Face boxes, training data and choice of the epoch differ between papers."
    caption = f"Measured and published on these faces: NME in % of {normaliser}"
    return Table(f"beside-{normaliser}", caption, columns, lines, filtered=True, notes=[note])


def _under(row: Row, subset: str, normaliser: str) -> Number | None:
    """NME of a row under a normaliser; None where faces are missing, as the mean is then over the easier ones."""
    values: list[float | None] = []
    for record in row.records:
        content = record.metrics["subsets"].get(subset)
        if content is None or content.get("missing"):
            return None
        same = record.metrics["normaliser"] == normaliser
        values.append(content["nme"] if same else content.get("other_normalisers", {}).get(normaliser, {}).get("nme"))
    return Number.of(values)


def elsewhere_tables(models: Sequence[str]) -> list[Table]:
    """What is published about the methods of the page on any faces: a table for each data set and normaliser."""
    tables: dict[tuple[str, str], list[Any]] = {}
    for model in models:
        for row in published_of(model):
            tables.setdefault((row.data, row.normaliser), []).append(row)
    made = []
    for (data, normaliser), rows in tables.items():
        measures = list(dict.fromkeys((row.subset, row.metric) for row in rows))
        lines: dict[tuple[str, int, str, str], dict[tuple[str, str], float]] = {}
        for row in rows:
            key = (row.method, row.year, row.source, row.status)
            lines.setdefault(key, {})[row.subset, row.metric] = row.value
        columns = [Column("method", numeric=False), Column("year")]
        columns += [Column(f"{subset} {metric}") for subset, metric in measures]
        columns += [Column("status", numeric=False), Column("source", numeric=False)]
        cells = [
            [Cell(method), Cell(str(year), year), *(number_cell(known.get(measure)) for measure in measures), text_cell(status), text_cell(source)]
            for (method, year, source, status), known in lines.items()
        ]
        caption = f"{data}{f', {normaliser}' if normaliser else ''}"
        made.append(Table(f"elsewhere-{len(made)}", caption, columns, cells))
    return made


def claims_table(claims: Sequence[Claim], models: Sequence[str]) -> Table:
    """Claims of the papers, those of the page's models first."""
    shown = {model.lower() for model in models}
    ordered = sorted(claims, key=lambda claim: claim.model not in shown)
    lines = [
        [
            Cell(claim.model),
            Cell(claim.verdict, tone=TONES.get(claim.verdict, "quiet")),
            Cell(claim.claim),
            text_cell(claim.figures),
            text_cell(claim.measured),
            text_cell(claim.command, tone="code"),
            Cell(claim.paper),
        ]
        for claim in ordered
    ]
    columns = [Column(name, numeric=False) for name in ("model", "verdict", "claim", "figures", "how", "command", "paper")]
    caption = "Claims of the papers, and what came of them"
    return Table("claims", caption, columns, lines, filtered=True)


def provenance_table(groups: Sequence[Group]) -> Table:
    """A line for every evaluation of the page, copies included."""
    names = ("evaluation", "protocol", "model", "status", "commit", "recipe", "seed", "selected on", "data", "boxes", "machine")
    columns = [Column(name, numeric=False) for name in (*names, "versions", "started", "checkpoint", "command")]
    lines = []
    for group in groups:
        for row in group.rows:
            for record in row.all_records:
                training = record.training
                made = training.provenance if training else record.provenance
                settings = training.config if training else record.config
                lines.append([
                    Cell(str(record.folder), tone="code"),
                    Cell(group.name),
                    Cell(row.label, swatch=row.colour),
                    text_cell(made.get("status")),
                    _commit(made),
                    text_cell(training.recipe if training else None, tone="code"),
                    text_cell(training.seed if training else record.config.get("seed")),
                    text_cell(made.get("selected_on") or ("predictions of another tool" if record.by_tool else "unknown")),
                    text_cell(_data(settings)),
                    text_cell(_of(record.config, "data", "box")),
                    text_cell(_machine(made)),
                    text_cell(_versions(made)),
                    text_cell(made.get("started")),
                    text_cell(training.checkpoint.name if training and training.checkpoint else None),
                    text_cell(_command(made), tone="code"),
                ])  # fmt: skip
    return Table("provenance", "Where every row comes from", columns, lines, filtered=True)


def _commit(made: Mapping[str, Any]) -> Cell:
    commit = made.get("commit")
    if not commit:
        return Cell("not recorded", tone="quiet")
    return Cell(str(commit)[:10] + (" + changes" if made.get("dirty") else ""), title=str(commit), tone="code")


def _data(settings: Mapping[str, Any]) -> str:
    data = settings.get("data")
    if not isinstance(data, Mapping):
        return ""
    parts = data.get("train_parts")
    listed = f": {', '.join(map(str, parts))}" if isinstance(parts, list) else ""
    return f"trained on {data.get('name', '?')}{listed}; held out {data.get('validation', '?')} (seed {data.get('validation_seed', '?')})"


def _machine(made: Mapping[str, Any]) -> str:
    machine = made.get("machine")
    if not isinstance(machine, Mapping):
        return ""
    gpus = machine.get("gpus")
    words = [machine.get("processor"), f"{machine.get('processors', '?')} cores", f"{machine.get('threads', '?')} threads"]
    words += [f"{len(gpus)} x {gpus[0]}"] if isinstance(gpus, list) and gpus else ["no GPU"]
    return ", ".join(str(word) for word in words if word)


def _versions(made: Mapping[str, Any]) -> str:
    packages = made.get("packages")
    packages = packages if isinstance(packages, Mapping) else {}
    words = [f"{name} {packages[name]}" for name in ("canthus", "torch", "lightning", "numpy") if packages.get(name)]
    return ", ".join([*words, *([f"Python {made['python']}"] if made.get("python") else [])])


def _command(made: Mapping[str, Any]) -> str:
    command = made.get("command")
    return " ".join(map(str, command)) if isinstance(command, list) else ""


def _of(config: Mapping[str, Any], *keys: str) -> Any:
    value: Any = config
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


