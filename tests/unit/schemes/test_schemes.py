import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from canthus.schemes import load_scheme, reduce_landmarks
from canthus.schemes.parsing import parse_scheme
from canthus.schemes.scheme import Blend

SHIPPED = ["5", "68"]
# facts of the markups: fixed points of the flip
FIXED = {"5": {2}, "68": {8, 27, 28, 29, 30, 33, 51, 57, 62, 66}}
# flips of targets that do not ship yet, so that their reductions are held to them too
FLIPS = {
    "51": "9 8 7 6 5 4 3 2 1 0 10 11 12 13 18 17 16 15 14 28 27 26 25 30 29 22 21 20 19 24 23 37 36 35 34 33 32 31 42"
    " 41 40 39 38 47 46 45 44 43 50 49 48",
    "49": "9 8 7 6 5 4 3 2 1 0 10 11 12 13 18 17 16 15 14 28 27 26 25 30 29 22 21 20 19 24 23 37 36 35 34 33 32 31 42"
    " 41 40 39 38 45 44 43 48 47 46",
    "21": "5 4 3 2 1 0 11 10 9 8 7 6 16 15 14 13 12 19 18 17 20",
    "19": "5 4 3 2 1 0 11 10 9 8 7 6 14 13 12 17 16 15 18",
    "5": "1 0 2 4 3",
}

MINIMAL = """
num_landmarks: 3
names: [eye_left, eye_right, nose]
flip: [1, 0, 2]
regions: {eye_left: 0, eye_right: 1, nose: 2}
normalisers: {inter_pupil: [0, 1]}
skeleton: [{points: 0-2, closed: true}]
reductions: {}
"""


def full_face(k=68, seed=0):
    return np.random.default_rng(seed).normal(100, 30, (k, 2)), np.full(k, 2, dtype=np.uint8)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scheme(name):
    scheme = load_scheme(name)
    assert scheme.num_landmarks == len(scheme.names) == len(scheme.flip) == int(name)
    assert {i for i, j in enumerate(scheme.flip) if i == j} == FIXED[name]
    assert {point for region in scheme.regions.values() for point in region} == set(range(int(name)))


def test_name_may_be_a_number_and_the_object_is_shared():
    assert load_scheme(68) is load_scheme("68")


def test_schemes_travel_to_workers():
    scheme = load_scheme(68)
    assert pickle.loads(pickle.dumps(scheme)) == copy.deepcopy(scheme) == scheme
    assert hash(copy.deepcopy(scheme)) == hash(scheme)


def test_68_facts():
    scheme = load_scheme(68)
    assert scheme.normalisers["inter_ocular"] == ((36,), (45,))
    assert scheme.normalisers["inter_pupil"] == (tuple(range(36, 42)), tuple(range(42, 48)))
    assert scheme.names[36] == "eye_left_outer"
    assert scheme.names[8] == "jaw_8"
    assert (tuple(range(60, 68)), True) in scheme.skeleton
    assert scheme.regions["nose_base"] == (31, 32, 33, 34, 35)


def test_5_has_pupils_only():
    assert dict(load_scheme(5).normalisers) == {"inter_pupil": ((0,), (1,))}


@pytest.mark.parametrize("target", FLIPS)
def test_reductions_of_68_commute_with_the_flips(target):
    scheme, flip = load_scheme(68), [int(i) for i in FLIPS[target].split()]
    scheme.check_reduction(target, flip)
    landmarks, visibility = full_face()
    mirrored = landmarks[list(scheme.flip)] * [-1, 1]
    reduced = reduce_landmarks(landmarks, visibility, scheme, target)[0]
    np.testing.assert_allclose(reduce_landmarks(mirrored, visibility, scheme, target)[0], reduced[flip] * [-1, 1])


def test_reduction_to_5_averages_the_eyes():
    landmarks, visibility = full_face()
    points, seen = reduce_landmarks(landmarks, visibility, load_scheme(68), "5")
    expected = [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], landmarks[48], landmarks[54]]
    np.testing.assert_allclose(points, expected)
    assert points.dtype == np.float64
    assert seen.dtype == np.uint8
    assert seen.tolist() == [2] * 5


def test_reduction_to_49_drops_jaw_and_inner_corners():
    landmarks, visibility = full_face()
    points, _ = reduce_landmarks(landmarks, visibility, load_scheme(68), "49")
    np.testing.assert_array_equal(points, np.delete(landmarks, [*range(17), 60, 64], axis=0))


def test_reduced_points_are_as_visible_as_their_worst_source():
    landmarks, visibility = full_face()
    visibility[37], visibility[43], visibility[30] = 1, 0, 1
    landmarks[43] = np.nan
    points, seen = reduce_landmarks(landmarks, visibility, load_scheme(68), "5")
    assert seen.tolist() == [1, 0, 1, 2, 2]
    assert np.isnan(points[1]).all()
    assert np.isfinite(points[[0, 2, 3, 4]]).all()


