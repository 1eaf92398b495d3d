"""The JSON of codes: requests with every limit, answers without a code. Strict: nothing is converted, nothing ignored.

The service itself checks what JSON Schema cannot express, with INPUT_MALFORMED: that names are printable.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag
from pydantic.config import JsonDict

from gateway.errors import GatewayError, Reason
from gateway.ports.services.codes import CodeState
from gateway.services.codes import transaction as linked
from gateway.services.codes.order import Issued, Order, Shown, Verdict

CODE_ID: Final = "^[0-9a-f]{24}$"
CUSTOMER: Final = "^[!-~]{1,64}$"

Amount = Annotated[str, Field(
    pattern=r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?$", examples=["1234.50"],
    description="Decimal, with a point; more than nothing, and at most the digits that ISO 4217 has for the currency")]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", examples=["EUR"], description="ISO 4217",
                                json_schema_extra={"enum": list(linked.currencies())})]
# What the service rejects in a text (`transaction`), as far as a pattern of ECMA-262 without the flag `u` expresses it:
# controls, marks of direction, invisible characters, private use. Not covered: characters that Unicode does not
# have yet, those beyond U+FFFF, rows of more than eight combining marks.
_UNSEEN: Final = (
    r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    r"\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ue000-\uf8ff\ufeff\uffa0"
    r"\ufff0-\ufffb\ufffe\uffff")
_BLANK: Final = r"\x09-\x0d\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
VISIBLE: Final = f"^[^{_UNSEEN}]*[^{_UNSEEN}{_BLANK}][^{_UNSEEN}]*$"  # at least one character that is no blank
_VISIBLE: Final[JsonDict] = {"pattern": VISIBLE}

Name = Annotated[str, Field(min_length=1, max_length=linked.NAME_CHARACTERS_MAX, examples=["Stadtwerke Musterstadt"],
                            json_schema_extra=_VISIBLE,
                            description="Printable, and to be seen; double blanks and those at the ends do not count")]
Account = Annotated[str, Field(
    min_length=1, max_length=linked.ACCOUNT_CHARACTERS_MAX, examples=["DE89 3704 0044 0532 0130 00"],
    json_schema_extra=_VISIBLE, description="IBAN or what the bank has for it; blanks and case do not count")]


def amounts(digits: int) -> str:
    """The pattern of amounts of a currency with so many digits behind the point; of two: 0.01 to 9999999999999.99."""
    whole = f"[1-9][0-9]{{0,{linked.MINOR_DIGITS_MAX - digits - 1}}}"
    if not digits:
        return f"^{whole}$"
    less = "|".join(f"{'0' * noughts}[1-9][0-9]{{0,{digits - noughts - 1}}}" for noughts in range(digits))
    return f"^({whole}(\\.[0-9]{{1,{digits}}})?|0\\.({less}))$"


def _linked(amount: str) -> JsonDict:
    """What an object has besides, as JSON Schema: the digits of `amount` hang on its currency."""
    by_digits: dict[int, list[JsonValue]] = {}
    for currency in linked.currencies():
        by_digits.setdefault(linked.minor_digits(currency), []).append(currency)
    return {"allOf": [{"if": {"properties": {"currency": {"enum": some}}},
                       "then": {"properties": {amount: {"pattern": amounts(digits)}}}}
                      for digits, some in sorted(by_digits.items())]}


def _money(amount: str, currency: str) -> linked.Money:
    """INPUT_MALFORMED as the schema says it."""
    if currency in linked.currencies() and not re.fullmatch(amounts(linked.minor_digits(currency)), amount):
        raise GatewayError(Reason.INPUT_MALFORMED, "amount: other digits than the currency has, or nothing")
    return linked.Money.of(amount, currency)


class _Shape(BaseModel):
    # pydantic keeps the strings of JSON for the next one that has the same: codes and accounts are not to be kept.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, cache_strings="none")

    def __repr_args__(self) -> Any:
        """Nothing of a request reaches a log by accident."""
        return ()


class Payee(_Shape):
    """Who is paid in a batch. Each payee has an amount, or none has; the amounts add up to the total."""

    name: Name
    account: Account
    amount: Amount | None = None


class Payment(_Shape):
    """One payment: EU 2018/389 Article 5 (1)(b)."""

    model_config = ConfigDict(json_schema_extra=_linked("amount"))

    amount: Amount
    currency: Currency
    payee: Name
    account: Account

    def transaction(self) -> linked.Transaction:
        """INPUT_MALFORMED for what the schema cannot say."""
        return linked.Payment(_money(self.amount, self.currency), linked.Payee.of(self.payee, self.account))


class Batch(_Shape):
    """Several payments at once: EU 2018/389 Article 5 (3)(b)."""

    model_config = ConfigDict(json_schema_extra=_linked("total"))

    total: Amount
    currency: Currency
    payees: tuple[Payee, ...] = Field(min_length=1, max_length=linked.PAYEES_MAX)

    def transaction(self) -> linked.Transaction:
        """INPUT_MALFORMED for what the schema cannot say."""
        return linked.Batch.of(_money(self.total, self.currency),
                               [self._payee(one) for one in self.payees])

    def _payee(self, one: Payee) -> linked.Payee:
        return linked.Payee.of(one.name, one.account, None if one.amount is None else _money(one.amount, self.currency))


def _which(value: Any) -> str:
    return "<batch>" if isinstance(value, dict) and not {"total", "payees"}.isdisjoint(value) else "<payment>"


Linked = Annotated[
    Annotated[Payment, Tag("<payment>")] | Annotated[Batch, Tag("<batch>")], Discriminator(_which)]
TransactionField = Annotated[Linked | None, Field(description="What the code is good for; without it, for no payment")]


class CodeOrder(_Shape):
    """A code, please."""

    customer: str = Field(pattern=CUSTOMER, examples=["10001"], description="The customer's number")
    purpose: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,31}$", examples=["payment"],
                         description="Of one purpose and customer one code lives; a newer one takes its place")
    transaction: TransactionField = None
    digits: int | None = Field(None, ge=6, le=10, description="Unset: as the bank has it")
    life_s: int | None = Field(None, ge=30, le=3600, examples=[300],
                               description="Seconds; unset, or longer than the bank allows: as the bank has it")
    language: str | None = Field(None, pattern="^[a-z]{2,3}(-[A-Za-z]{2,4})?$", examples=["de"],
                                 description="Unset: as the bank has it. 400 if there are no texts in it")
    reference: str = Field("", pattern="^[ -~]{0,64}$", examples=["order-4711"],
                           description="The caller's own; comes back in answers and callbacks. No account number")

    def order(self) -> Order:
        """INPUT_MALFORMED for what the schema cannot say."""
        return Order(self.customer, self.purpose, transaction_of(self.transaction), self.digits, self.life_s,
                     self.language, self.reference)


class Verification(_Shape):
    """One try."""

    code: str = Field(pattern="^[0-9]{6,10}$", examples=["12345678"], description="As the customer entered it")
    transaction: TransactionField = None


class Again(_Shape):
    """Sends the same code again. The transaction is not stored, so the client repeats it."""

    transaction: TransactionField = None


class CodeIssued(BaseModel):
    """The next mail server has the mail. The code itself is in no answer."""

    id: str = Field(pattern=CODE_ID)
    state: CodeState
    expires_at: datetime
    digits: int
    recipients: int = Field(description="Addresses that it went to")
    resends_left: int

    @classmethod
    def of(cls, issued: Issued) -> "CodeIssued":
        """From the service's answer."""
        return cls(id=issued.id, state=issued.state, expires_at=issued.expires_at, digits=issued.digits,
                   recipients=issued.recipients, resends_left=issued.resends_left)


