"""Every shipped scheme and every reduction between them, against facts of the markups typed here a second time."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from canthus.schemes import load_scheme, reduce_landmarks
from canthus.schemes.parsing import parse_scheme

# read from two independent code bases and checked on mean faces; identical in all of them
FLIPS = {
    "98": "32 31 30 29 28 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 46 45 44 43 42 50"
    " 49 48 47 37 36 35 34 33 41 40 39 38 51 52 53 54 59 58 57 56 55 72 71 70 69 68 75 74 73 64 63 62 61 60 67 66 65"
    " 82 81 80 79 78 77 76 87 86 85 84 83 92 91 90 89 88 95 94 93 97 96",
    "68": "16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 26 25 24 23 22 21 20 19 18 17 27 28 29 30 35 34 33 32 31 45 44 43"
    " 42 47 46 39 38 37 36 41 40 54 53 52 51 50 49 48 59 58 57 56 55 64 63 62 61 60 67 66 65",
    "51": "9 8 7 6 5 4 3 2 1 0 10 11 12 13 18 17 16 15 14 28 27 26 25 30 29 22 21 20 19 24 23 37 36 35 34 33 32 31 42"
    " 41 40 39 38 47 46 45 44 43 50 49 48",
    "49": "9 8 7 6 5 4 3 2 1 0 10 11 12 13 18 17 16 15 14 28 27 26 25 30 29 22 21 20 19 24 23 37 36 35 34 33 32 31 42"
    " 41 40 39 38 45 44 43 48 47 46",
    "29": "1 0 3 2 6 7 4 5 9 8 11 10 14 15 12 13 17 16 19 18 20 21 23 22 24 25 26 27 28",
    "21": "5 4 3 2 1 0 11 10 9 8 7 6 16 15 14 13 12 19 18 17 20",
    "19": "5 4 3 2 1 0 11 10 9 8 7 6 14 13 12 17 16 15 18",
    "5": "1 0 2 4 3",
}
NORMALISERS = {
    "98": {"inter_ocular": ([60], [72]), "inter_pupil": ([96], [97])},
    "68": {"inter_ocular": ([36], [45]), "inter_pupil": ([*range(36, 42)], [*range(42, 48)])},
    "51": {"inter_ocular": ([19], [28]), "inter_pupil": ([*range(19, 25)], [*range(25, 31)])},
    "49": {"inter_ocular": ([19], [28]), "inter_pupil": ([*range(19, 25)], [*range(25, 31)])},
    "29": {"inter_ocular": ([8], [9]), "inter_pupil": ([16], [17])},
    "21": {"inter_ocular": ([6], [11]), "inter_pupil": ([7], [10])},
    "19": {"inter_ocular": ([6], [11]), "inter_pupil": ([7], [10])},
    "5": {"inter_pupil": ([0], [1])},
}
REDUCTIONS = {
    "98": ["68", "68-index", "5"],
    "68": ["51", "49", "5", "21", "19"],
    "51": ["49", "5"],
    "49": ["5"],
    "29": ["5"],
    "21": ["19", "5"],
    "19": ["5"],
    "5": [],
}
PAIRS = [(source, target) for source, targets in REDUCTIONS.items() for target in targets]


def face(name, seed=0):
    k = load_scheme(name).num_landmarks
    return np.random.default_rng(seed).normal(100, 30, (k, 2)), np.full(k, 2, dtype=np.uint8)


def reduced(source, target, landmarks=None, visibility=None):
    full, seen = face(source)
    return reduce_landmarks(
        full if landmarks is None else landmarks,
        seen if visibility is None else visibility,
        load_scheme(source),
        target,
    )


@pytest.mark.parametrize("name", FLIPS)
def test_flip_normalisers_and_reductions(name):
    scheme = load_scheme(name)
    assert list(scheme.flip) == [int(i) for i in FLIPS[name].split()]
    assert {key: ([*a], [*b]) for key, (a, b) in scheme.normalisers.items()} == NORMALISERS[name]
    assert list(scheme.reductions) == REDUCTIONS[name]


@pytest.mark.parametrize("name", FLIPS)
def test_every_point_is_in_one_region(name):
    points = sorted(point for region in load_scheme(name).regions.values() for point in region)
    assert points == list(range(int(name)))


@pytest.mark.parametrize("name", FLIPS)
def test_normalisers_and_skeletons_survive_the_mirror(name):
    scheme = load_scheme(name)
    for a, b in scheme.normalisers.values():
        assert {scheme.flip[point] for point in a} == set(b)

    def edges(permutation):
        pairs = set()
        for points, closed in scheme.skeleton:
            ends = (*points, points[0]) if closed else points
            pairs |= {frozenset((permutation[p], permutation[q])) for p, q in pairwise(ends)}
        return pairs

    assert edges(scheme.flip) == edges(range(int(name)))


@pytest.mark.parametrize("name", FLIPS)
def test_names_speak_of_both_sides(name):
    scheme = load_scheme(name)
    sides = [("left" in label.split("_"), "right" in label.split("_")) for label in scheme.names]
    assert sides.count((True, False)) == sides.count((False, True)) > 0
    assert (True, True) not in sides
    # a jaw is numbered from side to side: its points are named alike on both
    fixed = {i for i, j in enumerate(scheme.flip) if i == j}
    numbered = {i for i, label in enumerate(scheme.names) if label.startswith("jaw_")}
    assert {i for i, side in enumerate(sides) if side == (False, False)} == fixed | numbered


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_reducing_commutes_with_mirroring(source, target):
    landmarks, visibility = face(source)
    mirrored = landmarks[list(load_scheme(source).flip)] * [-1, 1]
    expected = reduced(source, target)[0][list(load_scheme(target).flip)] * [-1, 1]
    np.testing.assert_allclose(reduced(source, target, mirrored, visibility)[0], expected, atol=1e-12)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_reductions_keep_the_whole_face_in_place(source, target):
    """Weights sum to 1: a face moved as a whole stays the same face, and one point stays that point."""
    landmarks, visibility = face(source)
    shift = np.array([7, -3])
    moved = reduced(source, target, landmarks + shift)[0]
    np.testing.assert_allclose(moved, reduced(source, target)[0] + shift, rtol=1e-12)
    np.testing.assert_allclose(reduced(source, target, np.full_like(landmarks, 5.0), visibility)[0], 5.0, rtol=1e-14)


@pytest.mark.parametrize(("source", "target"), [("51", "49"), ("51", "5"), ("49", "5"), ("21", "19")])
def test_reductions_agree_along_either_way(source, target):
    """68 to 5 by way of 51 is 68 to 5."""
    landmarks, visibility = face("68")
    half = reduce_landmarks(landmarks, visibility, load_scheme("68"), source)
    points = reduce_landmarks(*half, load_scheme(source), target)[0]
    np.testing.assert_allclose(points, reduced("68", target)[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("source", "target", "names"),
    [
        ("98", "5", ["pupil_left", "pupil_right", "nose_tip", "mouth_outer_left_corner", "mouth_outer_right_corner"]),
        ("29", "5", ["pupil_left", "pupil_right", "nose_tip", "mouth_left", "mouth_right"]),
        ("21", "5", ["eye_left_centre", "eye_right_centre", "nose_tip", "mouth_left", "mouth_right"]),
        ("19", "5", ["eye_left_centre", "eye_right_centre", "nose_tip", "mouth_left", "mouth_right"]),
    ],
)
def test_five_points(source, target, names):
    scheme = load_scheme(source)
    expected = face(source)[0][[scheme.names.index(name) for name in names]]
    np.testing.assert_array_equal(reduced(source, target)[0], expected)


def test_19_and_49_drop_points():
    np.testing.assert_array_equal(reduced("21", "19")[0], np.delete(face("21")[0], [12, 16], axis=0))
    np.testing.assert_array_equal(reduced("51", "49")[0], np.delete(face("51")[0], [43, 47], axis=0))
    kept = [name for name in load_scheme("21").names if not name.startswith("ear")]
    assert kept == list(load_scheme("19").names)


def test_names_of_parts_of_68_are_those_of_68():
    names = load_scheme("68").names
    assert load_scheme("51").names == names[17:]
    assert set(names[17:]) - set(load_scheme("49").names) == {"mouth_inner_left_corner", "mouth_inner_right_corner"}


def test_weighted_68_of_98():
    points = face("98")[0]
    result = reduced("98", "68")[0]
    np.testing.assert_array_equal(result[:17], points[0:33:2])
    np.testing.assert_allclose(result[18], [points[34, 0], (points[34, 1] + points[41, 1]) / 2])
    np.testing.assert_allclose(result[25], [points[45, 0], (points[45, 1] + points[47, 1]) / 2])
    np.testing.assert_allclose(result[37], points[61] * 2 / 3 + points[62] / 3)
    np.testing.assert_allclose(result[41], points[66] / 3 + points[67] * 2 / 3)
    np.testing.assert_allclose(result[47], points[74] / 3 + points[75] * 2 / 3)
    np.testing.assert_array_equal(result[48:], points[76:96])
    np.testing.assert_array_equal(result[[36, 39, 42, 45, 17, 26]], points[[60, 64, 68, 72, 33, 46]])


def test_thirds_are_exact():
    blend = load_scheme("98").reductions["68"][37]
    assert blend.x == blend.y == {61: Fraction(2, 3), 62: Fraction(1, 3)}
    assert blend.x[61] + blend.x[62] == 1


def test_index_68_of_98_takes_upper_brows_and_shares_the_rest():
    points, full = face("98")[0], reduced("98", "68")[0]
    index = reduced("98", "68-index")[0]
    np.testing.assert_array_equal(index[17:22], points[33:38])
    np.testing.assert_array_equal(index[[37, 38, 40, 41]], points[[61, 63, 65, 67]])
    same = [*range(18), *range(26, 37), 39, 42, 45, *range(48, 68)]
    np.testing.assert_array_equal(index[same], full[same])
    # a third from the middle is not the nearest point, so most of brows and all of lids differ
    assert (np.abs(index - full).max(axis=1) > 0).sum() == 16


def test_68_index_is_68_under_another_name():
    scheme, twin = load_scheme("68"), load_scheme("68-index")
    assert (twin.name, twin.flip, twin.names) == ("68-index", scheme.flip, scheme.names)
    assert dict(twin.normalisers) == dict(scheme.normalisers)
    with pytest.raises(ValueError, match=r"no reduction from scheme '68' to '68-index'"):
        reduced("68", "68-index")


def test_a_blend_is_as_visible_as_its_worst_point():
    landmarks, visibility = face("98")
    visibility[62], visibility[41] = 0, 1
    landmarks[62] = np.nan
    points, seen = reduced("98", "68", landmarks, visibility)
    # 62 is a third of both upper lids of the left eye; of brow point 18, point 41 gives y alone
    assert (np.flatnonzero(seen == 0).tolist(), np.flatnonzero(seen == 1).tolist()) == ([37, 38], [18])
    assert np.isnan(points[[37, 38]]).all()
    assert np.isfinite(np.delete(points, [37, 38], axis=0)).all()


MINIMAL = """
num_landmarks: 3
names: [eye_left, eye_right, nose]
flip: [1, 0, 2]
regions: {{eye_left: 0, eye_right: 1, nose: 2}}
normalisers: {{inter_pupil: [0, 1]}}
skeleton: []
reductions: {{"1": [{}]}}
"""


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{0: 0.333, 1: 0.666}", r"reductions: 1: weights of x of point 0 sum to 0\.999, not to 1"),
        ("{x: {0: 1}, y: {0: 1/2}}", r"weights of y of point 0 sum to 0\.5, not to 1"),
        ("{}", r"reductions: 1: \[\] should be one or more"),
        ("{3: 1}", r"reductions: 1: \[3\] should be one or more indices from 0 to 2"),
        ("{x: {0: 1}}", r"form of the entries.*'x' in .* is no index"),
        ("{x: {0: 1}, z: {0: 1}}", r"form of the entries.*'x' in .* is no index"),
        ("{x: 0, y: 0}", r"form of the entries"),
        ("{0: half}", r"Invalid literal for Fraction: 'half'"),
        ("{0: 1/0}", r"form of the entries"),
        ("{0: null}", r"Invalid literal for Fraction: 'None'"),
    ],
)
def test_bad_weights_are_refused(entry, message):
    with pytest.raises(ValueError, match=r"(?s)^schemes/3\.yaml: (.*)?" + message):
        parse_scheme("3", MINIMAL.format(entry))


def test_equal_and_weighted_forms_of_one_mean_are_the_same():
    listed, weighted = (
        parse_scheme("3", MINIMAL.format(entry)).reductions["1"] for entry in ("[0, 1]", "{0: 1/2, 1: 1/2}")
    )
    assert listed == weighted


def test_unknown_name_lists_what_ships():
    with pytest.raises(ValueError, match=r"available: 5, 19, 21, 29, 49, 51, 68, 98, 68-index$"):
        load_scheme("106")
