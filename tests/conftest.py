import os
from pathlib import Path

import pytest

from tests.helpers.places import REPOSITORY


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real images; not part of the repository, so tests that ask for it may skip."""
    folder = Path(os.environ.get("CANTHUS_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        reason = f"no real images at {folder}; set CANTHUS_DATA"
        if os.environ.get("CANTHUS_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
