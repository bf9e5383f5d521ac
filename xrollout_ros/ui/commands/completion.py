"""`xrollout completion`."""

from __future__ import annotations

import click

from xrollout_ros.ui.epilog import epilog

SHELLS = ("bash", "zsh", "fish")
_HELP = """\b
Put one of these lines into your shell's startup file:
  bash  ~/.bashrc                   eval "$(xrollout completion bash)"
  zsh   ~/.zshrc, after compinit    eval "$(xrollout completion zsh)"
  fish  ~/.config/fish/config.fish  xrollout completion fish | source"""


@click.command(epilog=epilog("xrollout completion bash", before=_HELP))
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes bash, zsh or fish complete what is typed.

    Commands, options and their values, files, names of robots and tasks, arguments of graphs, episodes (the newest
    first) and what was recorded. The last are taken from the catalog of the data folder as it is; a folder other than
    the usual one is known once --data stands on the line.
    """
    from xrollout_ros.ui.shells import script

    click.echo(script(shell))
