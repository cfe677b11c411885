import random

import numpy as np
import pytest

from canthus.data.face import Face
from canthus.data.split import first_of, hold_out, hold_out_names
from canthus.utils.errors import DataError


def face(part, photo):
    return Face(
        image=None,
        landmarks=np.zeros((1, 2)),
        visibility=np.full(1, 2, np.uint8),
        box=np.array([0.0, 0.0, 1.0, 1.0]),
        scheme="none",
        photo=photo,
        part=part,
    )


def two_parts():
    """40 images of three faces, scattered, and 20 of one."""
    crowd = [face("crowd", f"crowd/{i % 40}") for i in range(120)]
    return crowd + [face("single", f"single/{i}") for i in range(20)]


def images(faces, mask):
    return {each.photo for each, held in zip(faces, mask, strict=True) if held}


def test_images_stay_whole():
    faces = two_parts()
    mask = hold_out(faces, 0.25, seed=0)
    assert mask.dtype == np.bool_
    assert mask.shape == (140,)
    assert not images(faces, mask) & images(faces, ~mask)


@pytest.mark.parametrize(("share", "crowd", "single"), [(0.25, 10, 5), (0.1, 4, 2), (0.5, 20, 10)])
def test_every_part_gives_the_same_share_of_its_images(share, crowd, single):
    faces = two_parts()
    held = images(faces, hold_out(faces, share, seed=0))
    assert sum(photo.startswith("crowd") for photo in held) == crowd
    assert sum(photo.startswith("single") for photo in held) == single


def test_the_choice_is_the_same_every_time():
    assert np.array_equal(hold_out(two_parts(), 0.25, seed=3), hold_out(two_parts(), 0.25, seed=3))


def test_the_choice_does_not_depend_on_the_order_of_the_faces():
    faces = two_parts()
    assert images(faces, hold_out(faces, 0.25, seed=3)) == images(faces[::-1], hold_out(faces[::-1], 0.25, seed=3))


def test_another_seed_chooses_other_images():
    faces = two_parts()
    choices = {frozenset(images(faces, hold_out(faces, 0.25, seed))) for seed in range(5)}
    assert len(choices) == 5


def test_a_part_more_does_not_change_the_choice_in_the_others():
    faces = two_parts()
    more = [*faces, *(face("another", f"another/{i}") for i in range(10))]
    assert images(faces, hold_out(faces, 0.25, 1)) == {
        photo for photo in images(more, hold_out(more, 0.25, 1)) if not photo.startswith("another")
    }


def test_equal_names_in_two_parts_are_two_images():
    faces = [face(part, f"{i}") for part in ("a", "b") for i in range(10)]
    assert hold_out(faces, 0.1, 0).sum() == 2


def test_share_zero_holds_out_nothing():
    assert not hold_out([face("a", "one")], 0.0, 0).any()


@pytest.mark.parametrize(("share", "count"), [(0.1, 0), (0.95, 4)])
def test_a_part_too_small_to_divide_is_an_error(share, count):
    faces = [*two_parts(), *(face("small", f"small/{i}") for i in range(4))]
    with pytest.raises(DataError, match=rf"small: a validation share of {share} of 4 images holds out {count}"):
        hold_out(faces, share, 0)


def test_few_faces_are_part_of_more():
    rows = np.arange(100, 150)
    few, more = first_of(rows, 10), first_of(rows, 30)
    assert len(few) == 10
    assert len(more) == 30
    assert set(few) < set(more) < set(rows)
    assert (np.diff(few) > 0).all()
    assert not np.array_equal(few, rows[:10])
    assert first_of(rows, None) is rows
    for count in (0, 51):
        with pytest.raises(DataError, match=f"train_faces is {count}, but there are 50"):
            first_of(rows, count)


def test_the_drawn_choice_is_that_of_runs_so_far():
    """Computed before there was another rule."""
    names = [f"{i:04d}" for i in range(40)]
    expected = {names[i] for i in (4, 11, 24, 27)}
    assert hold_out_names(names, 0.1, 0, "draw") == expected
    faces = [face("one", name) for name in names]
    assert images(faces, hold_out(faces, 0.1, 0)) == expected


def test_a_hashed_choice_is_the_same_on_every_machine():
    names = [f"{i:04d}" for i in range(40)]
    assert hold_out_names(names, 0.1, 0, "hash") == {"0001", "0005", "0015", "0018", "0021", "0026"}
    assert hold_out_names(names, 0.1, 1, "hash") != hold_out_names(names, 0.1, 0, "hash")
    assert len(hold_out_names([f"{i}" for i in range(20000)], 0.1, 0, "hash")) == pytest.approx(
        2000, abs=130
    )  # 3 sigma


@pytest.mark.parametrize("number", range(30))
def test_adding_images_moves_none_of_a_hashed_choice(number):
    """Random sets that grow at random places, several faces on an image, in several parts."""
    draw = random.Random(number)
    names = [f"{draw.choice('abcXY_')}{draw.getrandbits(40)}.{draw.choice(('jpg', 'png'))}" for _ in range(300)]
    part = {name: draw.choice(("one", "two", "")) for name in names}
    share, seed = draw.choice((0.1, 0.25, 0.5)), draw.randrange(5)
    grown, before = [], None
    for size in sorted(draw.sample(range(60, 300), 4)):
        faces = [face(part[name], name) for name in names[:size] for _ in range(draw.randint(1, 3))]
        draw.shuffle(faces)
        mask = hold_out(faces, share, seed, "hash")
        held, trained = images(faces, mask), images(faces, ~mask)
        assert not held & trained
        if before:
            assert before[0] <= held
            assert before[1] <= trained
        before = (held, trained)
        grown.append(len(held))
    assert grown == sorted(grown)


def test_a_set_too_small_for_its_share_names_a_seed_that_works():
    faces = [face("", f"{i}") for i in range(4)]
    with pytest.raises(DataError, match=r"of 4 images, each chosen by its name, holds out 0; data") as error:
        hold_out(faces, 0.1, 2, "hash")
    seed = int(str(error.value).partition("validation_seed=")[2].partition(" ")[0])
    assert 0 < hold_out(faces, 0.1, seed, "hash").sum() < 4
    assert not hold_out(faces, 0.0, 0, "hash").any()


def test_an_unknown_rule_is_named():
    with pytest.raises(DataError, match="validation_rule is 'hashed'; one of draw, hash"):
        hold_out(two_parts(), 0.1, 0, "hashed")
