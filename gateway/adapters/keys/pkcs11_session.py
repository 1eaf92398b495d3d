"""PKCS#11 modules and logins of this process: one lock, one login for each token, one session that stays.

What the libraries do to those who know them less well, and what is done about it here:

- Modules are initialised without locking flags (SoftHSM then fails at random or aborts): every call of the process
  runs under one lock. It is waited for at most LOCK_WAIT_S.
- A login counts for the process and ends with the session that made it: that session is kept until it breaks.
- A child after fork has handles that mean nothing: it initialises the module again at its first call. A fork waits for
  the call at work, so that no child inherits a lock that no thread will release.
- A token that was pulled, restarted or made again: its session is dropped and opened again, once; if the module does
  not even find the token, it is initialised again, at most every RENEW_S (its other tokens have to log in again then).
- Wrong PINs lock tokens: a PIN that a token refused is not tried again by any process of the machine
  (`refused_pins`), nor is one ventured where the token says that the next wrong PIN is its last.

PKCS #11 2.40 (OASIS), 5.4 (general purpose functions), 5.6 (sessions), 6.6.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import pkcs11
from pkcs11 import exceptions as refused

from gateway.adapters.keys import refused_pins
from gateway.adapters.keys.files import read_passphrase
from gateway.errors import GatewayError, Reason
from gateway.settings import Token

T = TypeVar("T")

LOCK_WAIT_S: Final = 30.0  # a signature by the slowest smart card takes a second
RENEW_S: Final = 10.0
_TRIALS, _MOMENT_S = 4, 0.03


@dataclass(slots=True)
class OpenToken:
    """A logged-in session, and the handles that were found through it (they die with it)."""

    session: Any
    objects: dict[str, Any] = field(default_factory=dict)


class _State:
    """Of the process, not of a configuration: a reload keeps logins."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.held_for_fork = False
        self.modules: dict[Path, _Module] = {}


class _Module:
    """One library with its open sessions, by token label."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tokens: dict[str, OpenToken] = {}
        self.stale = False  # inherited over a fork
        self.renewed = -RENEW_S
        try:
            self.library = pkcs11.lib(str(path))
        except refused.PKCS11Error as error:
            raise unavailable(f"{path} does not load as a PKCS#11 module: {error_text(error)}") from None

    def renew(self) -> None:
        """Initialises the library again; all its sessions end. PKCS11Error."""
        self.tokens.clear()
        self.stale = False
        with contextlib.suppress(refused.PKCS11Error):  # a child may not end what its parent began
            self.library.finalize()
        self.library.initialize()


_LOST: Final = (
    refused.SessionHandleInvalid, refused.SessionClosed, refused.ObjectHandleInvalid, refused.KeyHandleInvalid,
    refused.DeviceRemoved, refused.DeviceError, refused.TokenNotPresent, refused.TokenNotRecognised,
    refused.UserNotLoggedIn, refused.SlotIDInvalid)
_AMBIGUOUS: Final = (refused.GeneralError, refused.FunctionFailed, refused.HostMemory, refused.DeviceMemory,
                     refused.OperationActive, refused.OperationNotInitialized, refused.ArgumentsBad)

_state = _State()


def _before_fork() -> None:
    _state.held_for_fork = _state.lock.acquire(timeout=LOCK_WAIT_S)


def _in_parent() -> None:
    if _state.held_for_fork:
        _state.lock.release()


def _in_child() -> None:
    _state.lock = threading.RLock()
    for module in _state.modules.values():
        module.stale = True
        module.tokens.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


class Logins:
    """The logins of one configuration: remembers which failed, so that none is tried twice with the same PIN.

    `directory`: where the whole machine remembers it, None: this object alone.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self._failed: dict[tuple[Path, str], tuple[bytes, str]] = {}  # digest of the PIN, the token's error

    def pin(self, token: Token) -> str:
        """The PIN of a token. KEY_UNAVAILABLE: its file, or that it failed before."""
        octets = read_passphrase(token.pin_file) or b""
        failed = self._failed.get((token.module, token.label))
        if failed is not None and failed[0] == hashlib.sha256(octets).digest():
            raise unavailable(failed[1])
        if not octets:
            raise unavailable(f"{token.pin_file} is empty: its first line is the user PIN of token {token.name}")
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            raise unavailable(f"{token.pin_file} is not UTF-8") from None

    def failed(self, token: Token, pin: str, detail: str) -> None:
        """From now on `pin` raises for this PIN."""
        self._failed[token.module, token.label] = hashlib.sha256(pin.encode()).digest(), detail


_WRONG: Final = (refused.PinIncorrect, refused.PinInvalid, refused.PinLenRange)


