"""Bring the shipped claims.json and the pages that show it up to date.

    python scripts/update_claims.py                             # the pages alone
    python scripts/update_claims.py logs/claims/claims.json     # verdicts of `canthus claims` first, then the pages

A claim that the given file has no verdict on stays as it was; one that has no config any more goes.
"""

import sys
from pathlib import Path

from canthus.commands.claims import unmeasured
from canthus.reporting.claims import SHIPPED, Claim, claims, parsed_claims, write_claims
from canthus.reporting.claims_texts import with_claims
from canthus.studies.claims.config import claim_files, read_claim
from canthus.utils.files import conf_path, read_json

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/canthus"


def pages() -> list[tuple[Path, str | None]]:
    """Pages with claims, and the model that each is about; None for all models."""
    models = [(path, path.parent.name) for path in sorted((PACKAGE / "models").glob("*/README.md"))]
    return [(ROOT / "README.md", None), *models]


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
