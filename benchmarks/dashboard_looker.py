"""Looks at a dashboard in a headless Chromium for a while, and tells what it saw as JSON.

python benchmarks/dashboard_looker.py LINK SECONDS [--loads 5] [--stamped]
"""

from __future__ import annotations

import argparse
import json
import shutil
import time

from playwright.sync_api import sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
READY = "() => /AUTONOMOUS|TELEOP|HOLD|IDLE/.test((document.body ? document.body.innerText : ''))"
COUNT = """() => {
  window.seen = {changes: 0, late: []};
  new MutationObserver(records => {
    window.seen.changes += 1;
    const stamp = document.body.innerText.match(/looked at ([0-9.]+)/);
    if (stamp && stamp[1] !== window.seen.last) {
      window.seen.last = stamp[1];
      window.seen.late.push(Date.now() - 1000 * parseFloat(stamp[1]));
    }
  }).observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("link")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--loads", type=int, default=5)
    options = parser.parse_args()
    loads = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for _ in range(options.loads):
            context = browser.new_context(viewport={"width": 1280, "height": 900})  # nothing is cached
            page = context.new_page()
            begun_s = time.monotonic()
            page.goto(options.link, wait_until="commit")
            page.wait_for_function(READY)
            loads.append(time.monotonic() - begun_s)
            if len(loads) < options.loads:
                context.close()
        print(json.dumps({"loads": loads}), flush=True)
        page.evaluate(COUNT)
        pictures = page.locator("img[src^='/camera']").count()
        page.wait_for_timeout(1000 * options.seconds)
        seen = page.evaluate("window.seen")
        heap = page.evaluate("performance.memory ? performance.memory.usedJSHeapSize : 0")
        browser.close()
    print(
        json.dumps({"changes": seen["changes"], "late_ms": seen["late"], "pictures": pictures, "heap": heap}),
        flush=True,
    )


if __name__ == "__main__":
    main()
