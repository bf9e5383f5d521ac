"""Pages of HTML from our templates."""

from __future__ import annotations

from typing import Any

import jinja2
from markupsafe import Markup, escape

from xrollout_ros.ui import text


def render(template: str, **values: Any) -> str:
    """A page; what it does not get is an error, and values are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xrollout_ros.ui"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "code": _code,
        "duration": text.duration,
        "milliseconds": text.milliseconds,
        "moment": _moment,
        "words": _words,
    }
    return environment.get_template(template).render(**values)


def _code(said: str) -> Markup:
    """A text of ours, whose commands stand between backticks."""
    parts = said.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


def _words(name: str) -> str:
    """A name as people write it."""
    return name.replace("_", " ").replace("-", " ")


def _moment(time: str) -> str:
    """A time of ISO 8601 to the second, in UTC as all of ours."""
    return f"{time[:10]} {time[11:19]} UTC"
