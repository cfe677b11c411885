"""What the papers claim, with our own results: ``claims.json``, as ``canthus claims`` writes it.

The file beside this module is the one whose verdicts the README, the report page and the READMEs of the models show.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from canthus.utils.files import replacing

__all__ = ["RULE", "SHIPPED", "VERDICTS", "Claim", "Compared", "claims", "parsed_claims", "write_claims"]

VERDICTS = ("holds", "holds in part", "not shown", "does not hold", "not measured")
RULE = (
    "A difference is counted positive where it is as claimed. A contrast holds if its 95 % interval lies above 0 and "
    "the difference is at least the smallest effect worth naming; it does not hold if the interval lies below that "
    "effect; otherwise, and with one training, it is not shown. Where the claim says that something keeps up, what may "
    "be lost is added to the difference first. A claim holds if all its contrasts hold, holds in part if some do, does "
    "not hold if none is left open and none holds, and is not shown otherwise."
)
"""By which verdicts are found; `canthus.studies.claims.rule` does so."""
SHIPPED = "claims.json"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Compared:
    """One contrast of a claim.

    Attributes:
        better: what the claim says is better.
        worse: than what.
        seeds: seed -> the figures of both.
        means: of both, over seeds.
        difference: how much better the first is, in the unit of the claim; negative: it is worse.
        interval: 95 % of the difference, over seeds and faces; None for one seed.
        units: faces, images or persons that the figures are over; 0 where there are none.
        verdict: of this contrast.
        unit: of the figures.
        effect: smallest difference worth naming.
        allowed: how much worse the first may be, where the claim only says that it keeps up.
    """

    better: str
    worse: str
    seeds: Mapping[str, Sequence[float]]
    means: Sequence[float]
    difference: float
    interval: Sequence[float] | None
    units: int
    verdict: str
    unit: str = ""
    effect: float = 0.0
    allowed: float = 0.0

    @property
    def text(self) -> str:
        """In words."""
        first, second = (_short(value) for value in self.means)
        against = "" if _short_or_same(self.worse, second) else f" of {self.worse}"
        keeping = f", where {self.allowed:g} less is allowed" if self.allowed else ""
        words = f"{self.better}: {first} against {second}{against}, better by {_short(self.difference)}{keeping}"
        return words if self.interval is None else f"{words} ({' to '.join(map(_short, self.interval))})"


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        name: of its config, ``conf/claim/NAME.yaml``.
        model: that it is about, or ``all``.
        paper: who says so.
        place: where in it.
        claim: what it says.
        verdict: of `VERDICTS`.
        measured: how it is tested.
        command: that gives the figures.
        source: what the verdict rests on: trainings, faces.
        noted: figures in words, of measurements that were not made by the command.
        contrasts: that were measured.
        core_hours: that the trainings of its arms took.
    """

    name: str
    model: str
    paper: str
    place: str
    claim: str
    verdict: str
    measured: str = ""
    command: str = ""
    source: str = ""
    noted: str = ""
    contrasts: tuple[Compared, ...] = ()
    core_hours: float | None = None

    @property
    def figures(self) -> str:
        """What came out, in words."""
        words, unit = [], ""
        for one in self.contrasts:
            words.append(f"{one.unit}: {one.text}" if one.unit != unit else one.text)
            unit = one.unit
        return self.noted or "; ".join(words)


def _short(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS)


def _short_or_same(label: str, value: str) -> bool:
    """Whether a label is a fixed number, and says what the figure says."""
    try:
        return _short(float(label)) == value
    except ValueError:
        return False


@cache
def claims() -> tuple[Claim, ...]:
    """The shipped ones, in the order of the file."""
    text = resources.files("canthus.reporting").joinpath(SHIPPED).read_text(encoding="utf-8")
    return parsed_claims(json.loads(text))


def parsed_claims(content: Any) -> tuple[Claim, ...]:
    """Claims from what claims.json holds.

    Raises:
        ValueError: a field that is missing, unknown or of a wrong kind, an unknown verdict, or one that nothing stands
            behind.
    """
    entries = content.get("claims") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("claims.json holds no list of claims; write it by canthus claims")
    return tuple(_parsed(number, entry) for number, entry in enumerate(entries, 1))


def _parsed(number: int, entry: dict[str, Any]) -> Claim:
    for schema, node in ((Claim, entry), *((Compared, one) for one in entry.get("contrasts", ()))):
        known = {field.name for field in fields(schema)}
        if odd := sorted(set(node) - known):
            raise ValueError(f"claim {number}: no field is called {odd[0]!r}; there are {', '.join(sorted(known))}")
    try:
        claim = Claim(**entry | {"contrasts": tuple(Compared(**one) for one in entry.get("contrasts", ()))})
    except TypeError as error:
        raise ValueError(f"claim {number}: {error}") from error
    for verdict in (claim.verdict, *(one.verdict for one in claim.contrasts)):
        if verdict not in VERDICTS:
            raise ValueError(f"claim {number}: the verdict {verdict!r} is none of {', '.join(VERDICTS)}")
    if claim.verdict != "not measured" and not (claim.source and claim.figures):
        raise ValueError(f"claim {number} ({claim.claim}): a verdict needs figures and their source")
    return claim


def write_claims(path: Path, found: Sequence[Claim], core_hours: float | None = None) -> None:
    """Write claims.json; the same claims give the same bytes.

    Args:
        path: the file.
        found: in the order of the file.
        core_hours: that all trainings took together, those that several claims share once.
    """
    entries = [{key: value for key, value in asdict(one).items() if value not in ("", None, ())} for one in found]
    content = {"rule": RULE} | ({} if core_hours is None else {"core_hours": core_hours}) | {"claims": entries}
    with replacing(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
