"""Who may look at the dashboard, and who may act."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from xrollout_ros.ui.dashboard.access import ROLE, Access, Guard, Role

PORT = 8642
HOST = f"127.0.0.1:{PORT}"


def token(access: Access, role: Role) -> str:
    return parse_qs(urlsplit(access.link(role)).query)["token"][0]


def ask(access: Access, kind: str = "http", method: str = "GET", query: str = "", **headers: str) -> tuple[Any, Any]:
    """What the guard sends, and the role with which a request gets through."""
    sent: list[dict[str, Any]] = []
    through: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        through.append(scope.get("state", {}).get(ROLE))

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    given = {"host": HOST, **headers}
    scope = {
        "type": kind, "method": method, "path": "/failures", "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    asyncio.run(Guard(app, access)(scope, receive, send))
    return sent, through


@pytest.mark.parametrize("role", list(Role))
def test_a_link_becomes_a_cookie_and_the_cookie_a_role(role: Role) -> None:
    access = Access(PORT)
    sent, through = ask(access, query=f"token={token(access, role)}")
    assert not through
    headers = dict(sent[0]["headers"])
    assert (sent[0]["status"], headers[b"location"]) == (303, b"/failures"), "the address keeps no token"
    cookie = headers[b"set-cookie"].decode()
    assert "HttpOnly" in cookie
    assert "SameSite" in cookie
    for kind in ("http", "websocket"):
        assert ask(access, kind, cookie=cookie.split(";")[0], origin=f"http://{HOST}")[1] == [role]


def test_whoever_has_no_token_is_told_where_to_get_one() -> None:
    access = Access(PORT)
    other = token(Access(PORT), Role.ACT)
    for given in ({}, {"query": "token=x"}, {"query": f"token={other}"}, {"cookie": f"xrollout_{PORT}={other}"}):
        sent, through = ask(access, **given)  # type: ignore[arg-type]
        assert not through
        assert sent[0]["status"] == 403
        assert b"monitor --dashboard" in sent[1]["body"]
    sent, through = ask(access, "websocket", origin=f"http://{HOST}")
    assert not through
    assert sent[0]["type"] == "websocket.close"


@pytest.mark.parametrize(
    ("kind", "method", "origin"),
    [
        ("websocket", "GET", "http://evil.example"),
        ("websocket", "GET", ""),
        ("websocket", "GET", "https://" + HOST),
        ("websocket", "GET", "http://127.0.0.1:1"),
        ("http", "POST", "http://evil.example"),
        ("http", "POST", ""),
        ("http", "GET", "http://evil.example"),
    ],
)
def test_pages_of_others_do_nothing_even_with_the_cookie(kind: str, method: str, origin: str) -> None:
    access = Access(PORT)
    cookie = f"xrollout_{PORT}={token(access, Role.ACT)}"
    given = {"origin": origin} if origin else {}
    sent, through = ask(access, kind, method, cookie=cookie, **given)
    assert not through
    assert sent[0].get("status", 403) == 403


def test_a_name_that_somebody_has_resolved_to_this_machine_is_refused() -> None:
    access = Access(PORT, hosts=("robot.lab",))
    cookie = f"xrollout_{PORT}={token(access, Role.ACT)}"
    for host in (f"evil.example:{PORT}", "127.0.0.1:1", "127.0.0.1", ""):
        sent, through = ask(access, cookie=cookie, host=host)
        assert not through
        assert sent[0]["status"] == 421
    for host in (HOST, f"localhost:{PORT}", f"robot.lab:{PORT}"):
        assert ask(access, cookie=cookie, host=host)[1] == [Role.ACT]


def test_what_is_refused_is_shown_as_text() -> None:
    sent, _ = ask(Access(PORT), host="<script>")
    assert b"<script>" not in sent[1]["body"]
