"""Processes made by a fork: they are as if they had been started, and how they end is known."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("setproctitle")

from xrollout_ros.graph.nursery import NodeProcess, Nursery

ROOT = Path(__file__).resolve().parents[2]
CHILD = "test.unit.nursery_child"


@asynccontextmanager
async def nursery(*modules: str) -> AsyncIterator[Nursery]:
    made = Nursery([CHILD, *modules], {**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        yield made
    finally:
        await made.close()


async def output(node: NodeProcess) -> str:
    return (await asyncio.wait_for(node.output.read(), 30)).decode()


def test_a_process_has_its_arguments_its_session_its_output_and_its_status() -> None:
    async def run() -> None:
        async with nursery("no.such.module") as made:
            long = "x" * 400_000
            one, two = await made.born("one", CHILD, ["tell", long]), await made.born("two", CHILD, ["fail"])
            assert (await output(one)).splitlines() == ["400000 True ''", "complaint"]
            assert await one.wait() == 3
            assert "RuntimeError: out of order" in await output(two)
            assert await two.wait() == 1

    asyncio.run(run())


def test_a_process_is_known_by_its_name_and_killed_alone() -> None:
    async def run() -> None:
        async with nursery() as made:
            one, two = [await made.born(name, CHILD, ["wait"]) for name in ("one", "two")]
            for node, name in ((one, "one"), (two, "two")):
                assert await node.output.readline() == b"waiting\n"
                title = Path(f"/proc/{node.pid}/cmdline").read_bytes()
                assert title.rstrip(b"\0") == f"xrollout {name}".encode()
            os.killpg(one.pid, signal.SIGKILL)
            assert await one.wait() == -signal.SIGKILL
            assert two.returncode is None
            os.killpg(two.pid, signal.SIGTERM)
            assert await two.wait() == -signal.SIGTERM

    asyncio.run(run())


def test_a_killed_nursery_leaves_no_process_behind() -> None:
    async def run() -> None:
        async with nursery() as made:
            node = await made.born("one", CHILD, ["wait"])
            assert await node.output.readline() == b"waiting\n"
            parent = int(Path(f"/proc/{node.pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
            os.kill(parent, signal.SIGKILL)
            assert await asyncio.wait_for(node.wait(), 30) == -signal.SIGKILL
            assert await output(node) == "", "the end of what it writes"
            with pytest.raises(ChildProcessError, match="the process that makes the nodes has ended"):
                await made.born("two", CHILD, ["tell", ""])

    asyncio.run(run())
