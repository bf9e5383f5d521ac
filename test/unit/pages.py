"""Pages of HTML as a browser would take them."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """What a browser would fetch, and the page's text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.images: list[str] = []
        self.images_without_name = 0
        self.ids: list[str] = []
        self.words = ""
        self.path, self.html = path, path.read_text()
        self.feed(self.html)
        self.text = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.ids += [str(values["id"])] if "id" in values else []
        for name in ("src", "href", "xlink:href", "data", "srcset", "poster", "action"):
            value = values.get(name)
            if value and value.startswith("#"):
                self.links.append(value[1:])
            elif value and value.startswith("data:"):
                self.images.append(value)
            elif value:
                assert (tag, name) == ("a", "href"), f"{tag} loads {value}"
                self.fetched.append(value)
        if values.get("role") == "img" and not values.get("aria-label"):
            self.images_without_name += 1

    def handle_data(self, data: str) -> None:
        self.words += data + " "

    def check(self) -> None:
        """It is whole, loads nothing, and its links lead somewhere: inside it, or to a report below its folder."""
        for link in self.fetched:
            other, _, name = link.partition("#")
            assert "//" not in other and not other.startswith(("/", ".")), link
            assert name in Page(self.path.parent / other).ids or not name, link
        for loading in ("url(http", "<script", "@import", "<link", "<iframe"):
            assert loading not in self.html
        assert "#010101" not in self.html, "colours are the page's"
        assert "prefers-color-scheme: dark" in self.html
        assert self.images_without_name == 0
        assert len(self.ids) == len(set(self.ids))
        assert set(self.links) <= set(self.ids)
        assert self.html.rstrip().endswith("</html>")
