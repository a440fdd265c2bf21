"""The Python SDK: a whole installation over HTTP.

    from haihe.client import Haihe

    with Haihe("https://haihe.example", token="haihe_...") as haihe:
        quote = haihe.quotes.request(organisation="firm", spec={...}, contract="C-1")
        job = haihe.jobs.submit(quote["id"])
        haihe.jobs.wait(job["id"], on_log=print)

Requests that act, uploads too, carry an idempotency key, so that they are repeated without harm
when the connection breaks. A record remembers its ``etag``: an edit that is given it is refused if
somebody else was faster. Errors of the platform are raised as :class:`ApiError` with their stable
code.
"""

from haihe.client.http import ApiError, ConnectionFailed, Record
from haihe.client.jobs import JobTimeout
from haihe.client.sdk import Haihe

__all__ = ["ApiError", "ConnectionFailed", "Haihe", "JobTimeout", "Record"]
