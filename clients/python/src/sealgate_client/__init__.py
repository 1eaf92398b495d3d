"""A typed client of the Sealgate API (docs/api-python.md), with the standard library alone.

client     Sealgate: a method for each operation
transport  one HTTP request, with TLS; ApiError
shapes     the JSON of answers as typed dictionaries
webhooks   checks that a webhook is genuine
"""

from sealgate_client.client import Sealgate
from sealgate_client.transport import Answer, ApiError, HttpTransport, Transport

__all__ = ["Answer", "ApiError", "HttpTransport", "Sealgate", "Transport"]
