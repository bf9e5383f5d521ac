"""The documentation as a site: builds without a warning, every link leads somewhere, nothing comes from elsewhere."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("sphinx", reason="Sphinx is not installed")
pytest.importorskip("rclpy", reason="ROS 2 is not installed")

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(400)
_LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
    "video": "src",
    "object": "data",
}


@dataclass
class Page(HTMLParser):
    """What a page has, what it leads to, what it loads."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in _LOADS and given.get(_LOADS[tag]) and given.get("rel") not in ("index", "search", "next", "prev"):
            self.loads.append(given[_LOADS[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The built site; built once, however many workers want it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder if worker_id == "master" else folder.parent
    out = folder / "site"
    with (folder / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "index.html").exists():
            options = ["-q", "--fail-on-warning", "--keep-going", "-b", "html"]
            command = [sys.executable, "-m", "sphinx", *options, "docs", str(out)]
            built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if built.returncode:
                shutil.rmtree(out, ignore_errors=True)
            assert built.returncode == 0, built.stderr
            assert built.stderr == ""
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = {}
    for path in site.rglob("*.html"):
        found[path.resolve()] = page = Page()
        page.feed(path.read_text(encoding="utf-8"))
    return found


def test_every_link_within_the_site_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids
            ):
                wrong.append(f"{path.relative_to(site)}: {link}")
    assert len(pages) > 50
    assert not wrong, "\n".join(wrong)


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loads = [load for page in pages.values() for load in page.loads]
    assert loads
    assert [load for load in loads if re.match(r"(https?:)?//", load)] == []
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"""(?:@import|url\()\s*["']?(?:https?:)?//[^)"']+""", text) == [], path


def test_links_of_the_readme_lead_to_pages_and_places(site: Path, pages: dict[Path, Page]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(docs/([\w/]+)\.md(?:#([\w-]+))?\)", text)
    assert len(links) > 15
    for name, place in links:
        page = pages[(site / f"{name}.html").resolve()]
        assert not place or place in page.ids, f"{name}#{place}"


def test_notes_to_the_tests_are_not_on_the_pages(site: Path) -> None:
    shown = re.sub(r"<!--.*?-->", "", (site / "first_hour.html").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "xrollout flywheel run" in re.sub(r"<[^>]+>", "", shown)
    for note in ("run: background", "bind:", "made:"):
        assert note not in shown


def test_from_a_folder_an_errors_text_leads_to_its_remedy(site: Path, browser: Any) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "troubleshooting.html").as_uri())
    page.fill("#find-error-text", "error: there is no checkpoint at /home/ann/checkpoint.pt")
    first = page.locator("#find-error-found p").first
    assert "xrollout train --data raw_rollouts --output checkpoint.pt" in first.inner_text()
    first.locator("a").click()
    page.wait_for_url("**/errors/learning.html#error-*")
    assert page.locator(page.url[page.url.index("#") :]).count() == 1
    assert [url for url in asked if not url.startswith("file:")] == []
    page.close()


def test_from_a_folder_the_search_finds_a_command(site: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q=calibrate")
    page.wait_for_selector("#search-results li", timeout=30_000)
    assert any("calibration" in text.lower() for text in page.locator("#search-results li").all_inner_texts())
    page.close()
