"""An error as a person reads it: what happened, and what to do now."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext

from haihe.kernel import errors
from haihe.kernel.errors import HaiheError, gettext_noop
from haihe.kernel.http import status_of
from haihe.kernel.logs import current_request_id
from haihe.kernel.phrases import localized

_TITLES: dict[type[HaiheError], str] = {
    errors.Invalid: gettext_noop("This input is not valid"),
    errors.Denied: gettext_noop("You may not do this"),
    errors.NotFound: gettext_noop("Not found"),
    errors.Conflict: gettext_noop("The present state stands in the way"),
    errors.Refused: gettext_noop("A rule says no"),
    errors.TooLarge: gettext_noop("That is too much at once"),
    errors.Unavailable: gettext_noop("Not available right now"),
    errors.Corrupt: gettext_noop("Stored facts contradict each other"),
}
_ADVICE: dict[type[HaiheError], str] = {
    errors.Invalid: gettext_noop(
        "Nothing was changed. Go back, correct the input and send it again."
    ),
    errors.Denied: gettext_noop(
        "Nothing was changed. Check that you are signed in as the right person."
    ),
    errors.NotFound: gettext_noop(
        "The address may be mistyped, or the thing may be visible to other people only."
    ),
    errors.Conflict: gettext_noop(
        "Nothing was changed. Load the page again to see the present state, then decide."
    ),
    errors.Refused: gettext_noop(
        "Nothing was changed. The rule, your value and the threshold stand above."
    ),
    errors.TooLarge: gettext_noop("Nothing was changed. Send less at a time, or wait a little."),
    errors.Unavailable: gettext_noop("Nothing was changed. Try again in a moment."),
    errors.Corrupt: gettext_noop(
        "Nothing further was changed. Tell the platform's operator the request id below."
    ),
}


@dataclass(frozen=True)
class Explanation:
    """What an error page says."""

    status: int
    code: str
    title: str
    message: str
    advice: str
    request_id: str


def explain(error: HaiheError) -> Explanation:
    """The error in the language of the current request."""
    return Explanation(
        status=status_of(error),
        code=error.code,
        title=gettext(_by_branch(_TITLES, error, gettext_noop("Something went wrong"))),
        message=localized(error),
        advice=gettext(_by_branch(_ADVICE, error, gettext_noop("Try again in a moment."))),
        request_id=current_request_id(),
    )


def _by_branch(texts: dict[type[HaiheError], str], error: HaiheError, default: str) -> str:
    return next((text for kind, text in texts.items() if isinstance(error, kind)), default)
