"""Names as strangers write them, and independent parsers that say what became of them."""

import unicodedata
from html.parser import HTMLParser

from hypothesis import strategies as st
from markdown_it import MarkdownIt

PIECES = (
    "<img src=x onerror=alert(1)>", "<script>", "</td>", "--><!--", "&lt;", "&amp;#60;", '"', "'",
    "=HYPERLINK(1)", "=1+1", "+1", "-1", "-2+3", "@x", "\t", "\r", "\n", "\r\n", "\x0b", "\x85", "\u2028",
    "|", "\\|", "\\", "`", "``", "~~~", "```", "*", "**", "_", "__", "a_b", "[x]", "[/bold]", "[red]",
    "[link=file:///etc]", "](javascript:alert(1))", "![", "![a](b)", "<https://x.org>", "https://x.org",
    "www.x.org", "# ", "- ", "+ ", "1. ", "2) ", "---", "===", "> ", "    ", "~", "$x$", "$", ":bomb:",
    "\x1b[31m", "\x1b]0;t\x07", "\x07", "\x08", "\x00", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f",
    "\ufeff", "\udce9", "é", "人", "👩‍🦰", "a", "helen/trainset", "..", "/", ";", ",", "\uff1dcmd", "%",
    "{{ 1 }}", "${oc.env:HOME}",
)  # fmt: skip


def names(max_pieces: int = 6) -> st.SearchStrategy[str]:
    """Sequences of pieces that mean something somewhere, and of any characters."""
    anything = st.text(st.characters(exclude_categories=()), max_size=5)
    return st.lists(st.sampled_from(PIECES) | anything, min_size=1, max_size=max_pieces).map("".join)


def hidden(text: str) -> list[str]:
    """Characters of a text that a terminal or a browser does not show: controls, turns of direction, half pairs."""
    turned = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    odd = [one for one in text if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")]
    return odd + [one for one in text if unicodedata.bidirectional(one) in turned]


class MarkdownPage:
    """What a Markdown parser makes of a text.

    Attributes:
        tags: of its elements.
        cells: texts of its table cells, row by row.
        texts: of its headings, paragraphs, list items and cells.
        links: their targets, those of pictures too.
        raw: HTML that a browser would take.
    """

    def __init__(self, text: str) -> None:
        parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.raw: list[str] = []
        inside = False
        for token in parser.parse(text):
            self.tags.add(token.tag)
            if token.type == "tr_open":
                self.rows.append([])
            inside = inside or token.type in ("td_open", "th_open")
            if token.type in ("td_close", "th_close"):
                inside = False
            if token.type in ("html_block", "html_inline"):
                self.raw.append(token.content)
            if token.type in ("fence", "code_block"):
                self.texts.append(token.content)
            if token.type == "inline":
                shown = "".join(map(self._text, token.children or ()))
                self.texts.append(shown)
                if inside:
                    self.rows[-1].append(shown)

    def _text(self, token) -> str:
        self.tags.add(token.tag)
        if token.type == "html_inline":
            self.raw.append(token.content)
        self.links += [str(token.attrs[key]) for key in ("href", "src") if key in token.attrs]
        if token.type == "image":
            return "".join(map(self._text, token.children or ()))
        return " " if token.type in ("softbreak", "hardbreak") else token.content


class HTMLPage(HTMLParser):
    """Tags, attributes and texts of a page; fails on an element that is not closed where it should be."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)