def work(token: Token, logins: Logins, task: Callable[[OpenToken], T]) -> T:
    """Runs `task` with the logged-in token, alone in the process; once more, with a new session, if it was lost.

    GatewayError KEY_UNAVAILABLE (retry) where the token cannot be reached. A PKCS11Error leaves only over a session
    that still works: it is about what was asked of the token.
    """
    with alone():
        try:
            return task(_opened(token, logins))
        except refused.PKCS11Error as error:
            if _sound(token, error):
                raise
            _drop(token)
        try:
            return task(_opened(token, logins))
        except refused.PKCS11Error as error:
            if _sound(token, error):
                raise
            _drop(token)
            raise unavailable(f"token {token.name}: {error_text(error)}") from None


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """No other thread of the process is in a PKCS#11 module. KEY_UNAVAILABLE (retry) after LOCK_WAIT_S."""
    lock = _state.lock
    if not lock.acquire(timeout=LOCK_WAIT_S):
        raise unavailable(f"PKCS#11 tokens have not answered for {LOCK_WAIT_S:g} s")
    try:
        yield
    finally:
        lock.release()


def find_token(token: Token) -> Any:
    """The token by its label, whether logged in or not. KEY_UNAVAILABLE. Within `alone`."""
    module = _module(token.module)
    found = _tokens(module, token.label)
    if not found and time.monotonic() - module.renewed >= RENEW_S:
        found = _found_anew(module, token.label)
    if not found:
        raise unavailable(f"no token labelled `{token.label}` is found by {token.module} (is it plugged in? may this "
                          "user read it? see `pkcs11-tool --list-token-slots`)")
    if len(found) > 1:
        raise unavailable(f"{len(found)} tokens are labelled `{token.label}`: give each a different label")
    return found[0]


def _found_anew(module: _Module, label: str) -> list[Any]:
    """Modules see new tokens only when they begin. SoftHSM does not see one that another process logs in to just then:
    a few trials, a moment apart.
    """
    module.renewed = time.monotonic()
    for _ in range(_TRIALS):
        try:
            module.renew()
        except refused.PKCS11Error as error:
            raise unavailable(f"{module.path}: {error_text(error)}") from None
        found = _tokens(module, label)
        if found:
            return found
        time.sleep(_MOMENT_S)
    return []


def _tokens(module: _Module, label: str) -> list[Any]:
    try:
        return [one for one in module.library.get_tokens() if one.label == label]
    except refused.PKCS11Error:
        return []


def _module(path: Path) -> _Module:
    module = _state.modules.get(path)
    if module is None:
        module = _state.modules[path] = _Module(path)
    if module.stale:
        try:
            module.renew()
        except refused.PKCS11Error as error:
            module.stale = True
            raise unavailable(f"{path}: {error_text(error)}") from None
    return module


def _opened(token: Token, logins: Logins) -> OpenToken:
    module = _module(token.module)
    opened = module.tokens.get(token.label)
    if opened is None:
        opened = module.tokens[token.label] = OpenToken(_login(token, logins))
    return opened


def _login(token: Token, logins: Logins) -> Any:
    pin = logins.pin(token)
    with refused_pins.trial(logins.directory, token, pin.encode()) as trial:
        if trial.refusal is not None:
            logins.failed(token, pin, trial.refusal)
            raise unavailable(trial.refusal)
        found = find_token(token)
        remedy = f"see {token.pin_file}, then reload"
        if found.flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
            raise unavailable(f"token {token.name}: its user PIN is locked: the security officer sets a new one")
        if found.flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
            raise unavailable(f"token {token.name}: one more wrong PIN would lock it, so none is tried: log in once by "
                              f"hand (pkcs11-tool --token-label {token.label} --login -O), {remedy}")
        try:
            session = found.open(user_pin=pin)
        except refused.UserAlreadyLoggedIn:  # a session that broke has left its login behind
            return found.open()
        except (*_WRONG, refused.PinLocked, refused.PinExpired) as error:
            detail = f"token {token.name} rejects the PIN ({type(error).__name__}); it is not tried again: {remedy}"
            if isinstance(error, _WRONG) and trial.path is not None:
                detail += f". If the token's own PIN was changed and the file is right, remove {trial.path}"
                trial.refused(pin.encode(), detail)
            logins.failed(token, pin, detail)
            raise unavailable(detail) from None
        trial.accepted()
        return session


def _sound(token: Token, error: Exception) -> bool:
    """Whether the session still works, so that an error was about what was asked of it, hostile input too.

    SoftHSM returns GeneralError for a session broken by fork and for octets that do not decrypt: a handle shows which.
    """
    opened = _state.modules[token.module].tokens.get(token.label)
    if opened is None or isinstance(error, _LOST):
        return False
    if not isinstance(error, _AMBIGUOUS):
        return True
    held = next(iter(opened.objects.values()), None)
    if held is None:
        return False
    try:
        held.private[pkcs11.Attribute.CLASS]
    except refused.PKCS11Error:
        return False
    return True


def _drop(token: Token) -> None:
    opened = _state.modules[token.module].tokens.pop(token.label, None)
    if opened is not None:
        with contextlib.suppress(refused.PKCS11Error):
            opened.session.close()


def error_text(error: Exception) -> str:
    """An error of the library in words: its class names what happened, its text seldom says more."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def unavailable(detail: str) -> GatewayError:
    """KEY_UNAVAILABLE, to be tried again later."""
    return GatewayError(Reason.KEY_UNAVAILABLE, detail, retry=True)