def test_unlabelled_source_with_a_left_over_coordinate_still_gives_nan():
    landmarks, visibility = full_face()
    visibility[30] = 0
    assert np.isnan(reduce_landmarks(landmarks, visibility, load_scheme(68), "5")[0][2]).all()


def test_reduction_to_itself():
    landmarks, visibility = full_face()
    points, seen = reduce_landmarks(landmarks, visibility, load_scheme(68), "68")
    np.testing.assert_array_equal(points, landmarks)
    np.testing.assert_array_equal(seen, visibility)


def test_undefined_reductions_name_both_schemes_and_the_choice():
    with pytest.raises(ValueError, match=r"from scheme '68' to '98'.*reduces to: 51, 49, 5, 21, 19"):
        reduce_landmarks(*full_face(), load_scheme(68), "98")
    with pytest.raises(ValueError, match=r"from scheme '5' to '68'.*reduces to: nothing"):
        reduce_landmarks(*full_face(5), load_scheme(5), "68")


def test_landmarks_of_another_scheme():
    with pytest.raises(ValueError, match=r"\(5, 2\).*scheme '68'.*\(68, 2\)"):
        reduce_landmarks(*full_face(5), load_scheme(68), "5")


@pytest.mark.parametrize("name", ["69", "wflw", "", "../68"])
def test_unknown_scheme_names_nearest_and_available(name):
    with pytest.raises(ValueError, match=r"no landmark scheme '.*'; nearest: '\d+'; available: 5,.*68"):
        load_scheme(name)


def test_ranges_single_points_and_grouped_names_are_expanded():
    scheme = parse_scheme("3", MINIMAL.replace("[eye_left, eye_right, nose]", "[[eye_left, eye_right], nose]"))
    assert scheme.names == ("eye_left", "eye_right", "nose")
    assert scheme.skeleton == (((0, 1, 2), True),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("flip: [1, 0, 2]", "flip: [1, 0]", r"num_landmarks is 3.*flip has 2"),
        ("flip: [1, 0, 2]", "flip: [1, 1, 2]", r"not a permutation of 0\.\.2"),
        ("flip: [1, 0, 2]", "flip: [1, 2, 0]", r"not an involution: 0 goes to 1, but 1 goes to 2"),
        ("flip: [1, 0, 2]", "flip: [0, 1, 2]", r"flip takes eye_left to eye_left, not to eye_right"),
        ("eye_right, nose]", "eye_left, nose]", r"eye_left occur more than once"),
        ("nose: 2}", "nose: 3}", r"regions: nose: \[3\] should be .* from 0 to 2"),
        ("nose: 2}", "nose: []}", r"regions: nose: \[\] should be one or more"),
        ("nose: 2}", "nose: 1}", r"regions: flip does not take nose to nose"),
        ("eye_right: 1, nose", "nose", r"regions: eye_left has no counterpart eye_right"),
        ("[0, 1]}", "[0, 7]}", r"normalisers: inter_pupil: \[7\]"),
        ("[0, 1]}", "[0, 1, 2]}", r"too many values"),
        ("points: 0-2", "points: 0-x", r"invalid literal.*x"),
        ("points: 0-2", "points: 0-5", r"skeleton: \[0, 1, 2, 3, 4, 5\]"),
        ("points: 0-2", "points: 0.5", r"0.5 is neither an index, a range"),
        ("points: 0-2, ", "", r"form of the entries.*points"),
        ("reductions: {}", "", r"missing keys \['reductions'\]"),
        ("reductions: {}", "reductons: {}", r"unknown keys \['reductons'\]"),
        ("reductions: {}", 'reductions: {"1": [4]}', r"reductions: 1: \[4\]"),
        ("flip: [1, 0, 2]", "flip: [1, 0, 2", r"not YAML"),
    ],
)
def test_inconsistent_files_are_refused(old, new, message):
    assert old in MINIMAL
    with pytest.raises(ValueError, match=r"(?s)^schemes/3\.yaml: (.*)?" + message):
        parse_scheme("3", MINIMAL.replace(old, new))


def test_reduction_that_swaps_sides_is_refused():
    reductions = {"5": tuple(Blend.mean((point,)) for point in (45, 36, 30, 48, 55))}
    with pytest.raises(ValueError, match=r"68\.yaml: reductions: 5: point 3 and its mirror image 4"):
        replace(load_scheme(68), reductions=reductions).check_reduction("5", load_scheme(5).flip)


def test_reduction_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match=r"reductions: 5: 1 points, but scheme '5' has 5"):
        replace(load_scheme(68), reductions={"5": (Blend.mean((30,)),)}).check_reduction("5", load_scheme(5).flip)
