"""Looking for what is there twice, and above all on both sides of a split."""

from collections.abc import Iterator

import numpy as np

from canthus.inspection.collection import Collection
from canthus.inspection.copies import FLAT, Copy, find_alike, find_identical
from canthus.inspection.findings import Finding, Limits
from canthus.inspection.images import InspectedImage

__all__ = ["check_identities", "check_images"]


def check_images(data: Collection, limits: Limits) -> list[Finding]:
    """Images that are broken or flat, in two splits, copied, or labelled with another's points."""
    first: dict[object, int] = {}  # face by image
    for i, face in enumerate(data.faces):
        first.setdefault(face.image, i)
    found = [Finding("broken_image", first[image], detail=reason) for image, reason in data.broken.items()]
    rows = [first[image] for image in data.images]
    images = list(data.images.values())
    found += [
        Finding("flat_image", row, whole.contrast)
        for row, whole in zip(rows, images, strict=True)
        if whole.contrast < FLAT
    ]
    found += [
        Finding("exif_orientation", row, float(whole.orientation), _frame(data, row, whole))
        for row, whole in zip(rows, images, strict=True)
        if whole.orientation != 1
    ]
    found += _across_splits(data)
    keys = {key: number for number, key in enumerate(dict.fromkeys(face.photo for face in data.faces))}
    related = [keys[data.faces[row].photo] for row in rows]

    def finding(kind: str, copy: Copy) -> Finding:
        row, other = rows[copy.image], rows[copy.original]
        across = data.splits[row] != data.splits[other]
        value = float(copy.bits) if kind == "alike" else None
        original = data.faces[other]
        detail = f"{original.image.name} ({original.part}, {data.splits[other]})" if across else original.image.name
        return Finding(f"{kind}_across_splits" if across else kind, row, value, f"of {detail}", other)

    found += [finding("copy", copy) for copy in find_identical(images)]
    alike = find_alike(images, related, limits.bits)
    found += [finding("alike", copy) for copy in sorted(alike, key=lambda copy: copy.bits)]
    return found + list(_same_labels(data))


def check_identities(data: Collection) -> list[Finding]:
    """People who are in more than one split, each with the first face in a later one."""
    known: dict[str, dict[str, list[int]]] = {}
    for i, (face, split) in enumerate(zip(data.faces, data.splits, strict=True)):
        if face.identity is not None:
            known.setdefault(face.identity, {}).setdefault(split, []).append(i)
    found = []
    for person, faces in known.items():
        if len(faces) > 1:
            (_, earlier), *later = faces.items()
            counts = ", ".join(f"{len(rows)} in {split}" for split, rows in faces.items())
            number = float(sum(len(rows) for _, rows in later))
            found.append(Finding("identity_across_splits", later[0][1][0], number, f"{person}: {counts}", earlier[0]))
    return sorted(found, key=lambda finding: -(finding.value or 0))


def _frame(data: Collection, row: int, whole: InspectedImage) -> str:
    """In which frame an image was read, and whether the points speak for the other one."""
    size = np.array([whole.width, whole.height])
    inside = [(np.nan_to_num(data.points[row]) <= limit - 0.5).all() for limit in (size, size[::-1])]
    doubt = "; its points fit the other frame alone" if whole.orientation >= 5 and inside == [False, True] else ""
    return f"read {'upright' if whole.upright else 'as stored'}{doubt}"


def _across_splits(data: Collection) -> Iterator[Finding]:
    """One finding per image, by its file or by its key."""
    first: dict[object, int] = {}
    reported: set[object] = set()
    for i, face in enumerate(data.faces):
        for key in (face.image, face.photo):
            other = first.setdefault(key, i)
            if data.splits[other] != data.splits[i] and not reported & {face.image, face.photo}:
                reported |= {face.image, face.photo}
                detail = f"{face.photo}: in {data.splits[other]} and {data.splits[i]}"
                yield Finding("image_across_splits", i, detail=detail, other=other)


def _same_labels(data: Collection) -> Iterator[Finding]:
    first: dict[bytes, int] = {}
    for i, face in enumerate(data.faces):
        if data.labelled[i].any():
            other = first.setdefault(np.ascontiguousarray(data.points[i]).tobytes(), i)
            if other != i and data.faces[other].image != face.image and not _same_pixels(data, i, other):
                yield Finding("same_labels", i, detail=f"those of {data.faces[other].image.name}", other=other)


def _same_pixels(data: Collection, i: int, j: int) -> bool:
    one, two = (data.images.get(data.faces[k].image) for k in (i, j))
    return one is not None and two is not None and one.digest == two.digest
