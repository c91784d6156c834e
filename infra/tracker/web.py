"""The tracker's HTTP interface: JSON for clients with the tracker's token, without persons or their codes.

`GET /health` needs no token. `GET /summary` returns counts by status and durations. `GET /cases?status=open,overdue`
returns the oldest cases first. `GET /cases/<municipality>/<notice>` returns one case.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from infra.run.settings import TrackerSettings
from infra.tracker.app import CaseTable
from infra.tracker.cases import list_cases, public_view, summary
from processors.tracking import CaseStatus

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CaseSite:
    """The HTTP handlers for one table of cases."""

    def __init__(self, cases: CaseTable, settings: TrackerSettings) -> None:
        self._cases = cases
        self._list_max = settings.list_max
        self._overdue_after_ms = round(settings.overdue_after_s * 1000)

    def routes(self) -> list[web.RouteDef]:
        """Return the route of each handler."""
        return [
            web.get("/health", self.health),
            web.get("/summary", self.summary),
            web.get("/cases", self.cases),
            web.get("/cases/{municipality}/{notice}", self.case),
        ]

    async def health(self, _: web.Request) -> web.Response:
        """Answer that the tracker is up."""
        return web.json_response({"status": "up"})

    async def summary(self, _: web.Request) -> web.Response:
        """Answer with the summary of all cases."""
        return web.json_response(summary(self._cases.read_all(), _now_ms(), self._overdue_after_ms))

    async def cases(self, request: web.Request) -> web.Response:
        """Answer with the oldest cases of the requested statuses; 400 for an unknown status."""
        names = request.query.get("status", "open,overdue").split(",")
        try:
            wanted = [CaseStatus(name) for name in names]
        except ValueError:
            known = ", ".join(CaseStatus)
            return web.json_response(
                {"error": f"status must be one or more of {known}, separated by commas"}, status=400
            )
        listed = list_cases(self._cases.read_all(), wanted, self._list_max, _now_ms(), self._overdue_after_ms)
        return web.json_response(listed)

    async def case(self, request: web.Request) -> web.Response:
        """Answer with one case; 404 if there is none with this number."""
        row = self._cases.read_row(f"{request.match_info['municipality']}/{request.match_info['notice']}")
        if row is None:
            return web.json_response({"error": "no such case"}, status=404)
        return web.json_response(public_view(row, _now_ms(), self._overdue_after_ms))


def site(cases: CaseTable, settings: TrackerSettings, token: str) -> web.Application:
    """Return the HTTP application; every path but `/health` requires `Authorization: Bearer <token>`."""

    @web.middleware
    async def bearer(request: web.Request, handler: Handler) -> web.StreamResponse:
        presented = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.path != "/health" and not hmac.compare_digest(presented.encode(), token.encode()):
            return web.json_response({"error": "the tracker's token is missing or wrong"}, status=401)
        return await handler(request)

    application = web.Application(middlewares=[bearer])
    application.add_routes(CaseSite(cases, settings).routes())
    return application


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
