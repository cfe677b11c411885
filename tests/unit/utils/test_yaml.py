"""Configs read by libyaml say what PyYAML's own parser makes of them."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from canthus.runs import trust
from canthus.utils.errors import ConfigError

PLAIN = "a 1 1e-4 1_000 0x1f 0o7 017 1:30 on off yes ~ null 2020-01-01 .inf -.5 é 1. true NaN .nan << = 人 ${x}"
MARKED = "' \" | # &x *x !!str !x ? % @ ` : 'a' \"\\x41\" [1"
WORDS = [*PLAIN.split(), *MARKED.split(), "- x", "a: b", "[1, 2]", "{a: 1}", "> x", "a: 1e3"]
LINES = st.builds(
    lambda blanks, head, word: " " * blanks + head + word,
    st.sampled_from((0, 0, 2, 4)),
    st.sampled_from(("- ", "a: ", "b: ", "")),
    st.sampled_from(WORDS),
)


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=6).map("\n".join))
def test_both_parsers_agree(text):
    def read(quick):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(yaml, "__with_libyaml__", quick)
            try:
                return repr(trust.plain_yaml(text, "config.yaml"))
            except ConfigError as error:
                return f"refused: {error}"

    assert read(quick=True) == read(quick=False)
