"""Pages of HTML from our templates."""

from __future__ import annotations

from typing import Any

import jinja2

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
    environment.filters["duration"] = text.duration
    return environment.get_template(template).render(**values)
