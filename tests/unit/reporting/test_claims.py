"""claims.json: what it may hold, what it says in words, and that the pages say the same."""

import json
from pathlib import Path

import pytest

import canthus.models
from canthus.reporting.claims import VERDICTS, Claim, Compared, claims, parsed_claims, write_claims
from canthus.reporting.page.claim_charts import claim_charts
from canthus.studies.claims.config import claim_files, read_claim
from canthus.utils.files import conf_path
from scripts.update_claims import with_claims
from tests.helpers.places import REPOSITORY

CONTRAST = Compared(
    better="stage 2", worse="stage 1", seeds={"0": [4.0, 5.0], "1": [4.5, 5.3]}, means=[4.25, 5.15], difference=0.9,
    interval=[0.5, 1.3], units=174, verdict="holds", unit="% of inter-ocular", effect=0.1,
)  # fmt: skip
WHOLE = {
    "name": "n", "model": "dan", "paper": "p", "place": "t", "claim": "c", "verdict": "holds", "source": "s",
    "noted": "1",
}  # fmt: skip
MODELS = {path.parent.name for path in Path(canthus.models.__file__).parent.glob("*/README.md")}


def measured(**changes) -> Claim:
    return Claim(**{**WHOLE, "noted": "", "contrasts": (CONTRAST,), **changes})


def test_the_shipped_claims_are_those_of_the_configs() -> None:
    found, files = claims(), claim_files([Path(conf_path())])
    assert sorted(claim.name for claim in found) == sorted(files)
    assert {claim.model for claim in found} <= MODELS | {"all"}
    for claim in found:
        config = read_claim(files[claim.name])
        assert (claim.claim, claim.model, claim.paper, claim.place) == (
            config.claim, config.model, config.paper, config.place,
        )  # fmt: skip
        assert claim.verdict == "not measured" or claim.contrasts or "one training" in claim.source


@pytest.mark.parametrize("page", ["README.md", *(f"src/canthus/models/{model}/README.md" for model in sorted(MODELS))])
def test_the_pages_say_what_the_file_says(page: str) -> None:
    """`python scripts/update_claims.py` makes it so."""
    path = REPOSITORY / page
    text = path.read_text(encoding="utf-8")
    assert with_claims(text, claims(), None if page == "README.md" else path.parent.name) == text


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    found = [measured(core_hours=1.5), Claim(**WHOLE)]
    write_claims(tmp_path / "a.json", found, 1.5)
    content = json.loads((tmp_path / "a.json").read_text())
    again = parsed_claims(content)
    write_claims(tmp_path / "b.json", again, 1.5)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert [claim.figures for claim in again] == [claim.figures for claim in found]


def test_figures_in_words() -> None:
    assert measured().figures == (
        "% of inter-ocular: stage 2: 4.25 against 5.15 of stage 1, better by 0.90 (0.50 to 1.30)"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "true"}, "the verdict 'true' is none of"),
        ({"noted": ""}, "needs figures and their source"),
        ({"source": ""}, "needs figures and their source"),
        ({"figure": "1"}, "no field is called 'figure'"),
        ({"contrasts": [{"better": "x"}]}, "missing"),
        ({"contrasts": [{"worst": "x"}]}, "no field is called 'worst'"),
    ],
)
def test_a_claim_that_says_too_little_is_refused(change, message) -> None:
    with pytest.raises(ValueError, match=f"claim 1.*{message}"):
        parsed_claims({"claims": [WHOLE | change]})


@pytest.mark.parametrize("content", [[], {}, {"claims": {}}, {"claims": [1]}, None])
def test_another_file_is_refused(content) -> None:
    with pytest.raises(ValueError, match=r"no list of claims"):
        parsed_claims(content)


def test_nobody_needs_figures_of_what_was_not_measured() -> None:
    short = {key: value for key, value in WHOLE.items() if key not in ("noted", "source")}
    (claim,) = parsed_claims({"claims": [short | {"verdict": "not measured"}]})
    assert claim.figures == ""
    assert "not measured" in VERDICTS


def test_a_chart_has_a_dot_for_every_seed_on_the_claimed_side() -> None:
    noted, (chart,) = Claim(**WHOLE), claim_charts([measured()])
    assert claim_charts([noted]) == []
    places = [float(part.partition('"')[0]) for part in str(chart.svg).split('cx="')[1:]]
    assert len(places) == 2
    assert all(place > 230 for place in places)
    higher = Compared(**{**vars(CONTRAST), "seeds": {"0": [5.0, 4.0]}, "means": [5.0, 4.0], "interval": None})
    (chart,) = claim_charts([measured(contrasts=(higher,))])
    assert float(str(chart.svg).split('cx="')[1].partition('"')[0]) > 230
