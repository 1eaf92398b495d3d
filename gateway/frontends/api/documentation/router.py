"""The pages, and the style and script that they load. Without a token: they hold nothing of the bank's."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response

from gateway.frontends.api.documentation.problem_page import problem_page
from gateway.frontends.api.former_paths import PROBLEMS, VERSION

DOCS: Final = f"{VERSION}/docs"
_HERE: Final = Path(__file__).parent
_FILES: Final = {DOCS: ("page.html", "text/html"), f"{DOCS}/page.css": ("page.css", "text/css"),
                 f"{DOCS}/page.js": ("page.js", "text/javascript")}
PATHS: Final = frozenset({*_FILES, PROBLEMS})
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")


def router() -> APIRouter:
    """The endpoints; they are not in the description."""
    routes = APIRouter(include_in_schema=False)

    def serve(path: str, content: str, form: str) -> None:
        routes.get(path, name=path)(_answer(content, form))

    for path, (name, form) in _FILES.items():
        serve(path, (_HERE / name).read_text("utf-8"), form)
    serve(PROBLEMS, problem_page(), "text/html")
    return routes


def _answer(content: str, form: str) -> Callable[[], Response]:
    def answer() -> Response:
        return Response(content, media_type=form, headers={"content-security-policy": POLICY})

    return answer
