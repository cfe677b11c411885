"""Numbers from the literature, to set a run beside.

``published.csv`` holds one number per row with where it was read (``source``) and how far to trust it (``status``):
``own`` in the authors' own repository, ``secondary`` in another's table, ``reimplementation`` third-party code,
``computed`` recomputed from published predictions. NME and failure rate are in percent, lower
is better; AUC (0 to 1 in the file, percent here, as in every table of canthus), AP and TPR are in percent, higher is
better; head pose errors are in degrees.
"""

import csv
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["PublishedResult", "published_beside", "published_of", "published_results"]

# data configs whose name is not the literature's without blanks and dashes
_CONFIGS = {"w300": "300W", "aflw2000": "AFLW2000-3D"}

_FACES = {
    "w300": {"full": 689, "common": 554, "challenging": 135},
    "wflw": {"full": 2500, "pose": 326, "expression": 314, "illumination": 698, "makeup": 206, "occlusion": 736}
    | {"blur": 773},
    "cofw": {"full": 507},
    "cofw68": {"full": 507},
    "aflw19": {"full": 4386},
}
"""Data config -> subset -> faces of the official test set: published numbers are about these and no others."""

_SCHEMES = {"w300": "68", "wflw": "98", "cofw": "29", "cofw68": "68", "aflw19": "19"}
"""Data config -> landmark scheme of the published numbers: errors of fewer points are other errors."""

_TEST_ONLY = ("cofw", "cofw68")
"""Data configs whose whole test set the literature calls ``test``."""

_METHODS = {
    "cfan": "CFAN",
    "dan": "DAN",
    "fan_zhou": "Fan & Zhou",
    "mdm": "MDM",
    "mtcnn": "MTCNN",
    "san": "SAN",
    "sdm": "SDM",
}
"""Model -> what tables of the literature call it."""

_NORMALISERS = {
    "aflw19": {"face_box": "box", "face_box_diagonal": "diag"},
    "cofw68": {"box": "box_landmarks"},
    "w300": {"box": "box_landmarks"},
}
"""What the file calls a normaliser of canthus, where it is another name: in AFLW-19 ``box`` is the face box."""


@dataclass(frozen=True)
class PublishedResult:
    """One published number.

    Attributes:
        method: name, with the variant in brackets.
        year: of the paper.
        backbone: of the network; empty where the source does not say.
        params_m: millions of parameters, where known.
        gflops: per face, where known.
        data: data set as the literature writes it (``300W``, ``WFLW``).
        subset: ``full``, ``common``, ``pose`` and so on.
        normaliser: what errors are divided by, or the unit; empty where a metric has none.
        metric: ``NME``, ``FR@0.10``, ``AUC@0.08``, ``MAE yaw`` and so on.
        value: the number.
        source: where it was read.
        status: how far to trust it.
    """

    method: str
    year: int
    backbone: str
    params_m: float | None
    gflops: float | None
    data: str
    subset: str
    normaliser: str
    metric: str
    value: float
    source: str
    status: str


def published_results(
    data: str,
    subset: str = "full",
    *,
    metric: str = "NME",
    normaliser: str | None = None,
) -> list[PublishedResult]:
    """Give the rows of one column of a table, best first.

    Args:
        data: data set, as in the file or as its data config; capitals, blanks and dashes do not count.
        subset: of the data set.
        metric: as in the file.
        normaliser: of the column. Needed where papers differ.

    Returns:
        The rows; empty if nothing was published for the subset or normaliser.

    Raises:
        ValueError: an unknown data set, subset or metric; or papers divide by different normalisers and none is named,
            as numbers of different normalisers never share a column.
    """
    name = _plain(_CONFIGS.get(data, data))
    rows = [row for row in _rows() if _plain(row.data) == name]
    if not rows:
        raise _unknown("data set", data, {row.data for row in _rows()})
    for what, wanted in (("metric", metric), ("subset", subset)):
        known = {getattr(row, what) for row in rows}
        if wanted not in known:
            raise _unknown(f"{what} of {rows[0].data}", wanted, known)
    column = [row for row in rows if row.metric == metric and row.subset == subset]
    found = sorted({row.normaliser for row in column})
    if normaliser is None and len(found) > 1:
        raise ValueError(
            f"{metric} on {rows[0].data} {subset} is published with {len(found)} normalisers: {', '.join(found)}; they "
            "do not share a column, name one with normaliser=..."
        )
    if normaliser is not None and normaliser not in {row.normaliser for row in rows}:
        raise _unknown(f"normaliser of {rows[0].data}", normaliser, {row.normaliser for row in rows})
    column = [row for row in column if normaliser in (None, row.normaliser)]
    higher_is_better = metric.startswith(("AUC", "AP", "TPR"))
    return sorted(column, key=lambda row: -row.value if higher_is_better else row.value)


def published_beside(data: str, scheme: str, subset: str, normaliser: str, faces: int) -> list[PublishedResult]:
    """Published NME that an evaluation may stand beside: of the same faces, points and normaliser.

    Args:
        data: data config of the evaluation.
        scheme: of its landmarks.
        subset: of its test faces, as metrics.json calls it.
        normaliser: as metrics.json calls it.
        faces: in the subset.

    Returns:
        The rows, best first; empty if the faces or points are not those of the official test set, or nothing is
        published.
    """
    if _SCHEMES.get(data) != scheme or _FACES.get(data, {}).get(subset) != faces:
        return []
    theirs = _NORMALISERS.get(data, {}).get(normaliser, normaliser)
    if data in _NORMALISERS and theirs == normaliser in _NORMALISERS[data].values():
        return []  # the same word for another distance
    named = "test" if data in _TEST_ONLY else subset
    wanted = (_plain(_CONFIGS.get(data, data)), named, theirs, "NME")
    rows = [row for row in _rows() if (_plain(row.data), row.subset, row.normaliser, row.metric) == wanted]
    return sorted(rows, key=lambda row: row.value)


def published_of(model: str) -> list[PublishedResult]:
    """All rows about one of the eight methods, with any faces, points and normaliser: never a column of one table.

    Args:
        model: as metrics.json calls it; capitals do not count.

    Returns:
        The rows in the order of the file; empty where the file has none.
    """
    name = _METHODS.get(model.lower())
    return [row for row in _rows() if row.method.partition(" (")[0] == name]


@cache
def _rows() -> tuple[PublishedResult, ...]:
    text = resources.files("canthus.reporting").joinpath("published.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(_row(row) for row in csv.DictReader(lines))


def _row(row: dict[str, str]) -> PublishedResult:
    return PublishedResult(
        method=row["method"],
        year=int(row["year"]),
        backbone=row["backbone"],
        params_m=float(row["params_M"]) if row["params_M"] else None,
        gflops=float(row["gflops"]) if row["gflops"] else None,
        data=row["dataset"],
        subset=row["subset"],
        normaliser=row["normaliser"],
        metric=row["metric"],
        value=float(row["value"]) * (100 if row["metric"].startswith("AUC") else 1),
        source=row["source"],
        status=row["status"],
    )


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _unknown(what: str, wanted: str, known: Iterable[str]) -> ValueError:
    known = sorted(known)
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.0)[0]
    return ValueError(
        f"nothing is published for the {what} {wanted!r}, nearest {near!r}; there are: {', '.join(known)}"
    )
