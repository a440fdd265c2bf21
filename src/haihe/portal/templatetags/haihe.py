"""What the components need beyond Django's own tags: icons, numbers, times and form widgets.

Pages use the components in ``templates/cotton``; only components use these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from django import template
from django.core.serializers.json import DjangoJSONEncoder
from django.forms import (
    BaseForm,
    BoundField,
    CheckboxInput,
    CheckboxSelectMultiple,
    RadioSelect,
    Select,
)
from django.forms.utils import flatatt
from django.templatetags.static import static
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, pgettext

from haihe import __version__
from haihe.kernel.logs import current_request_id
from haihe.kernel.money import CNY, format_micro
from haihe.portal.charts import Curves, Line, curves, line, share_percent
from haihe.portal.errors import MissingStaticFile
from haihe.portal.moments import Moment, describe

register = template.Library()
_ICON_NAME = re.compile(r"[a-z0-9-]+")
_SVG = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
HASH_ENDS = (10, 6)
MAX_JSON_CHARACTERS = 200_000


@register.simple_tag
def icon(name: str) -> SafeString:
    """One of Tabler's outline icons, inline so that it takes the colour of the text.

    It is hidden from screen readers: an icon never carries meaning alone.
    """
    return mark_safe(  # noqa: S308  # nosec B308 B703 (a file of the build, no user input)
        '<svg class="hh-icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">'
        f"{_icon_paths(name)}</svg>"
    )


@cache
def _icon_paths(name: str) -> str:
    file = files("haihe.portal") / "static" / "vendor" / "icons" / f"{name}.svg"
    if not _ICON_NAME.fullmatch(name) or not file.is_file():
        raise MissingStaticFile(name=f"icons/{name}.svg")
    match = _SVG.search(file.read_text("utf-8"))
    assert match, f"{name} is no SVG"
    return " ".join(match.group(1).split())


@register.simple_tag
def asset(path: str) -> str:
    """The address of a static file, with the version, so that an upgrade is not served stale."""
    return f"{static(path)}?v={__version__}"


@register.filter
def html_attributes(attrs: Mapping[str, Any]) -> SafeString:
    """The attributes that a component was given and does not use itself, escaped.

    Cotton's own ``{{ attrs }}`` trusts a value that begins and ends with a quotation mark; this
    never does.
    """
    taken = attrs.attrs_dict() if hasattr(attrs, "attrs_dict") else attrs
    return flatatt({name: value for name, value in taken.items() if value is not False})


@register.filter
def is_missing(value: Any) -> bool:
    """Whether there is no value: zero and false are values."""
    return value is None or value == ""


@register.filter
def money(amount_micro: int, asset_name: str = CNY) -> str:
    """The number of an amount in micro-units, without its asset, and with a minus sign proper."""
    return format_micro(int(amount_micro), asset_name).rpartition(" ")[0].replace("-", "−")


@register.filter
def asset_label(asset_name: str) -> str:
    """An asset as people call it."""
    if asset_name == CNY:
        return gettext("CNY")
    scheme = asset_name.removeprefix("voucher:")
    if scheme == asset_name:
        return asset_name
    return pgettext("asset", "voucher %(scheme)s") % {"scheme": scheme}


@register.simple_tag
def moment(value: date, seconds: bool = False) -> Moment:
    """An instant or day, written out."""
    return describe(value, seconds=seconds)


@register.filter
def short_hash(value: str) -> str:
    """The two ends of a hash or id: enough to compare by eye, short enough for a table."""
    head, tail = HASH_ENDS
    body = value.rpartition(":")[2]
    return value if len(body) <= head + tail + 1 else f"{body[:head]}…{body[-tail:]}"


@register.filter
def pretty_json(value: Any) -> str:
    """JSON for people to read, cut off at a size that a browser shows without effort."""
    text = json.dumps(value, ensure_ascii=False, indent=2, cls=DjangoJSONEncoder)
    if len(text) <= MAX_JSON_CHARACTERS:
        return text
    return text[:MAX_JSON_CHARACTERS] + "\n" + gettext("… cut off here")


@register.filter
def percent_of(value: float | str, maximum: float | str) -> str:
    """How full a bar is, from 0 to 100, as SVG writes numbers in every language."""
    return f"{share_percent(float(value or 0), float(maximum or 0)):g}"


@register.filter
def highest(items: Sequence[Mapping[str, Any]]) -> float:
    """The largest value or target among the items of a chart; 0 if there are none."""
    numbers = [item[key] for item in items for key in ("value", "target") if item.get(key)]
    return float(max(numbers, default=0))


@register.simple_tag
def sparkline(items: Sequence[tuple[Any, float]]) -> Line | None:
    """The line through the values of pairs of label and value."""
    return line([float(value) for _, value in items])


@register.simple_tag
def chart(
    series: Sequence[Mapping[str, Any]], begins: datetime, ends: datetime, most: float | None
) -> Curves | None:
    """The lines of a <c-chart>."""
    return curves(series, begins, ends, most=most)


@register.filter
def rounded(value: float) -> str:
    """A measured value in three digits, as its table shows it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@register.filter
def general_errors(form: BaseForm) -> list[str]:
    """What is wrong with a form as a whole, and with fields that nobody sees."""
    hidden = [f"{field.label}: {error}" for field in form.hidden_fields() for error in field.errors]
    return [*map(str, form.non_field_errors()), *hidden]


@register.simple_tag
def widget(field: BoundField) -> SafeString:
    """A form field's input with the classes that the style sheet expects.

    Two attributes that libraries set are dropped: a style, which the content security policy
    forbids, and a placeholder, which repeats the label and vanishes while one types.
    """
    shown = field.field.widget
    for dropped in ("style", "placeholder"):
        shown.attrs.pop(dropped, None)
    if isinstance(shown, CheckboxInput):
        name = "form-check-input"
    elif isinstance(shown, RadioSelect | CheckboxSelectMultiple):
        name = "hh-choices"
    else:
        name = "form-select" if isinstance(shown, Select) else "form-control"
    own = shown.attrs.get("class", "")
    invalid = "is-invalid" if field.errors else ""
    return field.as_widget(attrs={"class": " ".join(filter(None, (name, invalid, own)))})


@register.filter
def is_checkbox(field: BoundField) -> bool:
    """Whether the label belongs beside the input and not above it."""
    return isinstance(field.field.widget, CheckboxInput)


@register.filter
def message_tone(level_tag: str) -> str:
    """The tone of a :mod:`django.contrib.messages` message."""
    return {"success": "good", "warning": "warn", "error": "bad"}.get(level_tag, "info")


@register.filter
def is_trap(field: BoundField) -> bool:
    """Whether the field is there for robots to fill in, and for nobody to see."""
    return bool(field.field.widget.attrs.get("tabindex") == "-1")


@register.simple_tag
def request_id() -> str:
    """The id that the logs know this request by."""
    return current_request_id()
