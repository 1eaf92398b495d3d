"""The texts of settings and policies, read once: a process that is started later uses the same texts, even if the
files were changed meanwhile.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError, Reason
from gateway.settings.read import read, text_of
from gateway.settings.settings import Settings

Texts = tuple[tuple[str, str], ...]  # name of the file, and its content


@dataclass(frozen=True, slots=True)
class InForce:
    """`text` is that of `settings`; `policies` in the order of the settings. No secret is in them.

    `has_served`: a process of the same service has put it in force.
    """

    path: Path
    text: str
    settings: Settings
    policies: Texts
    has_served: bool = False

    @classmethod
    def of(cls, path: Path) -> "InForce":
        """The texts of the files as they are now. CONFIG_UNREADABLE, CONFIG_INVALID; policies are read, not checked."""
        text = text_of(path)
        settings = read(text, path)
        return cls(path, text, settings, policy_texts(settings.policies))

    def packed(self) -> bytes:
        """For `unpacked`, in another process."""
        return json.dumps([str(self.path), self.text, self.policies]).encode()

    @classmethod
    def unpacked(cls, octets: bytes) -> "InForce":
        """The same set."""
        path, text, policies = json.loads(octets)
        return cls(Path(path), text, read(text, Path(path)), tuple((name, policy) for name, policy in policies))


def policy_texts(paths: tuple[Path, ...]) -> Texts:
    """(name, text) of each file. GatewayError CONFIG_UNREADABLE with every file that cannot be read."""
    texts, troubles = [], []
    for path in paths:
        try:
            texts.append((str(path), path.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as trouble:
            troubles.append(f"{path}: {getattr(trouble, 'strerror', None) or 'the file is not UTF-8'}")
    if troubles:
        remedy = "Check that each policy file exists and that this user can read it (`policies` in the settings)"
        raise GatewayError(Reason.CONFIG_UNREADABLE, "\n".join([*troubles, remedy]))
    return tuple(texts)
