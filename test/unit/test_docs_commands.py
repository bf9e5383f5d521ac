"""Every command that the documentation shows is one that the command line understands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.making.blocks import SHELL, Block, blocks, commands, is_walk, manner
from docs.making.lines import WrongLineError, check

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_CODE = re.compile(r"`((?:xrollout|ros2|make) [^`]+)`")
_TITLES = {"xrollout nursery"}
"""Names of processes, which look like commands."""
_OURS = re.compile(r"(\$ )?(xrollout|ros2|make) ")


def lines_of(block: Block) -> list[str]:
    """The command lines of a block; of one that names no language those that begin like ours."""
    found = list(commands(block.text))
    if block.language == SHELL:
        return found
    return [line.removeprefix("$ ") for line in found if _OURS.match(line)] if block.language == "" else []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_line_is_understood(page: Path) -> None:
    wrong = []
    for block in blocks(page):
        for line in lines_of(block):
            try:
                check(line.replace("[", "").replace("]", ""))
            except WrongLineError as error:
                wrong.append(f"{block.where}: {line}: {error}")
    for line in set(_CODE.findall(page.read_text(encoding="utf-8"))) - _TITLES:
        try:
            check(" ".join(line.split()).replace("[", "").replace("]", ""), whole=False)
        except WrongLineError as error:
            wrong.append(f"{page.name}: `{line}`: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("xrollout train --dat raw_rollouts", "No such option"),
        ("xrollout record --episodes many --task push", "not a valid integer"),
        ("xrollout record", "task is missing"),
        ("xrollout episodes shwo 01M7", "no command"),
        ("cd x && xrollout up deploy modell:=checkpoint.pt", "no argument"),
        ("xrollout up deplyo model:=checkpoint.pt", "is not one of"),
        ("ros2 launch xrollout deply.launch.py", "no launch file"),
        ("ros2 launch xrollout deploy.launch.py modell:=x", "no argument"),
        ("ros2 topic echo /xrollout/supervisor/stat", "no topic"),
        ("ros2 service call /xrollout/load_polcy xrollout/srv/LoadPolicy", "no service"),
        ("ros2 service call /xrollout/load_policy xrollout/srv/LoadPolcy", "no type"),
        ("make demos", "no target"),
        ("xrollout mine | xrollout querry", "no command"),
    ],
)
def test_what_would_be_refused_is_found(line: str, problem: str) -> None:
    with pytest.raises(WrongLineError, match=problem):
        check(line)


def test_what_stands_round_a_command_does_no_harm() -> None:
    check("FOO=1 xrollout doctor --json | jq '.findings[] | select(.level == \"error\")' > out.json  # xrollout no")


def test_walked_pages_say_how_each_block_is_run() -> None:
    walked = [page for page in PAGES if is_walk(page)]
    assert {page.name for page in walked} >= {"install.md", "first_hour.md", "take_over.md", "close_the_loop.md"}
    for page in walked:
        for block in blocks(page):
            manner(block)


def test_notes_are_read_from_comments_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n<!-- walk -->\n\n<!-- skip: no robot is here -->\n```bash\nxrollout init\n```\n\n"
        '<!-- run: keys " " after "ready" pause 2 within 5 exit 2 -->\n```bash\n'
        "cat <<'END'\n# no comment\nEND\nls \\\n  -l\n```\n"
        "\n<!-- stop -->\n"
    )
    first, second, last = blocks(page)
    assert (first.skip, second.skip, [note.kind for note in last.notes]) == ("no robot is here", "", ["stop"])
    how = manner(second)
    assert (how.keys, how.within_s, how.exit_codes, how.background_until) == ([(" ", "ready", 2.0)], 5.0, {2}, None)
    assert list(commands(second.text)) == ["cat <<'END'", "ls    -l"]


def test_a_note_that_says_nothing_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- run: quickly -->\n```bash\nls\n```\n")
    with pytest.raises(ValueError, match="'quickly' says nothing"):
        manner(blocks(page)[0])
