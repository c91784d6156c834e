"""What the tracker answers over HTTP: JSON, for whoever has the tracker's token; no person is named, not even by code.

`GET /health` needs no token. `GET /summary`: cases by status and how long they took. `GET
/cases?status=open,overdue`: the oldest first. `GET /cases/<municipality>/<notice>`: one case.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from infra.tracker.app import CaseTable
from infra.tracker.cases import listing, shown, summary
from infra.tracker.settings import TrackerSettings
from processors.tracking import CaseStatus

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CaseSite:
    """The handlers, over one table of cases."""

    def __init__(self, cases: CaseTable, settings: TrackerSettings) -> None:
        self._cases = cases
        self._list_max = settings.list_max
        self._overdue_after_ms = round(settings.overdue_after_s * 1000)

    def routes(self) -> list[web.RouteDef]:
        """Where each handler stands."""
        return [
            web.get("/health", self.health),
            web.get("/summary", self.summary),
            web.get("/cases", self.cases),
            web.get("/cases/{municipality}/{notice}", self.case),
        ]

    async def health(self, _: web.Request) -> web.Response:
        """Alive."""
        return web.json_response({"status": "up"})

    async def summary(self, _: web.Request) -> web.Response:
        """Cases by status, parts, seconds from hand-over to the last store."""
        return web.json_response(summary(self._cases.all(), _now_ms(), self._overdue_after_ms))

    async def cases(self, request: web.Request) -> web.Response:
        """The oldest cases of the statuses asked for; 400 for an unknown status."""
        asked = request.query.get("status", "open,overdue").split(",")
        try:
            wanted = [CaseStatus(name) for name in asked]
        except ValueError:
            known = ", ".join(CaseStatus)
            return web.json_response({"error": f"status is one or more of {known}"}, status=400)
        found = listing(self._cases.all(), wanted, self._list_max, _now_ms(), self._overdue_after_ms)
        return web.json_response(found)

    async def case(self, request: web.Request) -> web.Response:
        """One case; 404 where none has that number."""
        row = self._cases.row(f"{request.match_info['municipality']}/{request.match_info['notice']}")
        if row is None:
            return web.json_response({"error": "no such case"}, status=404)
        return web.json_response(shown(row, _now_ms(), self._overdue_after_ms))


def site(cases: CaseTable, settings: TrackerSettings, token: str) -> web.Application:
    """The HTTP application; everything but `/health` asks for `Authorization: Bearer <token>`."""

    @web.middleware
    async def bearer(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.path != "/health" and not hmac.compare_digest(given.encode(), token.encode()):
            return web.json_response({"error": "the tracker's token is needed"}, status=401)
        return await handler(request)

    application = web.Application(middlewares=[bearer])
    application.add_routes(CaseSite(cases, settings).routes())
    return application


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
