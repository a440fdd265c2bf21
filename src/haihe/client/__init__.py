"""The Python SDK: a whole installation over HTTP.

    from haihe.client import Haihe

    with Haihe("https://haihe.example", token="haihe_...") as haihe:
        quote = haihe.quotes.request(organisation="firm", spec={...}, contract="C-1")
        job = haihe.jobs.submit(quote["id"])
        haihe.jobs.wait(job["id"], on_log=print)

Requests that act carry an idempotency key, so that they are repeated without harm when the
connection breaks. Errors of the platform are raised as :class:`ApiError` with their stable code.
"""

from haihe.client.http import ApiError, ConnectionFailed
from haihe.client.sdk import Haihe, JobTimeout

__all__ = ["ApiError", "ConnectionFailed", "Haihe", "JobTimeout"]
