"""The fair peer: what one would write instead of five services. FastAPI, asyncpg, one transaction per sale."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import make_asgi_app
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tests.bench.monolith.documents import SaleReply, SaleRequest
from tests.bench.monolith.people import Doorkeeper, NotSignedIn, Person
from tests.bench.monolith.selling import Refused, Session, Till
from tests.bench.monolith.telling import Telling, current_trace_id, tracing
from venus_kit.sql import Queries


class Settings(BaseSettings):
    """What the process is told."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="MONOLITH_", populate_by_name=True)

    port: int
    database_url: str
    connections: int = 16
    issuers_file: Path = Field(validation_alias="VENUS_ISSUERS_FILE")
    trace_ratio: float = Field(validation_alias="VENUS_TRACE_RATIO")
    otlp_endpoint: str = Field(default="", validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")


def make_app(settings: Settings) -> FastAPI:
    """The app, with its pool from start to end."""
    provider = tracing(settings.otlp_endpoint, settings.trace_ratio)
    doorkeeper = Doorkeeper(settings.issuers_file)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(
            settings.database_url, min_size=1, max_size=settings.connections, connection_class=Session
        ) as pool:
            app.state.till = Till(pool, Queries.load("tests.bench.monolith"))
            yield
        provider.shutdown()

    app = FastAPI(title="monolith", lifespan=lifespan)
    app.add_middleware(Telling, tracer=provider.get_tracer("monolith"))
    app.mount("/metrics", make_asgi_app())
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(NotSignedIn, _not_signed_in)

    async def signed_in(request: Request) -> Person:
        return doorkeeper.person(request.headers.get("authorization", ""))

    @app.post("/v1/stores/{store_id}/sales", response_model=SaleReply)
    async def create_sale(
        store_id: int, order: SaleRequest, person: Annotated[Person, Depends(signed_in)], request: Request
    ) -> Response:
        if not person.may_sell_in(store_id):
            raise Refused("STORE_NOT_FOUND")
        reply = await request.app.state.till.sell(store_id, order, person.subject, current_trace_id())
        # serialised here: the framework would validate what was just made once more
        return Response(reply.model_dump_json(by_alias=True), media_type="application/json")

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ok"}

    return app


async def _refused(_request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": {"status": "FAILED_PRECONDITION", "reason": error.reason}}, 400)


async def _not_signed_in(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"error": {"status": "UNAUTHENTICATED"}}, 401)
