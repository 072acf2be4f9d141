"""The demo in a real browser: dropped photos, what is shown, what is downloaded, what is asked of the network."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

pytest.importorskip("gradio", reason="the demo's extra is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from browser import chromium, demo, visit  # noqa: E402
from demo_parts import draw_ring, write_checkpoint  # noqa: E402
from strange_photos import GOOD, header_bomb  # noqa: E402

from jewelenh.images import Photo, encode, encode_png  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory, tiny_weights):
    folder = tmp_path_factory.mktemp("demo")
    write_checkpoint(folder / "outputs/train/old/checkpoints/best.ckpt", tiny_weights, age_s=90_000)
    write_checkpoint(folder / "outputs/train/new/checkpoints/best.ckpt", tiny_weights)
    with demo(folder, "limits.megapixels=0.5", "limits.file_mb=1") as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    path = chromium()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def seat(browser, served):
    with visit(browser, served.url) as seat:
        yield seat


@pytest.fixture
def ring(tmp_path) -> Path:
    file = tmp_path / "ring.jpg"
    file.write_bytes(encode(Photo(draw_ring(3, 60, 80)), ".jpg", 95))
    return file


def predicted(served, run_job, photo: Path, *overrides: str) -> dict[str, bytes]:
    """Return the files that predict writes for a photo."""
    root = served.log.parent
    outcome = run_job(
        "predict", f"input={photo}", "output=predicted", f"paths.output_dir={root / 'outputs'}",
        f"checkpoint={root / 'outputs/train/new'}", *overrides,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return {path.name: path.read_bytes() for path in Path("predicted").iterdir() if path.name[0] != "."}


def test_a_dropped_photo_is_restored_and_the_download_is_what_predict_writes(seat, served, run_job, ring):
    seat.drop(ring)
    status = seat.wait_for("#status .card.good")
    assert "80 × 60 → 320 × 240 pixels" in status.inner_text()
    slider = seat.wait_for("#slider img")
    assert slider.count() == 2 and seat.page.locator("#slider .slider-wrap, #slider [role=slider]").count() >= 1
    for name in ("original", "esrgan", "refined"):
        width = seat.wait_for(f"#panel-{name} img").evaluate("image => image.naturalWidth")
        assert width == 640, name
    assert {seat.download()[0]: seat.download()[1]} == predicted(served, run_job, ring)
    assert not seat.complaints


def test_the_settings_are_those_of_predict(seat, served, run_job, ring):
    seat.drop(ring)
    seat.wait_for("#status .card.good")
    first = seat.download()
    seat.page.get_by_text("File to download").click()
    seat.choose("#format", "PNG")
    seat.choose("#scale", "as the original")
    seat.page.locator("#strength input[type=number]").fill("0.4")
    seat.page.locator("#strength input[type=range]").press("ArrowRight")  # to 0.45
    seat.page.wait_for_function("document.querySelector('#status').innerText.includes('80 × 60 → 80 × 60')")
    expected = predicted(served, run_job, ring, "format=png", "scale=1", "strength=0.45")
    for _ in range(50):
        name, data = seat.download()
        if {name: data} == expected:
            break
        seat.page.wait_for_timeout(200)  # the last of three changes may still be under way
    assert {name: data} == expected != {first[0]: first[1]}


def test_a_degraded_photo_is_labelled_scored_and_can_be_downloaded(seat, served, run_job, ring):
    seat.drop(ring)
    seat.wait_for("#status .card.good")
    assert seat.page.locator("#scores table").count() == 0
    seat.choose("#level", "severe")
    assert "degraded at level severe" in seat.wait_for("#status .card.good:has(em)").inner_text()
    rows = seat.wait_for("#scores tr").all_inner_texts()
    against_raw = ["PSNR", "degraded", "ESRGAN", "target", "refined", "gain"]
    assert [row.split()[0] for row in rows] == ["PSNR", "ESRGAN", "refined", "gain", *against_raw]
    assert "degraded" in seat.page.locator("#panel-original").inner_text()
    name, data = seat.download("#download-degraded")
    degraded = ring.parent / name
    degraded.write_bytes(data)
    assert name == "ring.jpg.png" and cv2.imread(str(degraded)).shape == (60, 80, 3)
    restored = cv2.imdecode(np.frombuffer(predicted(served, run_job, degraded)[name], np.uint8), cv2.IMREAD_COLOR)
    shown = cv2.imdecode(np.frombuffer(seat.download()[1], np.uint8), cv2.IMREAD_COLOR)
    assert cv2.PSNR(restored, shown) > 35, "the same but for the JPEG"


def test_a_reference_gives_scores_and_one_of_another_shape_a_reason(seat, ring, tmp_path):
    seat.drop(ring)
    seat.wait_for("#status .card.good")
    seat.page.get_by_text("Reference, for scores").click()
    seat.drop(ring, "#reference")
    assert "your reference, ring.jpg, at 80 × 60" in seat.wait_for("#scores .scores").inner_text()
    other = tmp_path / "other.png"
    other.write_bytes(GOOD["deep.png"])
    seat.page.locator("#reference button[aria-label*=emove], #reference button[aria-label*=lear]").first.click()
    seat.page.wait_for_selector("#scores table", state="detached")
    seat.drop(other, "#reference")
    assert "another shape" in seat.wait_for("#scores .card.doubt").inner_text()


def test_a_click_looks_closer_and_the_slider_takes_the_original(seat, ring):
    seat.drop(ring)
    before = seat.wait_for("#panel-refined img").get_attribute("src")
    compared = seat.page.locator("#slider img").first.get_attribute("src")
    seat.page.locator("#panel-esrgan img").click()
    seat.page.wait_for_function(
        "before => document.querySelector('#panel-refined img').getAttribute('src') !== before", arg=before
    )
    assert float(seat.page.locator("#zoom input[type=number]").input_value()) == 4
    seat.page.get_by_role("radio", name="what went in").check()
    seat.page.wait_for_function(
        "before => document.querySelector('#slider img').getAttribute('src') !== before", arg=compared
    )


def test_a_sample_photo_is_one_click(browser, served):
    with visit(browser, served.url) as seat:
        seat.page.locator("#samples button").nth(3).click()
        assert "262 × 262 → 1048 × 1048" in seat.wait_for("#status .card.good").inner_text()
        seat.page.locator("#samples button").nth(0).click()
        assert "too many pixels" in seat.wait_for("#status .card.wrong").inner_text()


BAD = {
    "text.png": (b"this is no picture", "not an image"),
    "cut.jpg": (encode(Photo(draw_ring(0)), ".jpg", 95)[:300], "damaged"),
    "bomb.png": (header_bomb(), "too large"),
    "empty.png": (b"", "empty"),
    "big.png": (encode_png(Photo(draw_ring(0, 700, 800)), 9), "too many pixels"),
}


def test_what_is_no_photo_gets_a_message_and_the_page_goes_on(seat, tmp_path, ring):
    seat.drop(ring)
    seat.wait_for("#slider img")
    for name, (data, word) in BAD.items():
        (tmp_path / name).write_bytes(data)
        seat.page.locator("#photo button[aria-label*=emove], #photo button[aria-label*=lear]").first.click()
        seat.page.wait_for_selector("#status .card.note:only-child")
        seat.drop(tmp_path / name)
        message = seat.wait_for("#status .card.wrong").inner_text()
        assert word in message and name in message, message
        assert "Traceback" not in message and str(tmp_path) not in message
        assert seat.page.locator("#slider img").count() == 0, "no picture of an earlier photo stays"
    seat.page.locator("#photo button[aria-label*=emove], #photo button[aria-label*=lear]").first.click()
    seat.page.wait_for_selector("#status .card.note:only-child")
    seat.drop(ring)
    seat.wait_for("#status .card.good")


@pytest.mark.parametrize("name", ["alpha.png", "deep.png", "rotated.jpg", "cmyk.jpg", "palette.png", "one.png"])
def test_strange_photos_are_restored_in_the_browser(seat, served, run_job, tmp_path, name):
    (tmp_path / name).write_bytes(GOOD[name])
    seat.drop(tmp_path / name)
    seat.wait_for("#status .card.good")
    file, data = seat.download()
    assert {file: data} == predicted(served, run_job, tmp_path / name)


def test_a_file_above_the_limit_is_refused(seat, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(encode_png(Photo(np.random.default_rng(0).integers(0, 255, (640, 700, 3), dtype=np.uint8))))
    assert large.stat().st_size > 1.2e6
    seat.drop(large)
    seat.page.get_by_text("exceed the maximum allowed size", exact=False).first.wait_for(timeout=20_000)
    assert seat.page.locator("#slider img").count() == 0


def test_nothing_is_asked_of_any_other_machine(seat, served, ring):
    seat.drop(ring)
    seat.wait_for("#slider img")
    seat.download()
    hosts = {urlsplit(url).hostname for url in seat.requests if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"} and len(seat.requests) > 10


def test_a_phone_shows_it_without_scrolling_sideways(browser, served, ring):
    with visit(browser, served.url, 390, 844) as seat:
        seat.drop(ring)
        seat.wait_for("#slider img")
        seat.choose("#level", "severe")
        seat.wait_for("#scores table")
        assert seat.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_only_what_the_page_shows_can_be_fetched(served):
    def status(path: str, **headers: str) -> tuple[int, dict[str, str]]:
        try:
            with urllib.request.urlopen(urllib.request.Request(served.url + path, headers=headers)) as answer:
                return answer.status, dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers)

    code, headers = status("")
    assert code == 200 and "default-src 'self'" in headers["content-security-policy"]
    checkpoint = served.log.parent / "outputs/train/new/checkpoints/best.ckpt"
    for file in ("/etc/passwd", str(checkpoint), str(Path(__file__)), "../../../etc/passwd", str(served.log)):
        assert status(f"gradio_api/file={file}")[0] in {403, 404}, file
    assert status("", Host="evil.example")[0] == 400
    assert status("monitoring")[0] in {403, 404}
    assert served.url.startswith("http://127.0.0.1:")


def test_in_the_end_no_file_is_left(browser, tmp_path, tiny_weights, ring):
    write_checkpoint(tmp_path / "here/outputs/train/run/checkpoints/best.ckpt", tiny_weights)
    with demo(tmp_path / "here") as running:
        with visit(browser, running.url) as seat:
            seat.drop(ring)
            seat.wait_for("#slider img")
            seat.download()
            kept = [path for path in running.temporary.rglob("ring.jpg") if path.is_file()]
            assert kept and all("gradio" in path.parts for path in kept), "only Gradio's copies, which it deletes"
        assert running.end() == 0
        assert "its files are deleted" in running.log.read_text() and "Traceback" not in running.log.read_text()
        assert not [path for path in running.temporary.rglob("*") if path.is_file() and "jewelenh" in str(path)]
        assert not list(running.temporary.rglob("ring.jpg"))
