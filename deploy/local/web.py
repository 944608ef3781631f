"""HTTP to a server on this machine, with nothing but the standard library; never through a proxy."""

import asyncio
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

Json = dict[str, Any]
_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        """The body as a JSON object, empty when it is none."""
        try:
            found = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return cast("Json", found) if isinstance(found, dict) else {}


async def ask(
    method: str, url: str, *, token: str = "", body: Mapping[str, Any] | None = None, timeout_s: float = _TIMEOUT_S
) -> Answer:
    """One request, in a thread. Errors: OSError or http.client.HTTPException when there is no answer."""
    return await asyncio.to_thread(_ask, method, url, token, body, timeout_s)


async def is_ready(url: str) -> bool:
    """Whether a server answers 200 there."""
    try:
        return (await ask("GET", url, timeout_s=2.0)).status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def _ask(method: str, url: str, token: str, body: Mapping[str, Any] | None, timeout_s: float) -> Answer:
    parts = urlsplit(url)
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        reply = connection.getresponse()
        return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        connection.close()
