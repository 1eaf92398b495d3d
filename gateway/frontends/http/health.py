"""`/healthz`: the process answers. `/readyz`: what it works with answers too."""

from fastapi import APIRouter

from gateway.frontends.http.service import Current


def router(current: Current) -> APIRouter:
    """The endpoints, for monitors."""
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", operation_id="alive", summary="The process answers")
    def alive() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/readyz", operation_id="ready", summary="The key, the clock and the store answer")
    def ready() -> dict[str, str]:
        current.service.ready()
        return {"status": "ready"}

    return routes
