"""The page in headless Chromium: it works, loads nothing, fits a phone, and can be read in dark and light."""

import shutil
from pathlib import Path

import pytest

from canthus.reporting.page.measured import DrawnFace, Measured, Picture
from canthus.reporting.page.page import Context, page_sections, write_page
from canthus.reporting.page.protocols import grouped
from canthus.reporting.page.records import read_record

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

CONTRAST = """(selector) => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const over = (colours) => {
    for (const colour of colours) { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1); }
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll(selector)].map((element) => {
    const grounds = [];
    for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
    const [text, ground] = [[...grounds, getComputedStyle(element).color], grounds].map(over).map(light);
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  });
}"""


SMALLEST = """Math.min(...[...document.querySelectorAll("svg text")].map((text) => {
  const place = text.getScreenCTM();
  return 12 * Math.hypot(place.a, place.b);
}))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"no Chromium: none of {', '.join(names)} is on the path")
    with driver.sync_playwright() as playwright:
        profile = tmp_path_factory.mktemp("profile")
        window = playwright.chromium.launch_persistent_context(
            profile, executable_path=program, args=list(FLAGS), headless=True
        )
        yield window
        window.close()


@pytest.fixture(scope="module")
def page_file(run_maker, make_suite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    make_run = run_maker(folder / "runs")
    folders = [make_run("a", 4.0, seed=0), make_run("a1", 4.1, seed=1), make_run("b", 4.5, model="mdm")]
    folders.append(make_run("c", 9.0, model="<script>document.title='taken'</script>", config={"model": {"w": 2}}))
    folders.append(make_run("d", 5.0, model="a-name-that-is-much-too-long-" * 4, normaliser="inter_pupil"))
    make_suite(folders[0], 4.0)
    groups = grouped([read_record(folder) for folder in folders])
    face = DrawnFace("face.jpg", [4.0, 3.0], ["stage 1", "stage 2"], [b"", b""], ["a note"])
    own = {groups[0]: [Picture("best", row, face) for row in groups[0].rows]}
    common = {groups[0]: [Picture("easy", row, face.last) for row in groups[0].rows]}
    context = Context([("made", "today")], Measured({}, own, common), ["x" * 200])
    write_page(folder / "report.html", "A title", page_sections(groups, {}), context)
    return folder / "report.html"


@pytest.fixture
def opened(browser, page_file: Path):
    """The page, and what it said and asked for."""
    page, said, asked = browser.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    yield page, said, asked
    page.close()


def shown(page, column: int = 0) -> list[str]:
    rows = page.locator("#pA-results tbody tr:not([hidden])")
    return [text.strip() for text in rows.locator(f":scope > :nth-child({column + 1})").all_inner_texts()]


def test_it_loads_nothing_and_says_nothing(opened) -> None:
    page, said, asked = opened
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page.url]
    assert page.title() == "A title"


def test_tables_can_be_sorted_chosen_and_filtered(opened) -> None:
    page, _, _ = opened
    assert page.locator("#pA-results tbody tr").count() == 9
    assert [label.split()[0] for label in shown(page)] == ["dan", "mdm", "<script>document.title='taken'</script>"]
    head = page.locator("#pA-results thead th", has_text="FR@8")
    for order in ("ascending", "descending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == order
        place = page.locator("#pA-results thead th").all_inner_texts().index("FR@8")
        values = [float(text.split()[0]) for text in shown(page, place)]
        assert values == sorted(values, reverse=order == "descending")
        assert len(set(values)) > 1
    page.locator("#pA-results [data-choose]").select_option("afw")
    assert set(shown(page, 1)) == {"afw"}
    page.locator("#pA-results [data-choose]").select_option("")
    page.locator("#pA-results [data-filter]").fill("MDM full")
    assert (shown(page), shown(page, 1)) == (["mdm"], ["full"])
    assert page.locator("#pA-results output").inner_text() == "1 of 9 rows"


def test_the_keyboard_is_enough(opened) -> None:
    page, _, _ = opened
    page.locator("#pA-results thead button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#pA-results thead th").first.get_attribute("aria-sort") == "ascending"
    region = page.locator("#pA-results .scroll")
    assert (region.get_attribute("tabindex"), region.get_attribute("role")) == ("0", "region")


def test_curves_can_be_hidden(opened) -> None:
    page, _, _ = opened
    block = page.locator("#pA .charts-block").first
    button = block.get_by_role("button", name="mdm")
    lines = block.locator("g.series[data-series=mdm]")
    assert lines.first.is_visible()
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert not any(lines.nth(i).is_visible() for i in range(lines.count()))
    button.click()
    assert lines.first.is_visible()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(width: int, scheme: str, opened) -> None:
    page, _, _ = opened
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    size = page.evaluate(SMALLEST)
    assert size >= 8.5  # pixels, of the smallest words in a chart
    for selector in ("p", "td", "th", "figcaption", "dt", "dd", "nav a", "summary", "output", "thead button", "li"):
        contrasts = page.evaluate(CONTRAST, selector)
        assert contrasts
        assert min(contrasts) >= 4.5, (selector, contrasts.index(min(contrasts)))


def test_dark_and_light_can_be_chosen(opened) -> None:
    page, _, _ = opened
    page.emulate_media(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").click()
    dark = page.evaluate(ground)
    page.locator("#theme").click()
    assert light == page.evaluate(ground) != dark
