import numpy as np
import pytest
from scipy import stats

from canthus.metrics import bootstrap_interval, compare_paired, compare_pairs


def errors(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(4.0, 1.2, n)


def test_interval_is_about_that_of_the_central_limit():
    sample = errors(2000)
    low, high = bootstrap_interval(sample)
    half = 1.96 * sample.std(ddof=1) / np.sqrt(len(sample))
    assert low == pytest.approx(sample.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(sample.mean() + half, abs=0.1 * half)


@pytest.mark.parametrize(("faces", "method"), [(2, "BCa"), (7, "BCa"), (60, "BCa"), (5001, "percentile")])
def test_interval_is_scipys(faces, method):
    sample = errors(faces, faces)
    count = 9999 if method == "BCa" else 9999 // 5
    theirs = stats.bootstrap(
        (sample,), np.mean, n_resamples=count, method=method, batch=500, rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose(bootstrap_interval(sample), theirs, rtol=1e-12)


def test_pairs_together_are_pairs_alone():
    columns = [errors(40, seed) for seed in range(4)]
    columns[1][3], columns[2][0] = np.inf, np.nan  # so that their pairs have fewer faces
    pairs = [(one, other) for number, one in enumerate(columns) for other in columns[:number]]
    for pair, together in zip(pairs, compare_pairs(pairs), strict=True):
        alone = compare_paired(*pair)
        for key in alone.__dataclass_fields__:
            assert getattr(together, key) == pytest.approx(getattr(alone, key), rel=1e-12)
    assert compare_pairs([]) == []


def test_interval_leans_to_where_the_tail_is():
    sample = np.random.default_rng(1).exponential(1.0, 40)
    low, high = bootstrap_interval(sample)
    assert high - sample.mean() > sample.mean() - low


def test_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(2)
    inside = 0
    for _ in range(40):
        low, high = bootstrap_interval(random.gamma(4.0, 1.25, 60))
        inside += low <= 5.0 <= high
    assert 33 <= inside <= 40  # 38 are expected


def test_the_same_faces_give_the_same_interval():
    assert bootstrap_interval(errors(50)) == bootstrap_interval(errors(50))
    assert bootstrap_interval(errors(50)) != bootstrap_interval(errors(50), seed=1)


def test_unlabelled_faces_are_left_out():
    sample = errors(30)
    assert bootstrap_interval([*sample, np.nan]) == bootstrap_interval(sample)


def test_large_sets_are_close_to_the_bias_corrected_interval():
    sample = errors(6000)
    large = bootstrap_interval(sample)
    exact = stats.bootstrap((sample,), np.mean, batch=100, rng=np.random.default_rng(5)).confidence_interval
    np.testing.assert_allclose(large, exact, atol=0.01)


@pytest.mark.parametrize(
    ("values", "expected"), [([], None), ([3.0], None), ([3.0, np.inf], None), ([3.0, 3.0, 3.0], (3.0, 3.0))]
)
def test_intervals_that_there_are_none_of(values, expected):
    assert bootstrap_interval(values) == expected


def test_comparison_counts_and_means():
    first, second = np.array([1.0, 2.0, 3.0, 4.0, 6.0]), np.array([2.0, 2.0, 2.0, 8.0, 7.0])
    found = compare_paired(first, second)
    assert (found.faces, found.left_out, found.wins, found.losses, found.ties) == (5, 0, 3, 1, 1)
    assert (found.mean_first, found.mean_second) == (3.2, 4.2)
    assert found.mean_difference == pytest.approx(-1.0)
    assert found.interval == bootstrap_interval(first - second)


def test_sign_flips_agree_with_all_of_them():
    first, second = errors(10), errors(10, 1)
    exact = stats.permutation_test((first - second,), np.mean, permutation_type="samples", vectorized=True)
    found = compare_paired(first, second)
    assert found.p_sign_flip == pytest.approx(exact.pvalue, abs=0.015)
    assert found.p_wilcoxon == stats.wilcoxon(first, second).pvalue


def test_sign_flips_find_a_difference_and_do_not_invent_one():
    base, noise = errors(200), np.random.default_rng(7).normal(0, 0.5, 200)
    assert compare_paired(base, base + noise + 0.3).p_sign_flip == pytest.approx(1e-4)
    rate = np.mean([compare_paired(errors(30, s), errors(30, s + 1000)).p_sign_flip < 0.05 for s in range(40)])
    assert rate <= 0.15  # 5 % is expected


def test_a_missing_estimate_loses_but_enters_no_mean():
    found = compare_paired([1.0, np.inf, 3.0, np.nan, np.inf], [2.0, 5.0, np.inf, np.nan, np.inf])
    assert (found.faces, found.left_out, found.wins, found.losses, found.ties) == (1, 4, 2, 1, 1)
    assert (found.mean_difference, found.interval) == (-1.0, None)


def test_equal_models():
    found = compare_paired(errors(20), errors(20))
    assert (found.ties, found.p_sign_flip, found.p_wilcoxon, found.interval) == (20, 1.0, 1.0, (0.0, 0.0))


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="3 and 2 errors are not of the same faces"):
        compare_paired([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="none of the 2 faces"):
        compare_paired([1, np.inf], [np.inf, 2])
