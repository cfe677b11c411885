"""The claims as Markdown, for the README and the READMEs of the models."""

import re
from collections.abc import Sequence

from canthus.reporting.claims import Claim
from canthus.utils.escaping import markdown

__all__ = ["BEGIN", "END", "claims_markdown", "with_claims"]

BEGIN, END = "<!-- claims: written by scripts/update_claims.py -->", "<!-- end of claims -->"
"""Lines of a page between which its claims stand."""


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
