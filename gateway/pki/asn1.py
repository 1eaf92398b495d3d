"""asn1crypto, by one thread at a time.

It reads an object when a field is asked for, and keeps what it has read in that object, and what it knows of a type in
that class: two threads at the same certificate find it half read. The result is an exception, which here means that
the certificate is not sound: the gateway would reject a good customer's mail and keep the verdict. Each caller that
reads such an object in this package holds this lock. The answers are kept, so that no mail waits for the lock.
"""

from threading import RLock
from typing import Final

READING: Final = RLock()
