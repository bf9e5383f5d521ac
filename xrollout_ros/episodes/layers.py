"""Layers: what was said of episodes is kept apart by who said it, and a question may leave some of it out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from xrollout_ros.core.errors import check_name

LAYER_PATTERN = r"^[a-z0-9][a-z0-9._:-]{0,63}$"
"""Names of layers: as tags, and colons."""
DEFAULT_LAYER = "default"


@dataclass(frozen=True)
class Layers:
    """Which layers count. The bag's own word is no layer: it always counts, until a layer overrides it."""

    only: Collection[str] | None = None
    """None: all."""
    without: Collection[str] = ()

    def __contains__(self, layer: object) -> bool:
        return (self.only is None or layer in self.only) and layer not in self.without

    @property
    def all(self) -> bool:
        """Whether nothing is left out."""
        return self.only is None and not self.without


ALL_LAYERS = Layers()


def check_layer(layer: str) -> str:
    """Return ``layer`` if it may be the name of one.

    Raises:
        DataError: it may not.
    """
    allowed = "up to 64 lower-case letters, digits, dots, hyphens, underscores, colons"
    return check_name("layer", layer, LAYER_PATTERN, allowed)
