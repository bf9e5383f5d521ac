"""Who may look at the dashboard and who may act: a token each, checked before anything else sees a request."""

from __future__ import annotations

import hmac
import html
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from enum import Enum
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
TOKEN = "token"
ROLE = "xrollout_role"
"""Where the guard leaves the role, in the scope's ``state``."""
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Role(str, Enum):
    """What whoever has a token may do."""

    READ = "read"
    ACT = "act"


class Access:
    """The tokens of one run.

    Args:
        port: of the server.
        hosts: names under which it is reached besides this machine's own; a request to another name is refused, since
            it comes from a page that had its own name resolved to this machine.
    """

    def __init__(self, port: int, hosts: tuple[str, ...] = ()) -> None:
        self.port = port
        self._hosts = {name.lower() for name in (*_LOOPBACK, *hosts)}
        self._tokens = {role: secrets.token_urlsafe(24) for role in (Role.ACT, Role.READ)}

    @property
    def cookie(self) -> str:
        """Its name: cookies know no ports, so each dashboard has its own."""
        return f"xrollout_{self.port}"

    def link(self, role: Role, host: str = "127.0.0.1") -> str:
        """Where somebody with this role begins."""
        return f"http://{host}:{self.port}/?{TOKEN}={self._tokens[role]}"

    def role_of(self, token: str) -> Role | None:
        """What a token is for; None: nothing."""
        given = token.encode()
        return next((role for role, own in self._tokens.items() if hmac.compare_digest(own.encode(), given)), None)

    def knows_host(self, host: str) -> bool:
        """Whether a ``Host`` header names this server."""
        name, _, port = host.lower().rpartition(":")
        return name in self._hosts and port == str(self.port)

    def knows_origin(self, origin: str) -> bool:
        """Whether an ``Origin`` header is a page of this server."""
        parts = urlsplit(origin)
        return parts.scheme == "http" and self.knows_host(parts.netloc)


class Guard:
    """ASGI middleware in front of everything, WebSockets too.

    A link's token becomes a cookie, so that it stays in no address bar and no history.
    """

    def __init__(self, app: App, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._access.knows_host(headers.get("host", "")):
            await _refuse(scope, send, 421, f"This server is not {headers.get('host', '')}.")
            return
        origin = headers.get("origin", "")
        acts = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if (origin or acts) and not self._access.knows_origin(origin):
            await _refuse(scope, send, 403, f"A page of {origin or 'nowhere'} may not do that here.")
            return
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        token = query.get(TOKEN, [""])[0]
        if scope["type"] == "http" and token and self._access.role_of(token) is not None:
            await self._welcome(scope, send, token)
            return
        role = self._access.role_of(_cookie(headers.get("cookie", ""), self._access.cookie))
        if role is None:
            await _refuse(scope, send, 403, "Open the link that `xrollout monitor --dashboard` has printed.")
            return
        scope.setdefault("state", {})[ROLE] = role
        await self._app(scope, receive, send)

    async def _welcome(self, scope: Message, send: Send, token: str) -> None:
        cookie = f"{self._access.cookie}={token}; Path=/; HttpOnly; SameSite=Lax"
        headers = [
            (b"location", scope["path"].encode()),
            (b"set-cookie", cookie.encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found is not None else ""


async def _refuse(scope: Message, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why[:120]})
        return
    body = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>XRollout</title><body style='font: 1.1rem system-ui; margin: 3rem; max-width: 40rem'>"
        f"<h1>XRollout</h1><p>{html.escape(why)}</p>"
    ).encode()
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
