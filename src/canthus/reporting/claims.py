"""What the papers claim, with our own results: ``claims.yaml``, a claim per entry.

``verdict`` is one of `VERDICTS`; ``measured`` says how, ``command`` what to type, ``figures`` what came out. A claim
that nobody has measured stands there, too, without a command or figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

from canthus.utils.files import parse_yaml

__all__ = ["VERDICTS", "Claim", "claims", "parsed_claims"]

VERDICTS = ("holds", "holds in part", "not shown", "does not hold", "not measured")
"""``not shown``: the available faces cannot decide it; ``does not hold``: contradicted by what was measured."""


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        model: that it is about.
        paper: who says so.
        claim: what it says.
        measured: how it was tested here: faces, normaliser, what was compared.
        command: that gives the figures.
        figures: what came out.
        verdict: of `VERDICTS`.
    """

    model: str
    paper: str
    claim: str
    verdict: str
    measured: str = ""
    command: str = ""
    figures: str = ""


@cache
def claims() -> tuple[Claim, ...]:
    """The shipped ones, in the order of the file."""
    text = resources.files("canthus.reporting").joinpath("claims.yaml").read_text(encoding="utf-8")
    return parsed_claims(parse_yaml(text))


def parsed_claims(entries: list[Mapping[str, Any]]) -> tuple[Claim, ...]:
    """Claims from what YAML gives.

    Raises:
        ValueError: an unknown field or verdict, or a verdict without the measurement that it rests on.
    """
    known = {field.name for field in fields(Claim)}
    found = []
    for number, entry in enumerate(entries, 1):
        if odd := sorted(set(entry) - known):
            raise ValueError(f"claim {number}: no field is called {odd[0]!r}; there are {', '.join(sorted(known))}")
        try:
            claim = Claim(**{key: " ".join(str(value).split()) for key, value in entry.items()})
        except TypeError as error:
            raise ValueError(f"claim {number}: {error}") from error
        if claim.verdict not in VERDICTS:
            raise ValueError(f"claim {number}: the verdict {claim.verdict!r} is none of {', '.join(VERDICTS)}")
        if claim.verdict != "not measured" and not (claim.measured and claim.command and claim.figures):
            raise ValueError(f"claim {number} ({claim.claim}): a verdict needs measured, command and figures")
        found.append(claim)
    return tuple(found)
