"""`/healthz`: the process answers. `/readyz`: what it works with answers too. For monitors, without a token."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.frontends.api.service import Current


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """What it works with answers."""

    status: Literal["ready"] = "ready"


def router(current: Current) -> APIRouter:
    """The endpoints."""
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", operation_id="alive", summary="The process answers", openapi_extra={"security": []})
    def alive() -> Alive:
        return Alive()

    @routes.get("/readyz", operation_id="ready", summary="Its keys and its store answer",
                openapi_extra={"security": []})
    def ready() -> Ready:
        current.service.ready()
        return Ready()

    return routes
