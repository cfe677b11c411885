"""Which image a name means: one rule for labels, boxes and predictions.

A name means the file that is called exactly so. Where there is none, lists and archives disagree in capitals and in the
kind of file (``.png`` on disk, ``.jpg`` in the list): then the name means the one file that is called so apart from
capitals, else the one of the same stem. Where several files would do, nobody can know, and the name is refused.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from canthus.data.images import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES
from canthus.utils.errors import DataError

__all__ = ["FolderImages", "ImageNames", "forms"]


SUFFIXES = (*IMAGE_SUFFIXES, *OTHER_IMAGE_SUFFIXES)
"""Also of kinds that are not read: whoever reads the file says why not, instead of that it does not exist."""


def forms(name: str) -> tuple[str, str, str]:
    """A name with forward slashes as it is compared: exactly, without capitals, and without the kind of image too."""
    lower = name.lower()
    stem, suffix = os.path.splitext(lower)
    return name, lower, stem if suffix in SUFFIXES else lower


class _Index:
    """Images by their names in every form."""

    def __init__(self) -> None:
        self._images: tuple[dict[str, set[Path]], ...] = ({}, {}, {})

    def add(self, name: str, image: Path) -> None:
        """Let a name mean an image."""
        for images, form in zip(self._images, forms(name), strict=True):
            images.setdefault(form, set()).add(image)

    def find(self, name: str) -> Path | None:
        """The image, by the strictest form that any has.

        Raises:
            DataError: several have it.
        """
        for images, form in zip(self._images, forms(name), strict=True):
            found = images.get(form, ())
            if len(found) > 1:
                some = ", ".join(str(path) for path in sorted(found)[:3])
                raise DataError(
                    f"{name} may be any of {len(found)} images ({some}); give the exact name, and more of the path"
                )
            if found:
                return next(iter(found))
        return None


class FolderImages:
    """Images below a folder by relative names, as lists give them. Folders are read once, when first named.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, _Index] = {}

    def find(self, name: str) -> Path | None:
        """The file of a relative name with forward slashes, or ``None``.

        Raises:
            DataError: several files may be meant.
        """
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or not relative.name:
            return None
        parent = relative.parent.as_posix()
        if parent not in self._folders:
            index = self._folders[parent] = _Index()
            for file in _images_in(self.root / parent):
                index.add(file, self.root / parent / file)
        return self._folders[parent].find(relative.name)

    def find_all(self, names: Iterable[str]) -> list[Path | None]:
        """The files of many names. A file that a name means exactly is no stand-in for one of another kind.

        Raises:
            DataError: several files may be meant by a name.
        """
        wanted = list(names)
        found = [self.find(name) for name in wanted]
        named = {path for path, name in zip(found, wanted, strict=True) if path is not None and _called(path, name)}
        return [
            path if path is None or path not in named or _called(path, name) else None
            for path, name in zip(found, wanted, strict=True)
        ]


def _called(path: Path, name: str) -> bool:
    """Whether a name is that of the file, capitals apart, and not that of a file of another kind."""
    _, wanted, stem = forms(PurePosixPath(name).name)
    return wanted in (path.name.lower(), stem)


def _images_in(folder: Path) -> list[str]:
    try:
        files = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (OSError, ValueError):  # ValueError: a damaged list named a folder with a null byte
        return []
    return [name for name in files if os.path.splitext(name)[1].lower() in SUFFIXES]


class ImageNames:
    """Finds which of some images another program's name means: a path, its end, or a path on another machine.

    Args:
        images: the images.
        root: of the data set, if it has one. Names may begin above it, on any machine, where a folder of the root's
            name comes before the path inside it; any other folder there is that of another image.
    """

    def __init__(self, images: Iterable[Path], root: Path | None) -> None:
        self._tails, self._inside = _Index(), _Index()
        self._roots = set() if root is None else {root.name, root.resolve().name}
        for image in images:
            if root is not None and image.is_relative_to(root):
                self._inside.add(image.relative_to(root).as_posix(), image)
            for tail in dict.fromkeys(_tails(image.as_posix())):
                self._tails.add(tail, image)

    def find(self, name: str) -> Path | None:
        """The image, or None if it is not among them.

        Raises:
            DataError: several images may be meant.
        """
        plain = name.strip().replace("\\", "/").removeprefix("./")
        return self._tails.find(plain) or self._below_root(plain)

    def _below_root(self, path: str) -> Path | None:
        """The image that a path means which leads through a root on another machine."""
        folders = path.split("/")
        for place, folder in enumerate(folders[:-1], 1):
            found = self._inside.find("/".join(folders[place:])) if folder in self._roots else None
            if found:
                return found
        return None


def _tails(path: str) -> Iterator[str]:
    """``a/b/c``, ``b/c``, ``c``."""
    parts = path.strip("/").split("/")
    yield path
    for start in range(len(parts)):
        yield "/".join(parts[start:])
