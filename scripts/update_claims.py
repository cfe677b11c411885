"""Bring the shipped claims.json and the pages that show it up to date.

    python scripts/update_claims.py                             # the pages alone
    python scripts/update_claims.py logs/claims/claims.json     # verdicts of `canthus claims` first, then the pages

A claim that the given file has no verdict on stays as it was; one that has no config any more goes.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from canthus.commands.claims import unmeasured
from canthus.reporting.claims import SHIPPED, Claim, claims, parsed_claims, write_claims
from canthus.studies.claims.config import claim_files, read_claim
from canthus.utils.escaping import markdown
from canthus.utils.files import conf_path, read_json

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/canthus"
BEGIN, END = "<!-- claims: written by scripts/update_claims.py -->", "<!-- end of claims -->"
"""Lines of a page between which its claims stand."""


def pages() -> list[tuple[Path, str | None]]:
    """Pages with claims, and the model that each is about; None for all models."""
    models = [(path, path.parent.name) for path in sorted((PACKAGE / "models").glob("*/README.md"))]
    return [(ROOT / "README.md", None), *models]


def claims_markdown(found: Sequence[Claim], model: str | None = None) -> str:
    """A table of claims.

    Args:
        found: all of them.
        model: whose claims, with their figures; None: all models, a short line of each claim.
    """
    if model is not None:
        head = ["| claim | verdict | figures | from |", "|---|---|---|---|"]
        mine = [one for one in found if one.model == model]
        lines = [(one.claim, one.verdict, one.figures, one.source) for one in mine]
    else:
        head = ["| model | claim | verdict | from |", "|---|---|---|---|"]
        lines = [(f"`{one.model}`", one.claim, one.verdict, one.source) for one in found]
    rows = [f"| {' | '.join(cell if cell.startswith('`') else markdown(cell) for cell in line)} |" for line in lines]
    return "\n".join([*head, *rows])


def with_claims(page: str, found: Sequence[Claim], model: str | None = None) -> str:
    """A page with its claims brought up to date.

    Raises:
        ValueError: the page has no place for them.
    """
    pattern = re.compile(rf"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no lines {BEGIN} and {END}")
    block = f"{BEGIN}\n{claims_markdown(found, model)}\n{END}"
    return pattern.sub(lambda _: block, page)


def main() -> None:
    """Entry point."""
    found = {claim.name: claim for claim in claims()}
    for name in sys.argv[1:]:
        measured = parsed_claims(read_json(Path(name), "write it by canthus claims"))
        found |= {claim.name: claim for claim in measured if claim.verdict != "not measured"}
    names = claim_files([Path(conf_path())])
    for name in names:
        if name not in found:
            found[name] = _unmeasured(names[name])
    kept = [claim for claim in found.values() if claim.name in names]
    write_claims(PACKAGE / "reporting" / SHIPPED, kept)
    for page, model in pages():
        page.write_text(with_claims(page.read_text(encoding="utf-8"), kept, model), encoding="utf-8")


def _unmeasured(path: Path) -> Claim:
    config = read_claim(path)
    return unmeasured(config, f"canthus claims data.root=DIR claims={config.name}", "")


if __name__ == "__main__":
    main()
