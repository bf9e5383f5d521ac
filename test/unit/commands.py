"""All commands of the command line, walked through."""

from __future__ import annotations

from collections.abc import Iterator

import click

from xrollout_ros.ui.cli import cli

Path = tuple[str, ...]


def walk(command: click.Command = cli, path: Path = ()) -> Iterator[tuple[Path, click.Command]]:
    """Every group and command, with how it is called below ``xrollout``."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            yield from walk(found, (*path, name))


ALL = dict(walk())
RUN = {path: each for path, each in ALL.items() if not isinstance(each, click.Group) or each.invoke_without_command}
"""Those that do something when nothing more is named."""
