"""asn1crypto, by one thread at a time.

It reads an object when a field is asked for, and keeps what it has read in that object, and what it knows of a type in
that class: two threads at the same certificate find it half read. The answer then is an exception, which here means
that the certificate is not sound: a good customer's mail would be refused, and the verdict kept. Whoever touches one of
its objects in this room holds this lock. The answers are kept, so that no caller waits for it in a mail's way.
"""

from threading import RLock
from typing import Final

READING: Final = RLock()
