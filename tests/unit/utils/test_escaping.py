"""Every medium shows a name as it is written and obeys nothing in it; csv gives it back."""

import csv
import io
import logging
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.table import Table

from canthus.reporting.tables import markdown_table
from canthus.utils.escaping import (
    console,
    csv_cell,
    csv_value,
    figure_text,
    markdown,
    markdown_block,
    markdown_code,
    markdown_link,
    one_line,
    plain_logs,
    visible,
    writing_csv,
)
from tests.helpers.nasty import MarkdownPage, hidden, names
from tests.helpers.places import SOURCE

few = settings(max_examples=60, deadline=None)


def squeezed(text: str) -> str:
    """As a browser shows it: runs of blanks are one."""
    return re.sub(" +", " ", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<!-- a <b> & c", "&lt;!-- a &lt;b&gt; &amp; c"),  # a comment would hide all that follows
        ("<script>", "&lt;script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("a_b __c", r"a_b \_\_c"),
        ("[x](y)", r"\[x\](y)"),
        ("a|b`c*d~e$", r"a\|b\`c\*d\~e\$"),
        ("# 1", r"\# 1"),
        ("1. a", r"1\. a"),
        ("- a", r"\- a"),
        ("-1.5", "-1.5"),
    ],
)
def test_what_becomes_of_marks(text, expected):
    assert markdown(text) == expected


def test_fences_are_longer_than_any_in_the_text():
    assert markdown_code("a b") == "`a b`"
    assert markdown_code("a`b") == "``a`b``"
    assert markdown_code("`a``b`") == "``` `a``b` ```"
    assert markdown_block("x", "sh") == "```sh\nx\n```"
    assert markdown_block("```\n<b>\n````") == "`````\n```\n<b>\n````\n`````"


@few
@given(names())
def test_nothing_hidden_is_left_and_nothing_else_changes(name):
    shown = visible(name)
    assert not hidden(shown)
    shown.encode()
    assert "\n" not in one_line(name)
    if not hidden(name) and "\ufeff" not in name:
        kept = re.sub("[\u200e\u200f\u061c\u206a-\u206f\ufff9-\uffff]", "", name)
        if kept == name:
            assert shown == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("x\u202egpj.exe", r"x\u202egpj.exe"),
        ("a\nb\tc", r"a\nb\tc"),
        ("caf\udce9.jpg", r"caf\udce9.jpg"),
        ("\x9b", r"\x9b"),
        ("naïve 人 👩‍🦰", "naïve 人 👩‍🦰"),
    ],
)
def test_hidden_characters_are_written_out(name, shown):
    assert visible(name) == shown


@few
@given(names(), names(2))
@example("_a", "b")
@example("-", "")
@example("1.", "x")
def test_markdown_shows_the_name_in_every_place(first, second):
    shown = [squeezed(one_line(name)) for name in (first, second)]
    for form, tags in (
        ("# {} on {}\n", {"h1"}),
        ("{} x {}\n", {"p"}),
        ("- fact: {} {}\n", {"ul", "li", "p"}),
        ("**x {} of {} y**\n", {"p", "strong"}),
    ):
        page = MarkdownPage(form.format(markdown(first), markdown(second)))
        assert page.tags - {""} <= tags, form
        assert not page.raw
        assert not page.links
        (text,) = page.texts
        expected = form.strip().lstrip("#- ").replace("**", "").format(*shown)
        assert squeezed(text).strip() == squeezed(expected).strip()


@few
@given(names())
def test_a_list_item_holds_nothing_but_its_name(name):
    page = MarkdownPage(f"- {markdown(name)}\n")
    assert page.tags - {""} <= {"ul", "li", "p"} or one_line(name) in ("", "-", "+")
    assert [squeezed(text) for text in page.texts] in ([squeezed(one_line(name))], []) or one_line(name) in ("-", "+")


@few
@given(names(), names())
def test_a_table_keeps_its_columns(first, second):
    page = MarkdownPage(markdown_table([[first, 1.0], [second, None]], [f"h{second}", "NME"]))
    assert page.tags - {""} <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert not page.raw
    texts = [[squeezed(cell) for cell in row] for row in page.rows]
    shown = [squeezed(one_line(text)).strip() for text in (f"h{second}", first, second)]
    assert texts == [[shown[0], "NME"], [shown[1], "1.00"], [shown[2], "-"]]


@few
@given(names())
def test_code_spans_and_blocks_end_where_they_should(name):
    line = one_line(name)
    page = MarkdownPage(f"a {markdown_code(name)} b\n")
    assert page.tags <= {"", "p", "code"}
    assert squeezed(page.texts[0]).strip() in (squeezed(f"a {line} b"), squeezed(f"a {line.strip()} b"))
    block = MarkdownPage(f"x\n\n{markdown_block(name, 'yaml')}\n\n# after\n")
    assert block.texts[-1] == "after"
    assert len(block.texts) == 3
    assert block.texts[1].rstrip("\n") == "\n".join(map(visible, name.rstrip().split("\n"))).rstrip("\n")


