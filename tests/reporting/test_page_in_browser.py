"""The report in a real browser: nothing is requested, the slider answers to keys, mouse and touch, tables sort."""

import shutil

import pytest
from drawn_scores import checkpoint_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def report(run_job, drawn_pairs_of_32, tmp_path):
    files = [
        checkpoint_of(tmp_path / name / "best.ckpt", drawn_pairs_of_32.directory, shift)
        for name, shift in (("darker", -0.05), ("brighter", 0.2))
    ]
    both = f"checkpoint=[{files[0]},{files[1]}]"
    assert run_job("evaluate", "trust=[drawn_scores]", both, "report_dir=out").code == 0
    return (tmp_path / "out" / "report.html").as_uri()


def split_at(page) -> str:
    return page.evaluate("getComputedStyle(document.querySelector('.stage')).getPropertyValue('--at').trim()")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_works_from_a_file(browser, report, width):
    page = browser.new_context(viewport={"width": width, "height": 800}, has_touch=width < 500).new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(report)
    assert [url for url in asked if not url.startswith("data:")] == [report]
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
    broken = "[...document.images].filter(i => i.src && !(i.complete && i.naturalWidth)).length"
    assert page.evaluate(broken) == 0

    slider = page.locator(".stage input")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert split_at(page) == "51%"
    page.keyboard.press("Home")
    assert split_at(page) == "0%"
    page.locator(".stage").scroll_into_view_if_needed()
    box = page.locator(".stage").bounding_box()
    if width < 500:
        page.touchscreen.tap(box["x"] + box["width"] * 0.25, box["y"] + 40)
    else:
        page.mouse.move(box["x"] + 10, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40)
        page.mouse.up()
    assert float(split_at(page).rstrip("%")) == pytest.approx(25, abs=1)

    over = page.locator(".over-layer img")
    before = over.get_attribute("src")
    page.locator(".viewer select").nth(1).select_option("brighter")
    assert over.get_attribute("src") not in {before, None}
    assert page.locator(".stage .tag").first.inner_text() == "brighter"
    page.locator("[data-zoom='4']").click()
    assert over.evaluate("e => getComputedStyle(e).transform").startswith("matrix(4, 0, 0, 4")
    assert said == []


@pytest.mark.slow
def test_tables_sort_by_what_is_asked(browser, report):
    page = browser.new_page()
    page.goto(report)
    values = "[...document.querySelectorAll('.sortable tbody tr')].map(r => Number(r.cells[3].dataset.value))"
    button = page.locator(".sortable th button").nth(3)
    button.click()
    down = page.evaluate(values)
    assert down == sorted(down, reverse=True) and len(set(down)) > 2
    button.click()
    assert page.evaluate(values) == sorted(down)
    assert page.locator(".sortable th").nth(3).get_attribute("aria-sort") == "ascending"
