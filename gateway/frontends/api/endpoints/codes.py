"""`/v1/codes`: a code by sealed mail, and its life. No answer has the code in it: only the customer's mailbox does."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from gateway.errors import Reason
from gateway.frontends.api.bodies import Body, body_of
from gateway.frontends.api.callers import permitted
from gateway.frontends.api.concurrency_limit import ConcurrencyLimit
from gateway.frontends.api.description import asks, key_parameter
from gateway.frontends.api.idempotency import idempotent
from gateway.frontends.api.memory_release import clearing_stack
from gateway.frontends.api.service import Current
from gateway.frontends.api.shapes import (
    CODE_ID,
    Again,
    CodeIssued,
    CodeOrder,
    CodeShown,
    Verification,
    Verified,
    transaction_of,
)
from gateway.frontends.http.problems import ProblemError, of_reason
from gateway.services.codes.issue_and_verify import Codes

SENDING_MAX: Final = 32  # of the framework's 40 threads: a next hop that hangs never holds up who tries a code
VERDICT_KEPT: Final = timedelta(hours=24)
Id = Annotated[str, Path(pattern=CODE_ID, description="As POST /v1/codes answered it")]
_PAID: Final = {"amount": "1234.50", "currency": "EUR", "payee": "Stadtwerke Musterstadt",
                "account": "DE89 3704 0044 0532 0130 00"}


def router(current: Current) -> APIRouter:
    """The endpoints."""
    routes = APIRouter(tags=["codes"])
    client = Depends(permitted("codes", lambda: current.service.callers))
    sending = ConcurrencyLimit(SENDING_MAX)

    def codes() -> Codes:
        if current.service.codes is None:
            raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN))
        return current.service.codes

    @routes.post("/codes", operation_id="issue", status_code=201, response_model=CodeIssued,
                 summary="Send a new code to a customer",
                 openapi_extra={**asks(CodeOrder, {
                     "customer": "10001", "purpose": "payment", "transaction": _PAID, "language": "de"}),
                     "parameters": [key_parameter(required=True)]})
    @clearing_stack
    def issue(request: Request, client: Annotated[str, client],
              body: Annotated[Body[CodeOrder], Depends(body_of(CodeOrder))]) -> Response:
        """Returns once the next mail server has the sealed mail, to all enrolled addresses of the customer.

        No usable certificate, no code: the response states the reason, and the caller may use another channel. If the
        mail cannot leave now, the answer is 503 with Retry-After, and the code is cancelled.
        """
        desk = codes()
        with sending, current.service.urgent():
            return idempotent(current.service, request, client, body.canonical,
                        lambda: CodeIssued.of(desk.issue(client, body.value.order())), status=201)

    @routes.get("/codes/{code_id}", operation_id="show", summary="Show a code")
    def show(code_id: Id, client: Annotated[str, client]) -> CodeShown:
        return CodeShown.of(codes().show(client, code_id))

    @routes.post("/codes/{code_id}/verify", operation_id="verify", summary="Verify a code",
                 response_model=Verified,
                 openapi_extra={**asks(Verification, {"code": "12345678", "transaction": _PAID}),
                                "parameters": [key_parameter(required=False)]})
    @clearing_stack
    def verify(code_id: Id, request: Request, client: Annotated[str, client],
               body: Annotated[Body[Verification], Depends(body_of(Verification))]) -> Response:
        """One try of a few, counted before it is compared; a valid code is used by it.

        Repeat it with the same Idempotency-Key only: for 24 hours that returns the first answer and is no try.

        The transaction is the one that is about to be carried out, as the bank has it now: if its amount or its payee
        is another than the customer was shown, no code is valid for it.
        """
        desk, asked = codes(), body.value
        with current.service.urgent():
            return idempotent(
                current.service, request, client, body.canonical,
                lambda: Verified.of(desk.verify(client, code_id, asked.code, transaction_of(asked.transaction))),
                status=200, required=False, kept=VERDICT_KEPT)

    @routes.post("/codes/{code_id}/resend", operation_id="resend", response_model=CodeIssued,
                 summary="Send the same code again",
                 openapi_extra={**asks(Again, {"transaction": _PAID}), "parameters": [key_parameter(required=False)]})
    @clearing_stack
    def resend(code_id: Id, request: Request, client: Annotated[str, client],
               body: Annotated[Body[Again], Depends(body_of(Again))]) -> Response:
        """It lives no longer by that. Where the mail cannot leave now the code lives on."""
        desk, asked = codes(), body.value
        with sending, current.service.urgent():
            return idempotent(current.service, request, client, body.canonical,
                        lambda: CodeIssued.of(desk.resend(client, code_id, transaction_of(asked.transaction))),
                        status=200, required=False)

    @routes.post("/codes/{code_id}/cancel", operation_id="cancel", summary="Cancel a code")
    def cancel(code_id: Id, client: Annotated[str, client]) -> CodeShown:
        """A code that does not live any more stays what it was."""
        return CodeShown.of(codes().cancel(client, code_id))

    return routes
