"""A few minutes of the soak; `make soak` is the whole of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.graph, pytest.mark.soak, pytest.mark.timeout(600)]
SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def test_random_faults_make_nothing_happen_that_must_not(ros_domain: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, str(SOAK), "--minutes", "4", "--seed", "7", "--data", str(tmp_path / "soak")]
    done = subprocess.run(command, env=ros_domain, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| unsafe commands | 0 | 0 |" in done.stdout
