"""The tables of one protocol: accuracy and cost, subsets, regions, head poses, boxes, other measures."""

from collections.abc import Mapping
from typing import Any

from canthus import zoo
from canthus.evaluation.cost import Cost
from canthus.reporting.page.measured import Costs
from canthus.reporting.page.protocols import Group, Number, Row
from canthus.reporting.page.tables import NOTHING, Cell, Column, Table, heated, number_cell, text_cell
from canthus.reporting.tables import END_TO_END, end_to_end_rows, interval_text

__all__ = [
    "cost_of",
    "detection_table",
    "end_to_end_table",
    "main_table",
    "other_table",
    "pose_table",
    "region_table",
    "subset_table",
]

ANGLES = ("yaw", "pitch", "roll", "mae", "geodesic")


LONGEST_REMARK = 200
"""Characters of what a tool says about itself."""


def cost_of(row: Row, costs: Costs) -> Cost | None:
    """Of a row's first seed: the network is the same in all."""
    training = row.records[0].training
    return costs.get(training.checkpoint) if training and training.checkpoint else None


def main_table(group: Group, costs: Costs) -> Table:
    """Rows are models x subsets: errors per stage, AUC, FR, and what the model costs."""
    stages = max(row.stages for row in group.rows)
    starts = any(row.number(subset, "nme_initial") for row in group.rows for subset in row.subsets())
    threshold = f"{group.protocol.threshold:g}"
    columns = [Column("model", numeric=False), Column("subset", numeric=False), Column("faces")]
    columns += [Column("NME", about=f"of the last stage, in % of {group.protocol.normaliser}; ± is over seeds")]
    columns += [Column("95 % interval", numeric=False, about="of the mean, by bootstrap over faces; of single runs")]
    columns += [Column("start", about="NME of the shape that the cascade starts from")] if starts else []
    columns += [Column(f"stage {number + 1}", about="NME after this stage") for number in range(stages)]
    columns += [Column(f"AUC@{threshold}", about="area under the cumulative error curve, %"), Column(f"FR@{threshold}")]
    columns += [
        Column("M params", about="millions of parameters"),
        Column("MB", about="of the file of weights; of a run, four bytes a parameter"),
        Column("GFLOP", about="a face, all stages: convolutions and matrix products, two a multiply-add"),
        Column("ms", about="from the cropped input to the points, batch 1, median"),
        Column("ms, crop too", about="from the decoded image and a box to the points, median"),
        Column("training", about="wall time of the run and its steps, evaluation included; of other tools as they say"),
        Column("epochs"),
    ]
    rows = []
    for subset, faces in group.subsets:
        for row in group.subsets[subset, faces]:
            cells = [
                _name(row),
                text_cell(subset),
                Cell(str(faces), faces),
                _headline(row, subset),
                _interval(row, subset),
            ]
            cells += [number_cell(row.number(subset, "nme_initial"))] if starts else []
            cells += [number_cell(row.stage(subset, stage)) for stage in range(stages)]
            cells += [number_cell(row.number(subset, key)) for key in ("auc", "failure_rate")]
            rows.append([*cells, *_cost_cells(row, costs)])
    notes = [
        f"{row.label}: {int(missing.value)} faces have no estimate: failures in AUC and FR; NME is over the others."
        for row in group.rows
        if (missing := row.number(group.whole, "missing"))
    ]
    remarks = [(row, row.records[0].metrics.get("cost", {}).get("remark")) for row in group.rows]
    notes += [f"{row.label}: {str(remark)[:LONGEST_REMARK]}" for row, remark in remarks if remark]
    counted = sum(cost_of(row, costs) is not None for row in group.rows)
    if 0 < counted < len(group.rows):
        notes.append(f"Parameters, operations and times of {counted} of {len(group.rows)} models.")
    caption = f"NME in % of {group.protocol.normaliser}"
    return Table("results", caption, columns, rows, choose=1, chosen=group.whole, filtered=True, notes=notes)


def _name(row: Row) -> Cell:
    return Cell(row.label, swatch=row.colour, title=", ".join(str(record.folder) for record in row.all_records))


def _headline(row: Row, subset: str) -> Cell:
    return number_cell(row.number(subset, "nme"), tone="strong")


def _interval(row: Row, subset: str) -> Cell:
    interval = row.records[0].metrics["subsets"][subset].get("nme_interval") if len(row.records) == 1 else None
    return Cell(interval_text(interval) or NOTHING, interval[0] if interval else None, tone="line")


def _cost_cells(row: Row, costs: Costs) -> list[Cell]:
    cost, told = cost_of(row, costs), row.records[0].metrics.get("cost", {})
    training = [record.training for record in row.records if record.training]
    minutes = told.get("minutes")
    hours = Number.of([one.seconds for one in training] if training else [None if minutes is None else 60 * minutes])
    epochs = Number.of([one.epochs for one in training]) if training else None
    return [
        number_cell(cost.parameters / 1e6 if cost else None, 2),
        number_cell(_megabytes(row, cost), 1),
        number_cell(cost.operations / 1e9 if cost else None, 3),
        number_cell(cost.network.median if cost and cost.network else None, 1),
        number_cell(cost.with_crop.median if cost and cost.with_crop else told.get("milliseconds"), 1),
        Cell(duration(hours.value), hours.value) if hours else text_cell(None),
        number_cell(epochs, 0),
    ]


def _megabytes(row: Row, cost: Cost | None) -> float | None:
    training = row.records[0].training
    if training and training.checkpoint and training.checkpoint.suffix == zoo.SUFFIX:
        return training.checkpoint.stat().st_size / 1e6
    return 4 * cost.parameters / 1e6 if cost else row.records[0].metrics.get("cost", {}).get("megabytes")


