"""What can be wrong with a labelled image, and how bad it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["KINDS", "Finding", "Kind", "Limits"]


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        damage: whether the face cannot be trained or scored on as it is. All else is a warning: odd, but perhaps right.
        meaning: what it is and what to do about it.
        value: what the number of a finding is.
    """

    damage: bool
    meaning: str
    value: str = ""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "broken_image": Kind(True, "cannot be decoded: fetch it again, or remove its labels"),
        "face_outside": Kind(
            True,
            "box or middle of the points outside the image: wrong image or scale, or y before x",
            "pixels",
        ),
        "zero_distance": Kind(
            True,
            "the two points that errors are divided by coincide, so that it cannot be scored: correct the label",
            "pixels",
        ),
        "swapped_sides": Kind(
            False,
            "fits far better with left and right exchanged: mirrored without renaming, or the person's left",
            "residual as labelled / exchanged",
        ),
        "odd_shape": Kind(
            False,
            "unlike all other shapes of this set: points in a wrong order or on another face",
            "robust deviations",
        ),
        "upside_down": Kind(False, "stands on its head: turned by EXIF when it was labelled?", "degrees"),
        "exif_orientation": Kind(
            False,
            "carries an EXIF orientation: was it labelled upright or as stored? data.exif=apply or ignore says it",
            "orientation",
        ),
        "points_outside": Kind(False, "points lie beyond the edge of the image; crops pad them", "pixels"),
        "points_off_box": Kind(False, "points lie far outside the face box: box of another face?", "box sides"),
        "box_off_points": Kind(False, "box and points are centred far apart: box of another face?", "box sides"),
        "narrow_eyes": Kind(
            False,
            "a near profile: errors divided by the distance of the eyes explode; use another normaliser",
            "eye distance / face size",
        ),
        "coincident_points": Kind(False, "many points share their place with another", "share of the points"),
        "tiny_box": Kind(False, "too few pixels to see landmarks", "pixels"),
        "same_labels": Kind(False, "another image has exactly these points: copied, or a repeated frame"),
        "labelled_twice": Kind(False, "the image has this box already: one face, two labels", "overlap (IoU)"),
        "flat_image": Kind(False, "shows one even colour: a place holder?", "grey levels"),
        "image_across_splits": Kind(False, "the image is in two splits: tests on what was trained on"),
        "copy_across_splits": Kind(False, "the same pixels in two splits: tests on what was trained on"),
        "alike_across_splits": Kind(False, "the same scene in two splits: tests on what was trained on", "bits of 256"),
        "identity_across_splits": Kind(False, "the person is in two splits: scores are of known people", "faces"),
        "copy": Kind(False, "the same pixels twice: counts double"),
        "alike": Kind(False, "the same scene twice: scaled, retouched or taken a moment later", "bits of 256"),
    }
)
"""Kinds by name, the worst first."""


@dataclass(frozen=True)
class Finding:
    """Something odd about one face.

    Attributes:
        kind: see `KINDS`.
        face: index of the face.
        value: see `Kind.value`; larger is worse unless the kind is about something too small.
        detail: which point, which other image, what the decoder said.
        other: index of another face that is concerned.
    """

    kind: str
    face: int
    value: float | None = None
    detail: str = ""
    other: int | None = None


@dataclass(frozen=True)
class Limits:
    """From where on something counts as odd.

    Attributes:
        outside: pixels by which a point may lie beyond the centres of the outer pixels; their edge is at 0.5.
        off_box: sides of the face box by which a point may lie outside it.
        off_centre: sides of the face box between its centre and that of the points' box.
        tiny: least mean side of a face box, pixels.
        narrow: least eye distance over the size (square root of the area) of the points' box.
        coincident: share of the points that may share their place.
        swapped: residual of the labels over that of the exchanged ones. Right labels fit better than exchanged ones.
        odd: distance from the median residual, in robust standard deviations.
        overlap: IoU of two boxes of one face.
        bits: of 256, by which hashes of one scene may differ; those of a copy differ by about 10, of others by 128.
    """

    outside: float = 0.5
    off_box: float = 0.5
    off_centre: float = 0.5
    tiny: float = 20.0
    narrow: float = 0.25
    coincident: float = 0.25
    swapped: float = 1.5
    odd: float = 6.0
    overlap: float = 0.9
    bits: int = 64
