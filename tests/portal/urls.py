"""The platform's addresses, and some that fail, for the tests of error pages."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import path

from haihe.app.urls import urlpatterns as real
from haihe.kernel.errors import HaiheError, InvalidField, MissingRecord, StorageUnavailable
from haihe.policy.errors import NotAllowed, NotSignedIn

ERRORS: dict[str, HaiheError] = {
    "missing": MissingRecord(kind="Dataset", id="<b>films</b>"),
    "invalid": InvalidField(field="limit", value=0, rule="give 1 to 500"),
    "denied": NotAllowed(action="job.cancel", text="cancel a job", kind="Organisation", id="x"),
    "anonymous": NotSignedIn(text="cancel a job"),
    "down": StorageUnavailable(place="the sqlite database", reason="disk is full"),
}


def fail(request: HttpRequest, name: str) -> HttpResponse:
    """Raise one of ours, or one of Python's."""
    if name == "forbidden":
        raise PermissionDenied
    raise ERRORS.get(name, RuntimeError("a defect"))


urlpatterns = [path("api/fail/<name>", fail), path("fail/<name>", fail), *real]
