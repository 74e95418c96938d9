"""The status page's addresses, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from node.errors import LedgerReadError
from node.metrics import Metrics
from node.status_page.snapshot import StatusSource

_HEADERS = {
    # No script at all; the one style sheet is ours.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_TEMPLATES = Path(__file__).parent / "templates"


def build_app(source: StatusSource, metrics: Metrics) -> Starlette:
    """Make the application.

    Handlers are plain functions: they read the ledger, and Starlette runs those in threads.
    """
    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    templates.filters["age"] = age

    def page(request: Request) -> Response:
        return HTMLResponse(templates.get_template("status.html").render(source.snapshot()))

    def style(request: Request) -> Response:
        return Response((_TEMPLATES / "status.css").read_text(), media_type="text/css")

    def status_json(request: Request) -> Response:
        return JSONResponse(source.snapshot())

    def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(request: Request) -> Response:
        problems = source.problems()
        body = {"ready": not problems, "problems": problems}
        return JSONResponse(body, status_code=503 if problems else 200)

    def metrics_page(request: Request) -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            _route("/", page),
            _route("/status.css", style),
            _route("/status.json", status_json),
            _route("/healthz", healthz),
            _route("/readyz", readyz),
            _route("/metrics", metrics_page),
        ],
        exception_handlers={LedgerReadError: _unreadable},
    )


def _unreadable(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error} See /readyz.\n", status_code=503, headers=_HEADERS)


def age(seconds: float | None) -> str:
    """A duration for people, in its two largest units: ``2 h 5 min``."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    parts = [
        (whole // 86400, "d"),
        (whole // 3600 % 24, "h"),
        (whole // 60 % 60, "min"),
        (whole % 60, "s"),
    ]
    first = next((i for i, (number, _) in enumerate(parts) if number), len(parts) - 1)
    shown = parts[first : first + 2]
    return " ".join(f"{number} {unit}" for number, unit in shown if number or unit == shown[0][1])


def _route(path: str, answer: Callable[[Request], Response]) -> Route:
    def with_headers(request: Request) -> Response:
        response = answer(request)
        response.headers.update(_HEADERS)
        return response

    return Route(path, with_headers, methods=["GET"])