def duration(seconds: float) -> str:
    """``42 s``, ``17 min``, ``2 h 05``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d}"


def subset_table(group: Group) -> Table | None:
    """NME of the last stage by part, named subset and attribute, coloured; None for one subset alone."""
    subsets = list(group.subsets)
    if len(subsets) < 2:
        return None
    columns = [Column("model", numeric=False), *(Column(f"{name} ({faces})") for name, faces in subsets)]
    rows = [
        [
            _name(row),
            *(
                number_cell(row.number(name, "nme") if row in group.subsets[name, faces] else None)
                for name, faces in subsets
            ),
        ]
        for row in group.rows
    ]
    caption = f"NME of the last stage in % of {group.protocol.normaliser}; number of faces in brackets"
    return Table("subsets", caption, columns, heated(rows))


def region_table(group: Group) -> Table | None:
    """NME of every region after the first and the last stage, coloured; None where no evaluation has them."""
    names = list(dict.fromkeys(name for row in group.rows for name in row.records[0].metrics.get("regions", {})))
    if not names:
        return None
    columns = [Column("model", numeric=False), Column("after", numeric=False)]
    columns += [Column(name.replace("_", " ")) for name in names]
    rows = []
    for row in group.rows:
        for stage in range(row.stages):
            last = stage == row.stages - 1
            word = "last stage" if last else f"stage {stage + 1}"
            rows.append([_name(row), text_cell(word), *(number_cell(row.region(name, stage)) for name in names)])
    caption = f"NME in % of {group.protocol.normaliser}, subset {group.whole}"
    return Table("regions", caption, columns, heated(rows, 2), choose=1, chosen="last stage")


def other_table(group: Group) -> Table | None:
    """NME under further normalisers and over visible points; None where nothing of the kind was asked for."""
    found: dict[str, None] = {}
    for row in group.rows:
        subset = row.records[0].metrics["subsets"][group.whole]
        found |= dict.fromkeys(f"% of {name}" for name in subset.get("other_normalisers", {}))
        if "visible_only" in subset:
            found[f"visible points, % of {group.protocol.normaliser}"] = None
    if not found:
        return None
    rows = []
    for row in group.rows:
        cells = [_name(row), number_cell(row.number(group.whole, "nme"))]
        for name in found:
            values: list[float | None] = []
            for record in row.records:
                subset = record.metrics["subsets"][group.whole]
                visible = name.startswith("visible")
                other = subset.get("other_normalisers", {}).get(name.removeprefix("% of "))
                measures = subset.get("visible_only") if visible else other
                values.append(measures["nme"] if measures else None)
            cells.append(number_cell(Number.of(values)))
        rows.append(cells)
    columns = [Column("model", numeric=False), Column(f"% of {group.protocol.normaliser}"), *map(Column, found)]
    return Table("other", f"Last stage, subset {group.whole}: columns do not compare with each other", columns, rows)


def pose_table(group: Group) -> Table | None:
    """Head poses of the methods that estimate them."""
    rows = []
    for row in group.rows:
        found: list[Mapping[str, Any] | None] = [
            record.metrics["subsets"][group.whole].get("pose") for record in row.records
        ]
        poses = [pose for pose in found if pose is not None]
        if len(poses) != len(found):
            continue
        values = [Number.of([pose.get(angle) for pose in poses]) for angle in ANGLES]
        bound = Number.of([pose.get("nme_bound") for pose in poses])
        faces = Cell(str(poses[0]["faces"]), poses[0]["faces"])
        truth = "labels" if poses[0].get("truth") == "labels" else "PnP of the labels"
        rows.append([_name(row), text_cell(truth), faces, *map(number_cell, values), number_cell(bound)])
    if not rows:
        return None
    columns = [Column("model", numeric=False), Column("against", numeric=False), Column("faces")]
    columns += [Column(name) for name in ("yaw", "pitch", "roll", "mean of the three", "geodesic")]
    columns += [Column("NME of the true pose", about="of the generic face: the bound of methods that project it")]
    return Table("poses", "Mean errors in degrees", columns, rows)


def end_to_end_table(group: Group) -> Table | None:
    """Models in the boxes of a detector; None without any."""
    rows = []
    for row in group.rows:
        try:
            found = end_to_end_rows(row.records[0].metrics)
        except ValueError as error:
            row.records[0].problems.append(str(error))
            continue
        if found:
            rows.append([_name(row), text_cell(str(found[0])), *(number_cell(value) for value in found[1:])])  # type: ignore[arg-type]  # numbers
    if not rows:
        return None
    columns = [Column("model", numeric=False), Column(END_TO_END[0], numeric=False), *map(Column, END_TO_END[1:])]
    note = "Of the first seed. A box of no labelled face is false, also where nobody labelled a face."
    return Table("end-to-end", "From the whole image to points", columns, rows, notes=[note])


def detection_table(group: Group) -> Table | None:
    """Boxes of the methods that find faces themselves."""
    rows = []
    for row in group.rows:
        found = row.records[0].metrics.get("detection")
        if not isinstance(found, Mapping):
            continue
        try:
            values = [float(found[key]) for key in ("images", "faces", "iou", "ap", "recall")]
        except (KeyError, TypeError, ValueError):
            row.records[0].problems.append("metrics.json: its detection part is damaged")
            continue
        cells = [Cell(f"{value:g}", value) for value in values[:3]]
        rows.append([_name(row), *cells, number_cell(values[3]), number_cell(values[4])])
    if not rows:
        return None
    columns = [Column("model", numeric=False), Column("images"), Column("faces"), Column("overlap needed")]
    columns += [Column("average precision, %"), Column("recall, %")]
    return Table("detection", "Boxes found in whole images", columns, rows)
