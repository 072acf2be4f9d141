"""Takes the README's picture of the demo: a sample photo, degraded and restored, in headless Chromium.

python -m jewelenh.demo                                       (elsewhere, with a trained checkpoint)
python experiments/pictures/demo.py http://127.0.0.1:7860/ [number of the sample photo] [level]
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
WIDTH_PX, HEIGHT_PX = 1360, 900
DONE_WITHIN_MS = 300_000


def main() -> None:
    url, number, level = sys.argv[1], int((sys.argv[2:] or ["4"])[0]), (sys.argv[3:] or ["moderate"])[0]
    browser_file = os.environ.get("JEWELENH_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        page.set_default_timeout(DONE_WITHIN_MS)
        page.goto(url)
        page.locator("#samples button").nth(number).click()
        page.wait_for_selector("#status .card.good")
        page.locator("#level input").click()
        page.get_by_role("option", name=level, exact=True).click()
        page.wait_for_selector("#status .card.good em")
        before = page.locator("#panel-refined img").get_attribute("src")
        box = page.locator("#panel-refined img").bounding_box() or {"width": 0, "height": 0}
        page.locator("#panel-refined img").click(position={"x": 0.5 * box["width"], "y": 0.72 * box["height"]})
        changed = "before => document.querySelector('#panel-refined img').getAttribute('src') !== before"
        page.wait_for_function(changed, arg=before)
        page.mouse.move(0, 0)
        page.wait_for_timeout(1500)  # for the pictures to be painted
        taken = page.screenshot(full_page=True)
        browser.close()
    file = HERE / "demo.jpg"
    picture = Image.open(io.BytesIO(taken)).convert("RGB")
    picture.save(file, quality=85, optimize=True, progressive=True)
    print(f"{file}: {picture.width}x{picture.height}, {file.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
