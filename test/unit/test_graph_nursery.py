"""Processes made by a fork: they are as if they had been started, and how they end is known."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("setproctitle")

from xrollout_ros.graph.nursery import NodeProcess, Nursery, made_by

ROOT = Path(__file__).resolve().parents[2]
CHILD = "test.unit.nursery_child"


@asynccontextmanager
async def nursery(*modules: str, on_gone: Callable[[], None] = lambda: None) -> AsyncIterator[Nursery]:
    made = Nursery([CHILD, *modules], {**os.environ, "PYTHONPATH": str(ROOT)}, on_gone)
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


def test_where_the_nursery_is_killed_processes_go_on_until_they_are_told_and_their_end_is_known() -> None:
    async def run() -> None:
        gone = asyncio.Event()
        async with nursery(on_gone=gone.set) as made:
            node, other = await made.born("one", CHILD, ["wait"]), await made.born("two", CHILD, ["wait"])
            assert await node.output.readline() == b"waiting\n"
            there = made_by(os.getpid())
            assert (there["one"], there["two"]) == (node.pid, other.pid)
            os.kill(there["nursery"], signal.SIGKILL)
            await asyncio.wait_for(gone.wait(), 30)
            assert node.returncode is None
            for each in (node, other):
                os.killpg(each.pid, signal.SIGKILL)
                await asyncio.wait_for(each.wait(), 30)
            assert await output(node) == "", "the end of what it writes"
            with pytest.raises(ChildProcessError, match="the process that makes the nodes has ended"):
                await made.born("two", CHILD, ["tell", ""])

    asyncio.run(run())
