"""How the commands of a page are run: what the walk of the documentation rests on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..docs.walking import Tally, walk

BASH = "```bash\n{}\n```\n"


def follow(folder: Path, text: str) -> Tally:
    """Walk a page of this text."""
    page, tally = folder / "page.md", Tally()
    page.write_text(text)
    with walk(folder, dict(os.environ), tally) as walking:
        walking.page(page)
    return tally


def test_one_block_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    text = BASH.format("mkdir here && cd here\nexport WORD='two words'") + BASH.format('echo "$WORD" > said')
    assert follow(tmp_path, text).ran == 3
    assert (tmp_path / "here" / "said").read_text() == "two words\n"


def test_a_page_begins_anew(tmp_path: Path) -> None:
    follow(tmp_path, BASH.format("export WORD=left; mkdir here; cd here"))
    follow(tmp_path, BASH.format('[ -z "$WORD" ]; touch there'))
    assert (tmp_path / "there").exists()


def test_a_command_that_fails_ends_the_walk_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"page.md:3 ended with 3, not \{0\}:\nwhy"):
        follow(tmp_path, "text\n\n" + BASH.format("echo why\n(exit 3)\ntouch never"))
    assert not (tmp_path / "never").exists()
    assert follow(tmp_path, '<!-- run: exit "2 3" -->\n' + BASH.format("exit 3")).ran == 1


def test_what_is_left_out_is_counted_with_its_reason(tmp_path: Path) -> None:
    tally = follow(tmp_path, "<!-- skip: no arm is here -->\n" + BASH.format("move\nmove again") + "```\nmove\n```\n")
    assert (tally.ran, tally.skipped) == (0, [("page.md:2", 2, "no arm is here")])


def test_names_are_bound_to_texts_and_answers(tmp_path: Path) -> None:
    text = "<!-- bind: 01M7 = abc -->\n<!-- bind: LATEST = $(echo 01M7-1) -->\n" + BASH.format("touch LATEST")
    follow(tmp_path, text)
    assert (tmp_path / "abc-1").exists()


def test_files_and_python_of_a_page(tmp_path: Path) -> None:
    text = "<!-- file: a.json -->\n```json\n[1, 2]\n```\n"
    text += "```python\nimport json\nopen('b', 'w').write(str(json.load(open('a.json'))))\n```\n"
    assert follow(tmp_path, text).ran == 1
    assert (tmp_path / "b").read_text() == "[1, 2]"


def test_keys_are_typed_when_a_terminal_asks(tmp_path: Path) -> None:
    asks = "test -t 0\nprintf 'name? '\nread -n 1 name\necho $name > answer"
    follow(tmp_path, '<!-- run: keys "x" after "name?" pause 0 within 20 -->\n' + BASH.format(asks))
    assert (tmp_path / "answer").read_text() == "x\n"


def test_what_runs_beside_ends_by_ctrl_c(tmp_path: Path) -> None:
    serve = "trap 'touch ended; exit 0' INT\necho ready\nwhile true; do sleep 0.1; done"
    text = '<!-- run: background until "ready" within 20 -->\n' + BASH.format(serve) + BASH.format("[ ! -e ended ]")
    follow(tmp_path, text + "<!-- stop -->\n" + BASH.format("[ -e ended ]"))


def test_what_does_not_come_or_end_in_time_leaves_nothing_behind(tmp_path: Path) -> None:
    serve = "echo $$ > pid\nsleep 60"
    with pytest.raises(AssertionError, match=r"'ready' did not come within 0.5 s"):
        follow(tmp_path, '<!-- run: background until "ready" within 0.5 -->\n' + BASH.format(serve))
    with pytest.raises(AssertionError, match=r"did not end within 0.5 s"):
        follow(tmp_path, "<!-- run: within 0.5 -->\n" + BASH.format(serve))
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
