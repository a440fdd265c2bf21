"""Forms whose service may refuse: the page says why, with the right status, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from http import HTTPStatus
from types import TracebackType

from django.forms import ChoiceField, Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import Promise
from django_htmx.http import HttpResponseClientRedirect, reselect, reswap, retarget

from haihe.kernel.errors import HaiheError, Unauthenticated
from haihe.kernel.http import status_of
from haihe.kernel.phrases import localized


class Refusable(Form):
    """A form that remembers the error with which a service refused it."""

    refusal: HaiheError | None = None

    @property
    def status(self) -> int:
        """The status of a page that shows the form again."""
        if self.refusal is not None:
            return status_of(self.refusal)
        return HTTPStatus.UNPROCESSABLE_ENTITY if self.errors else HTTPStatus.OK


class shown_on(AbstractContextManager[None, bool]):  # noqa: N801 (reads as a verb: with shown_on(form))
    """Call a service for a valid form; if it refuses, the form shows why.

    That somebody is not signed in is let through: they sign in first and then see the form.
    """

    def __init__(self, form: Refusable) -> None:
        self.form = form

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, HaiheError) or isinstance(error, Unauthenticated):
            return False
        self.form.refusal = error
        self.form.add_error(None, localized(error))
        return True


def offer(form: Form, name: str, choices: Iterable[tuple[str, str | Promise]]) -> None:
    """Give a choice field the choices that are known only when the form is shown."""
    field = form.fields[name]
    assert isinstance(field, ChoiceField)
    field.choices = list(choices)


def moved(request: HttpRequest, target: HttpResponseRedirect) -> HttpResponse:
    """Send whoever posted a form onwards; a script that sends files would swallow a redirect."""
    return HttpResponseClientRedirect(target.url) if _by_htmx(request) else target


def redrawn(request: HttpRequest, page: HttpResponse, place: str) -> HttpResponse:
    """The page with a form that was not taken; to a script only the part at ``place``."""
    if not _by_htmx(request):
        return page
    return reselect(reswap(retarget(page, place), "outerHTML"), place)


def _by_htmx(request: HttpRequest) -> bool:
    return bool(getattr(request, "htmx", False))
