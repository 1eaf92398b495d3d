"""Which cipher a content key has served: one key never serves two (RFC 9709 1).

An attacker who takes a GCM message, relabels it as CBC and sends it again has the same content key opened under another
cipher. No field of CMS shows this, but a reader's memory does. The memory is of this process and bounded; it holds no
key, only a keyed digest that means nothing elsewhere.
"""

import os
from collections import OrderedDict
from hashlib import blake2b
from threading import Lock
from typing import Final

from gateway.cms.algorithms import ContentCipher, WeakCipher

KEYS_MAX: Final = 20_000  # 4 MB; on the busiest gateway some hours of mail


class ContentKeys:
    """A memory of the last `limit` content keys that were used. Safe for threads."""

    def __init__(self, limit: int = KEYS_MAX) -> None:
        self._limit = limit
        self._secret = os.urandom(32)
        self._ciphers: OrderedDict[bytes, ContentCipher | WeakCipher] = OrderedDict()
        self._lock = Lock()

    def first_use(self, content_key: bytes, cipher: ContentCipher | WeakCipher, *, opened: bool) -> bool:
        """Whether this key has served no other cipher before. If the content could be `opened`, it is remembered."""
        mark = blake2b(content_key, digest_size=16, key=self._secret).digest()
        with self._lock:
            known = self._ciphers.get(mark)
            if known is None:
                if opened:
                    self._ciphers[mark] = cipher
                    if len(self._ciphers) > self._limit:
                        self._ciphers.popitem(last=False)
                return True
            self._ciphers.move_to_end(mark)
            return known is cipher

    def __len__(self) -> int:
        return len(self._ciphers)