class CodeShown(BaseModel):
    """A code as its issuer may see it at any time."""

    id: str = Field(pattern=CODE_ID)
    customer: str
    purpose: str
    state: CodeState
    created_at: datetime
    expires_at: datetime
    digits: int
    tries_left: int
    resends_left: int
    reference: str

    @classmethod
    def of(cls, shown: Shown) -> "CodeShown":
        """From the service's answer."""
        return cls(id=shown.id, customer=shown.customer, purpose=shown.purpose, state=shown.state,
                   created_at=shown.created_at, expires_at=shown.expires_at, digits=shown.digits,
                   tries_left=shown.tries_left, resends_left=shown.resends_left, reference=shown.reference)


class Verified(BaseModel):
    """Of one try. The question was answered, so both answers have status 200: look at `valid`, not at the status."""

    valid: bool
    reason: Reason | None = Field(description="null exactly if it is valid")
    tries_left: int
    state: CodeState

    @classmethod
    def of(cls, verdict: Verdict) -> "Verified":
        """From the service's answer."""
        return cls(valid=verdict.valid, reason=verdict.reason, tries_left=verdict.tries_left, state=verdict.state)


class BlockShown(BaseModel):
    """A customer who gets no codes."""

    since: datetime
    by: Literal["bank", "customer"] = Field(description="customer: they answered `not me`")


class Blocked(BaseModel):
    """Whether codes are made for a customer."""

    state: Literal["blocked", "not_blocked"]
    changed: bool = Field(description="false: it was so before")


def transaction_of(shape: Payment | Batch | None) -> linked.Transaction | None:
    """INPUT_MALFORMED for what the schema cannot say."""
    return None if shape is None else shape.transaction()