@few
@given(names(), names())
def test_links_lead_to_the_file(words, target):
    name = target.replace("\x00", "").replace("/", "_") or "x"
    name = "x" if name in (".", "..") else name
    page = MarkdownPage(f"!{markdown_link(words, f'overlays/{name}')}\n")
    (link,) = page.links
    assert unquote_to_bytes(link) == f"overlays/{name}".encode("utf-8", "surrogateescape")


def test_underscores_within_words_stay_bare():
    assert (
        markdown("inter_ocular of helen/trainset, 4.12 [3.9, 4.3]")
        == r"inter_ocular of helen/trainset, 4.12 \[3.9, 4.3\]"
    )


@few
@given(names() | st.from_regex(r"'*\s*[=+\-@\t]?[0-9a.e']*", fullmatch=True))
@example("'=1")
@example("''=1")
@example("-1")
@example("'-1")
def test_csv_gives_the_text_back_and_runs_nothing(name):
    file = io.StringIO(newline="")
    csv.writer(file).writerow([csv_cell(name), 1])
    ((cell, _),) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert csv_value(cell) == name
    assert not re.match(r"\s*[=+@\uff1d\uff0b\uff0d\uff20-]", cell) or re.fullmatch(r"[+-](\d.*|\.\d.*|inf|nan)", cell)


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "=1"])
def test_formulas_begin_with_an_apostrophe(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-4.25", "+3", "1e-5", "-1.5e+07", "", "a=b", "it's", "'quoted'", "nan", "-inf"])
def test_numbers_and_words_stay_bare(text):
    assert csv_cell(text) == text
    assert csv_value(text) == text


def test_a_csv_file_is_utf_8_whatever_the_names(tmp_path):
    with writing_csv(tmp_path / "a.csv") as write:
        write(["name", "n"])
        write(["caf\udce9", 1])
        write([Path("=x"), -2.5])
    assert (tmp_path / "a.csv").read_bytes().decode("utf-8") == "name,n\r\ncaf\\udce9,1\r\n'=x,-2.5\r\n"


@few
@given(names())
def test_the_console_prints_the_name(name):
    screen = console(file=io.StringIO(), width=4000, force_terminal=False)
    table = Table(title=name, caption=name)
    table.add_column(name)
    table.add_row(name)
    screen.print(table)
    screen.print(f"path {name}", soft_wrap=True)
    text = screen.file.getvalue()
    assert not hidden(text.replace("\n", ""))
    assert text.splitlines()[-1].rstrip() == f"path {visible(name)}".rstrip()
    shown = visible(name).strip()
    assert sum(shown in line for line in text.splitlines()) >= 4 or len(shown) > 500


def test_a_console_without_unicode_prints_on():
    raw = io.BytesIO()
    screen = console(file=io.TextIOWrapper(raw, "ascii"), width=80)
    screen.print("é 人")
    screen.file.flush()
    assert raw.getvalue() == rb"\xe9 \u4eba" + b"\n"


def test_the_log_keeps_its_lines_and_shows_controls():
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        plain_logs()
        plain_logs()  # twice is once
        logging.getLogger("canthus.test").warning("skipped: %s\n  more", "\x1b[2J\u202e")
    finally:
        logging.getLogger().removeHandler(handler)
    assert file.getvalue() == "[WARNING] skipped: \\x1b[2J\\u202e\n  more\n"


@pytest.mark.parametrize("name", [r"$\frac$", "a$b", "$x$", r"\$", "_hidden", "a\nb"])
def test_figures_show_the_name(name):
    figure = Figure()
    axes = figure.add_subplot(title=figure_text(name))
    axes.plot([0, 1], label=figure_text(name))
    axes.legend()
    figure.canvas.draw()
    (entry,) = axes.get_legend().get_texts()
    shown, is_formula = entry._preprocess_math(entry.get_text())
    assert not is_formula
    assert shown.strip() == one_line(name)


def test_every_writer_goes_through_here():
    """A writer or a console of one's own would miss what this module does."""
    alone = {
        "utils/escaping.py": r"csv\.writer|Console\(",
        "callbacks/metrics_file.py": "csv.DictWriter",
    }  # metrics alone
    found = [
        f"{path.relative_to(SOURCE)}: {match}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).as_posix() not in alone
        for match in re.findall(r"csv\.writer\(|csv\.DictWriter\(|\bConsole\(", path.read_text(encoding="utf-8"))
    ]
    assert found == []
