"""Looks at a dashboard in a headless Chromium for a while, and tells what it saw as JSON.

python benchmarks/dashboard_looker.py LINK SECONDS [--loads 5] [--heap]
"""

from __future__ import annotations

import argparse
import json
import shutil
import time

from playwright.sync_api import sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
HEAP_S = 30.0
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
    parser.add_argument("--heap", action="store_true", help="tell now and then what the page keeps in memory")
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
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        page.evaluate(COUNT)
        pictures = page.locator("img[src^='/camera']").count()
        until_s = time.monotonic() + options.seconds
        while options.heap and time.monotonic() < until_s:
            page.wait_for_timeout(1000 * HEAP_S)
            # The browser leaves garbage lying for as long as there is room; what is kept is what stays without it.
            session.send("HeapProfiler.collectGarbage")
            told = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
            print(json.dumps({"heap_mib": told["JSHeapUsedSize"] / 2**20, "nodes": told["Nodes"]}), flush=True)
        page.wait_for_timeout(max(0.0, 1000 * (until_s - time.monotonic())))
        seen = page.evaluate("window.seen")
        browser.close()
    print(
        json.dumps({"changes": seen["changes"], "late_ms": seen["late"], "pictures": pictures}),
        flush=True,
    )


if __name__ == "__main__":
    main()
