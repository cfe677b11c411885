from pathlib import Path

import pytest

import canthus.models
from canthus.reporting.claims import VERDICTS, claims, parsed_claims

WHOLE = {
    "model": "dan",
    "paper": "p",
    "claim": "c",
    "verdict": "holds",
    "measured": "m",
    "command": "x",
    "figures": "1",
}


def test_the_shipped_claims_are_about_models_that_there_are():
    folders = {path.parent.name for path in Path(canthus.models.__file__).parent.glob("*/README.md")}
    assert {claim.model for claim in claims()} == folders
    assert {claim.verdict for claim in claims()} <= set(VERDICTS)
    assert all(claim.command.startswith("canthus-") for claim in claims() if claim.verdict != "not measured")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "true"}, "the verdict 'true' is none of"),
        ({"figures": ""}, "needs measured, command and figures"),
        ({"figure": "1"}, "no field is called 'figure'"),
    ],
)
def test_a_claim_that_says_too_little_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        parsed_claims([WHOLE | change])


def test_a_missing_field_is_named():
    with pytest.raises(ValueError, match=r"claim 2.*paper"):
        parsed_claims([WHOLE, {key: value for key, value in WHOLE.items() if key != "paper"}])


def test_nobody_needs_figures_of_what_was_not_measured():
    (claim,) = parsed_claims([{"model": "dan", "paper": "p", "claim": "a\n  b", "verdict": "not measured"}])
    assert (claim.claim, claim.figures) == ("a b", "")
