"""What runs a graph or trains prints one JSON document, and all that the graph says goes to standard error."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import COMMAND

pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]


def test_from_a_demonstration_to_a_deployment(ros_domain: dict[str, str], tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[Any, str]:
        command = [*COMMAND, *arguments, "--json"]
        done = subprocess.run(command, env=ros_domain, capture_output=True, text=True, cwd=tmp_path, timeout=90)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    recorded, said = run("record", "--task", "pick_and_place", "--episodes", "1", "--data", "bags")
    assert "demonstrated from nominal starts" in said
    assert recorded["report"]["run"] == recorded["run"]
    assert [each["outcome"] for each in recorded["report"]["attempts"]] == ["success"]
    trained, _ = run("train", "--data", "bags", "--epochs", "1", "--output", "checkpoint.pt")
    assert (trained["checkpoint"], trained["episodes"], trained["epochs"]) == ("checkpoint.pt", 1, 1)
    deployed, said = run("up", "deploy", "model:=checkpoint.pt", "episodes:=1", "data:=bags")
    assert "[manager]" in said
    assert (deployed["graph"], len(deployed["report"]["attempts"])) == ("deploy", 1)
    assert [Path(page).is_file() for page in deployed["pages"]] == [True]
    report, _ = run("report", deployed["run"], "--data", "bags")
    assert report["attempts"] == deployed["report"]["attempts"]
