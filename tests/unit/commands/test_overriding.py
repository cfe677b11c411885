"""Words of a command line as people type them: Hydra must understand what they meant."""

import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from canthus.commands.overriding import readable
from canthus.utils.errors import ConfigError


def meant(word: str, *before: str) -> object:
    """The value that Hydra reads."""
    return OverridesParser.create().parse_override(readable([*before, word])[-1]).value()


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of me")


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("data.root=~/faces", "/home/of me/faces"),
        ("data.root='~/faces'", "~/faces"),  # in quotes it is meant as it is, as in a shell
        ("data.root=/x/lr=0.1", "/x/lr=0.1"),
        ("source=a(1).jpg", "a(1).jpg"),
        ("source=a{1}.jpg", "a{1}.jpg"),
        ("output=it's", "it's"),
        ("output='a", "'a"),
        ("output=données/é", "données/é"),
        ("output=a#b", "a#b"),
        ("output=a:b", "a:b"),
        ("output=2026_12_01", "2026_12_01"),  # Hydra's grammar has such numbers
        ("output=1e5", "1e5"),
        ("run=true", "true"),
        ("name=[x]", "[x]"),
        ("data.root=007", "007"),
        ("compare=null", None),
        ("seed=3", 3),
        ("trainer.max_epochs=1e1", 10.0),
        ("tags=[a,b]", ["a", "b"]),
        ("runs=[~/a,'~/b']", ["/home/of me/a", "~/b"]),
    ],
)
def test_what_is_meant(typed: str, value: object) -> None:
    assert meant(typed) == value


def test_sweeps_stay_sweeps() -> None:
    parsed = OverridesParser.create().parse_override(readable(["-m", "data.root=/x/a=b,/y/c=d"])[1])
    assert list(parsed.sweep_string_iterator()) == ["'/x/a=b'", "'/y/c=d'"]
    assert readable(["model.width=0.1,0.2", "-m"]) == ["model.width=0.1,0.2", "-m"]


def test_words_of_options_are_theirs() -> None:
    words = ["--config-dir", "/a=b(c", "--cfg", "job", "--package=x", "-m", "seed=1,2"]
    assert readable(words) == words


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("rubbish", "'rubbish' is no key=value"),
        ("runs=[a=b]", "runs=[a=b] cannot be read"),
        ('tags=[a,"b', "cannot be read: quote what holds blanks"),
        ("a b=c", "a b=c cannot be read"),
        ("output=", "output= is empty"),
        ("hydra.run.dir=''", "hydra.run.dir='' is empty"),
    ],
)
def test_what_cannot_be_read_is_explained(typed: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        readable([typed])


@settings(deadline=None, max_examples=200)
@given(st.text(min_size=1).filter(lambda text: text[0] not in "[{'\"~" and text.strip() == text))
def test_any_name_of_a_file_arrives(name: str) -> None:
    """A key of text has what a shell hands over letter by letter, except what Hydra's grammar gives a meaning."""
    try:
        [word] = readable([f"output={name}"])
    except ConfigError:
        pytest.fail(f"{name!r} was refused")
    parsed = OverridesParser.create().parse_override(word)
    # commas offer choices, $ and \ have meanings of their own, and functions such as sort(a) are called
    if parsed.is_sweep_override() or any(letter in name for letter in "\\$,(") or name.lower() == "null":
        return
    value = parsed.value()
    assert str(getattr(value, "text", value)) == name


def test_twice_is_once() -> None:
    words = ["data.root=~/faces", "source=a(1).jpg", "output=2026_12_01", "run=/x/a=b"]
    assert readable(readable(words)) == readable(words)
