"""What a client may do is what its scopes say."""

from gateway.frontends.api.callers import Caller, Callers
from gateway.frontends.http.partners import KnownPartner

CALLERS = Callers([Caller(KnownPartner("online-banking"), frozenset({"codes"})),
                   Caller(KnownPartner("core-banking"), frozenset({"statements"})),
                   Caller(KnownPartner("new"), frozenset())])


def test_a_client_may_do_what_its_scopes_name_and_nothing_else() -> None:
    names = ("online-banking", "core-banking", "new", "unknown")
    assert [name for name in names if CALLERS.may(name, "codes")] == ["online-banking"]
    assert [name for name in names if CALLERS.may(name, "statements")] == ["core-banking"]
