"""Draws docs/app.png: the page of `clipseg-hf app` on `emoji-tiny`, as a browser shows it with its first masks.

    python examples/draw_app_page.py docs/app.png

Needs `pip install 'clipseg-hf[app]' selenium`, Chromium and its driver.
"""

import argparse
from io import BytesIO
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from clipseg_hf.app import serve

SIZE = (1280, 1290)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    page = serve("emoji-tiny", device="cpu", wait=False)
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--hide-scrollbars", f"--window-size={SIZE[0]},{SIZE[1]}"):
        options.add_argument(option)
    browser = webdriver.Chrome(options=options)
    try:
        # the window's own bars take some of its height
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False},
        )
        browser.get(page.local_url)
        found = "return document.body.innerText.includes('score') && [...document.images].every(one => one.complete)"
        WebDriverWait(browser, 60).until(lambda shown: shown.execute_script(found))
        shot = Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        shot.quantize(256).save(output, optimize=True)
    finally:
        browser.quit()
        page.close(verbose=False)


if __name__ == "__main__":
    main()
