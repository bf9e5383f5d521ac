"""Serves the dashboard until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nicegui import app, background_tasks, ui
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.cycle.jobs import COMPARISON
from xrollout_ros.cycle.place import CYCLES
from xrollout_ros.ui.compare_output import PAGE as COMPARISON_PAGE
from xrollout_ros.ui.cycle_page import DEPLOYMENT, FACTS, PAGE
from xrollout_ros.ui.dashboard.access import ROLE, Access, Guard
from xrollout_ros.ui.dashboard.commands import Question
from xrollout_ros.ui.dashboard.cycle import REPORTS, CyclePage
from xrollout_ros.ui.dashboard.cycles import Cycles
from xrollout_ros.ui.dashboard.data import data_page
from xrollout_ros.ui.dashboard.episode import episode_page
from xrollout_ros.ui.dashboard.failures import failures_page
from xrollout_ros.ui.dashboard.live import Live, Pictures
from xrollout_ros.ui.dashboard.now import CAMERA, NowPage
from xrollout_ros.ui.review_viewer import Viewer

HOST = "127.0.0.1"
_SERVED = (PAGE, FACTS, f"{COMPARISON}/{COMPARISON_PAGE}", f"{DEPLOYMENT}/{PAGE}")
"""Files of a cycle that are served."""
PICTURE_S, _LOOK_S = 0.1, 0.02
_BOUNDARY = "picture"
_STREAM = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"


class _Gone(logging.Filter):
    """Drops what Starlette's middleware makes of somebody who goes on to another page before this one is made."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, RuntimeError) and str(error) == "No response returned.")


def check_port(host: str, port: int) -> None:
    """Make sure that the server can have its port.

    Raises:
        SpecError: somebody else has it.
    """
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise SpecError(
                f"port {port} of {host} cannot be used ({error.strerror})", "Give another one: --port 8643."
            ) from error


async def _when_open(port: int, ready: Callable[[], None]) -> None:
    """The server says that it starts a moment before it listens."""

    async def wait() -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(HOST, port)
                writer.close()
                ready()
                return
            await asyncio.sleep(_LOOK_S)

    background_tasks.create(wait(), name="when open")


async def _stream(pictures: Pictures, topic: str) -> AsyncIterator[bytes]:
    """Pictures one after another, for as long as somebody looks and they can be decoded."""
    known = 0
    with contextlib.suppress(DataError, KeyError), pictures.watching(topic):
        while True:
            picture, number = await asyncio.to_thread(pictures.picture, topic, known)
            if number != known:
                known = number
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                yield head.encode() + picture + b"\r\n"
            await asyncio.sleep(PICTURE_S)


@dataclass(frozen=True)
class Folders:
    """Where the pages find what lasts."""

    data: Path
    """Bags."""
    pyramid: Path
    flywheel: Path


def serve(live: Live, folders: Folders, access: Access, ready: Callable[[], None]) -> None:
    """Serve the pages to whoever has a token.

    Args:
        live: the graph.
        folders: what was recorded, and what came of it.
        access: the tokens.
        ready: called once pages can be opened.
    """

    @ui.page("/")
    def now(request: HttpRequest) -> None:
        NowPage(live, getattr(request.state, ROLE))

    findings, viewer = Question("mine", "--data", str(folders.data)), Viewer(folders.data, browser=False)

    @ui.page("/failures")
    def failures(request: HttpRequest) -> None:
        failures_page(findings, getattr(request.state, ROLE))

    @ui.page("/episode/{episode_id}")
    async def episode(episode_id: str, request: HttpRequest) -> None:
        await episode_page(episode_id, folders.data, viewer, getattr(request.state, ROLE))

    @ui.page("/data")
    def data(request: HttpRequest) -> None:
        data_page(folders.data, folders.pyramid, findings, viewer, getattr(request.state, ROLE))

    cycles = Cycles(folders.flywheel)

    @ui.page("/cycle")
    def cycle(request: HttpRequest) -> None:
        CyclePage(cycles, live, getattr(request.state, ROLE))

    @app.get(f"{REPORTS}/{{number:int}}/{{name:path}}")
    def report(number: int, name: str) -> Response:
        path = cycles.place.root / CYCLES / f"{number:03d}" / name
        if name not in _SERVED or not path.is_file():
            return PlainTextResponse(f"cycle {number} has no {name}", 404)
        return FileResponse(path)

    app.on_shutdown(viewer.close)

    @app.get(f"{CAMERA}/{{topic:path}}")
    def camera(topic: str) -> Response:
        topic = f"/{topic}"
        if topic not in live.pictures.topics():
            return PlainTextResponse(f"nobody publishes images on {topic}", 404)
        return StreamingResponse(_stream(live.pictures, topic), media_type=_STREAM)

    logging.getLogger("uvicorn.error").addFilter(_Gone())
    app.add_middleware(Guard, access=access)
    app.on_startup(partial(_when_open, access.port, ready))
    try:
        ui.run(
            host=HOST, port=access.port, title="XRollout", show=False, reload=False, show_welcome_message=False,
            uvicorn_logging_level="warning", dark=None, reconnect_timeout=10.0,
        )  # fmt: skip
    except KeyboardInterrupt:
        return
