"""What readers of published lists share: lines with their numbers, counts, names of parts, images by name."""

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from logging import getLogger
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from canthus.data.image_names import FolderImages
from canthus.utils.errors import DataError

log = getLogger(__name__)


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not blank, each with its number from 1.

    Raises:
        DataError: no such file, one that is empty, or one that is not text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file") from error
    if not content.strip():
        raise DataError(f"{path}:1: the file is empty; replace it by the official one")
    warn_if_cut(path)
    # bytes.splitlines knows \n, \r\n and \r only, so that line numbers agree with an editor's
    for number, line in enumerate(content.splitlines(), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{number}: is not text ({error}); replace the file by the official one") from error
        if text:
            yield number, text


def warn_if_cut(path: Path) -> None:
    """Log that a file, whose rows end in numbers, may end inside one, so that another number is read."""
    with path.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
        last = file.read()
    if last not in (b"", b"\n", b"\r"):
        log.warning(
            "%s: does not end with a line break; if a download stopped there, its last number is cut: compare sizes",
            path,
        )


def numbers(place: str, tokens: Sequence[str], meaning: str) -> NDArray[np.float64]:
    """Convert tokens of a line.

    Args:
        place: file and line, for messages.
        tokens: of the line.
        meaning: what the numbers should be.

    Raises:
        DataError: a token that is not a finite number.
    """
    try:
        values = np.array(list(map(float, tokens)))
    except ValueError as error:
        raise DataError(f"{place}: {meaning} expected, but {error}; restore the line from the official file") from None
    strange = strange_number(tokens)
    if strange is not None:
        raise DataError(f"{place}: {meaning} expected, but {strange!r} is no number; restore the line")
    if not np.isfinite(values).all():
        bad = tokens[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise DataError(f"{place}: {meaning} expected, but {bad!r} is not finite; restore the line")
    return values


def strange_number(tokens: Sequence[str]) -> str | None:
    """Give the first token that Python takes for a number and nobody means as one, such as ``1_0`` for 10."""
    text = "".join(tokens)
    if text.isascii() and "_" not in text:
        return None
    return next(token for token in tokens if "_" in token or not token.isascii())


def unknown_part(data_set: str, name: str, known: Iterable[str]) -> DataError:
    """Make the error for a part that a data set does not have; names the nearest and all."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return DataError(
        f"{data_set} has no part {name!r}, nearest {near!r}; data.train_parts and data.test_parts name any of: "
        f"{', '.join(known)}"
    )


def check_count(place: Path, what: str, found: int, official: int, allow_partial: bool) -> None:
    """Assert a published count.

    Raises:
        DataError: another number; with ``allow_partial`` only none at all, or more than published.
    """
    if found == official or (allow_partial and 0 < found < official):
        return
    if found == 0:
        remedy = "check that the archive was unpacked"
    elif found > official:
        remedy = "remove what is not part of the official one"
    else:
        remedy = "complete it, or set data.allow_partial=true to work with what is there"
    raise DataError(f"{place}: {found} {what} where the official one has {official}; {remedy}")


class Images(FolderImages):
    """Images below a folder, found by the names that lists give them, see `canthus.data.image_names`."""

    def locate(self, names: Sequence[str], place: Callable[[int], str], allow_partial: bool) -> list[Path | None]:
        """Find many images.

        Args:
            names: relative, with forward slashes.
            place: index -> file and line that name it, for messages.
            allow_partial: give ``None`` for those that are missing, and log how many.

        Raises:
            DataError: an image is missing, or all are; a name that several files may have.
        """
        try:
            found = self.find_all(names)
        except DataError as error:
            raise DataError(f"{self.root}: {error}") from error
        lacking = [i for i, file in enumerate(found) if file is None]
        if not lacking:
            return found
        first = lacking[0]
        summary = f"{len(lacking)} of {len(names)} listed images are missing"
        if not allow_partial or len(lacking) == len(names):
            remedy = "" if len(lacking) == len(names) else ", or set data.allow_partial=true to leave their faces out"
            raise DataError(
                f"{place(first)}: {self.root / names[first]} does not exist; {summary}; complete the folder{remedy}"
            )
        log.warning("%s: %s, first %s; their faces are left out", self.root, summary, names[first])
        return found
