"""Finding the folders and files of a data set, with answers to what people get wrong about ``data.root``."""

from collections.abc import Sequence
from pathlib import Path

from canthus.utils.errors import DataError


def existing_root(root: Path) -> Path:
    """Give the root folder of a data set if it exists.

    Raises:
        DataError: it does not; the message lists what the nearest existing folder above it holds.
    """
    if root.is_dir():
        return root
    if root.exists():
        raise DataError(
            f"{root}: is a file, not a folder; set data.root to the folder that the data set was unpacked to"
        )
    above = next(folder for folder in root.absolute().parents if folder.is_dir())
    raise DataError(
        f"{root}: no such folder; {above} holds {listing(above)}; set data.root to where the data set was unpacked"
    )


def missing(root: Path, wanted: Sequence[str], setting: str) -> DataError:
    """Make the error for a part whose folder or file is not below the root.

    Args:
        root: of the data set; exists.
        wanted: relative paths, any of which would do.
        setting: remedy, for example ``"name other folders in data.train_parts"``.
    """
    nested = next((child for child in sorted(root.iterdir()) for path in wanted if (child / path).exists()), None)
    hint = f"set data.root={nested}" if nested else f"{setting}, or set data.root to the folder that contains it"
    return DataError(f"{root}: {' or '.join(wanted)} is missing; the folder holds {listing(root)}; {hint}")


def listing(folder: Path, limit: int = 12) -> str:
    """Name the entries of a folder for a message, folders with a slash, at most ``limit`` of them."""
    names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir())
    shown = ", ".join(names[:limit]) or "nothing"
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
