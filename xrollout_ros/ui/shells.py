"""Completion in bash, zsh and fish: the scripts, and how each is told what a word may become.

They take the place of click's own, which know neither words with ``=`` and ``:`` in them (``model:=check``), nor that
no blank follows a name that wants a value.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import click
from click.shell_completion import FishComplete, ShellComplete, ZshComplete, add_completion_class, split_arg_string

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.ui.lazy import COMPLETE

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROGRAM = "xrollout"
_UNFINISHED = ("=", ",")
"""A word that ends like this goes on."""

_BASH = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            more) compopt -o nospace; COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_CWORD="$2" %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_ZSH = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local -a response plain abouts shown more bare
    local type value about
    local -i width=0 each
    (( ! $+commands[%(prog_name)s] )) && return 1
    local -x COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1))
    response=("${(@f)$(%(complete_var)s=zsh_complete %(prog_name)s)}")
    for type value about in ${response}; do
        case $type in
            dir) [[ $value == _ ]] || compset -P "${(b)value}"; _path_files -/ ;;
            file) [[ $value == _ ]] || compset -P "${(b)value}"; _path_files -f ;;
            more) more+=("$value") ;;
            plain) if [[ $about == _ ]]; then bare+=("$value"); else plain+=("$value"); abouts+=("$about"); fi ;;
        esac
    done
    for value in $plain; do (( $#value > width )) && width=$#value; done
    for (( each = 1; each <= $#plain; each++ )); do shown+=("${(r:width:)plain[each]}  $abouts[each]"); done
    (( $#plain )) && compadd -U -V %(prog_name)s -l -d shown -a plain
    (( $#more )) && compadd -U -V %(prog_name)s -S '' -a more
    (( $#bare )) && compadd -U -V %(prog_name)s -a bare
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""
_FISH = """\
function %(complete_func)s
    set -l word (commandline -ct)
    for line in (COMP_WORDS=(commandline -cp) COMP_CWORD="$word" %(complete_var)s=fish_complete %(prog_name)s)
        set -l item (string split -m 1 , -- $line)
        set -l path (string sub -s (math 1 + (string length -- "$item[2]")) -- "$word")
        switch $item[1]
            case dir
                printf '%%s\\n' $item[2](__fish_complete_directories "$path")
            case file
                printf '%%s\\n' $item[2](__fish_complete_path "$path")
            case more plain
                printf '%%s\\n' $item[2]
        end
    end
end
complete --no-files --keep-order --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Whole(ShellComplete):
    """Says the whole word, where click says what follows ``--option=``; of a path, what stands before it."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        for item in found:
            if item.type != "plain":
                item.value = incomplete.removesuffix(item.value)
                continue
            if equals and option.startswith("-"):
                item.value = f"{option}={item.value}"
            if item.value.endswith(_UNFINISHED):
                item.type = "more"
        return found

    def complete(self) -> str:
        try:
            return super().complete()
        except XRolloutError:
            return ""  # it is told when the command runs


class Bash(_Whole):
    """In bash a word ends at ``=`` and ``:``, and what stands before is not to be said again."""

    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = _BASH
    _before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        while words and "=" in words[0]:  # of the environment
            del words[0]
        incomplete = "" if line[-1:].isspace() else words.pop()
        last = os.environ["COMP_CWORD"]
        self._before = incomplete.removesuffix(last) if incomplete.endswith(last) else ""
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return f"{item.type},{item.value.removeprefix(self._before)}"


class Zsh(_Whole, ZshComplete):
    """In zsh each item is three lines, of which none may be empty."""

    source_template: ClassVar[str] = _ZSH

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return f"{item.type}\n{item.value or '_'}\n{item.help or '_'}"


class Fish(_Whole, FishComplete):
    """In fish a tab stands between the word and what it is."""

    source_template: ClassVar[str] = _FISH

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return f"{item.type},{item.value}" + (f"\t{item.help}" if item.help else "")


_ALL: tuple[type[ShellComplete], ...] = (Bash, Zsh, Fish)


def register() -> None:
    """Let click use these."""
    for each in _ALL:
        add_completion_class(each)


def script(shell: str) -> str:
    """What a shell has to read, once."""
    [found] = [each for each in _ALL if each.name == shell]
    return found(click.Command(PROGRAM), {}, PROGRAM, COMPLETE).source()
