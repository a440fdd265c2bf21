"""Components: what they show, what they escape, what a screen reader is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django import forms

from haihe.kernel.pagination import Page
from haihe.portal import styleguide
from haihe.portal.errors import MissingStaticFile
from haihe.portal.templatetags.haihe import html_attributes, icon, pretty_json, short_hash
from tests.portal.conftest import Markup, Render

COTTON = Path(styleguide.__file__).parent / "templates/cotton"


class ExampleForm(forms.Form):
    """A form with help, a default and a trap for robots."""

    slug = forms.SlugField(help_text="Letters and digits.")
    kind = forms.ChoiceField(choices=[("a", "A"), ("b", "B")], widget=forms.RadioSelect)
    agree = forms.BooleanField(required=False)
    nickname = forms.CharField(
        required=False, widget=forms.TextInput({"tabindex": "-1", "style": "left: -99px"})
    )


@pytest.mark.parametrize("path", sorted(COTTON.glob("*.html")), ids=lambda path: path.stem)
def test_a_component_says_what_it_is_for_and_is_in_the_style_guide(path: Path) -> None:
    assert path.read_text("utf-8").startswith("{% comment %}")
    shown = (COTTON.parent / "portal/styleguide.html").read_text("utf-8")
    others = "".join(other.read_text("utf-8") for other in COTTON.glob("*.html") if other != path)
    assert f"<c-{path.stem.replace('_', '-')}" in shown + others or path.stem == "error"


def test_no_component_prints_attributes_unescaped() -> None:
    for path in COTTON.glob("*.html"):
        assert "{{ attrs }}" not in path.read_text("utf-8"), path.name


def test_attributes_are_escaped_whatever_they_look_like(render: Render) -> None:
    hostile = '"x" onmouseover="steal()"'
    shown = Markup(render('<c-button :data-name="name">Go</c-button>', name=hostile))
    assert shown.forbidden == []
    assert shown.attributes["data-name"] == [hostile]
    assert html_attributes({"hidden": True, "open": False, "id": "a<b"}) == ' id="a&lt;b" hidden'


def test_a_component_does_not_see_the_page_around_it(render: Render) -> None:
    assert "secret" not in render("<c-card>body</c-card>", title="secret")


@pytest.mark.parametrize("tone", ["idle", "busy", "info", "good", "warn", "bad"])
def test_a_status_has_an_icon_and_words(render: Render, tone: str) -> None:
    shown = render(f'<c-status tone="{tone}">Running</c-status>')
    assert "<svg" in shown
    assert Markup(shown).text == "Running"


def test_statuses_differ_without_colour(render: Render) -> None:
    tones = ["idle", "busy", "info", "good", "warn", "bad"]
    pictures = {
        render(f'<c-status tone="{tone}">x</c-status>').partition("<svg")[2] for tone in tones
    }
    assert len(pictures) == len(tones)


def test_money_is_exact_and_machine_readable(render: Render) -> None:
    shown = render('<c-money :amount="amount" />', amount=1_234_567_500_000)
    assert Markup(shown).text == "1,234,567.50 CNY"
    assert 'value="1234567500000"' in shown
    voucher = render('<c-money :amount="amount" asset="voucher:spring-2026" />', amount=-5_000_000)
    assert Markup(voucher).text == "−5.00 voucher spring-2026"
    assert 'value="-5000000"' in voucher
    bare = render('<c-money :amount="amount" bare />', amount=1_000_000)
    assert '<span class="visually-hidden">CNY</span>' in bare
    assert Markup(render('<c-money :amount="amount" />', amount=0)).text == "0.00 CNY"
    assert Markup(render('<c-money :amount="amount" />', amount=None)).text == "–"


def test_a_time_carries_its_zone(render: Render) -> None:
    instant = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
    shown = render('<c-time :value="instant" relative=False />', instant=instant)
    assert 'datetime="2026-11-22T12:00:00+08:00"' in shown
    assert Markup(shown).text == "2026-11-22 12:00 UTC+8"
    assert Markup(render('<c-time :value="instant" />', instant=None)).text == "–"


def test_a_hash_shows_its_ends_and_copies_the_whole(render: Render) -> None:
    value = "sha256:" + "0123456789abcdef" * 4
    shown = render('<c-hash value="{{ value }}" />', value=value)
    assert Markup(shown).text == "0123456789…abcdef"
    assert f'data-copy="{value}"' in shown
    assert short_hash("abc") == "abc"


def test_a_meter_says_its_value_in_words_and_numbers(render: Render) -> None:
    shown = render('<c-meter label="GPU" value="26" max="32" text="26 of 32" />')
    assert 'aria-valuenow="26"' in shown
    assert 'aria-valuetext="26 of 32"' in shown
    assert 'class="hh-bar-fill" width="81.25%"' in shown


def test_work_without_a_known_end_claims_none(render: Render) -> None:
    assert "aria-valuenow" not in render('<c-progress label="Import" done="3" />')
    assert 'aria-valuenow="3"' in render('<c-progress label="Import" done="3" total="4" />')


def test_bars_are_a_table(render: Render) -> None:
    items = [{"label": "Open", "value": 30, "target": 40}, {"label": "Shared", "value": 10}]
    shown = render('<c-bars :items="items" label="Datasets" />', items=items)
    assert shown.count('<th scope="row">') == 2
    assert 'width="75%"' in shown
    assert 'x1="100%"' in shown
    assert Markup(render('<c-bars :items="items" label="None" />', items=[])).text


def test_a_sparkline_has_its_table(render: Render) -> None:
    items = [("Mon", 1), ("Tue", 3)]
    shown = render('<c-sparkline :items="items" label="Use" unit="h" />', items=items)
    assert "<polyline" in shown
    assert "Tue 3" in Markup(shown).text
    assert "<polyline" not in render('<c-sparkline :items="items" label="Use" />', items=items[:1])


def test_a_field_ties_label_help_and_errors_to_its_input(render: Render) -> None:
    form = ExampleForm({"slug": "no slug!", "kind": "a"})
    shown = render('<c-field :field="form.slug" />', form=form)
    assert '<label class="form-label" for="id_slug">' in shown
    assert 'aria-describedby="id_slug_helptext id_slug_error"' in shown
    assert 'id="id_slug_helptext"' in shown
    assert 'id="id_slug_error"' in shown
    assert 'aria-invalid="true"' in shown


def test_choices_are_a_fieldset_with_a_legend(render: Render) -> None:
    shown = render('<c-field :field="form.kind" />', form=ExampleForm())
    assert "<fieldset" in shown
    assert "<legend" in shown


def test_a_trap_for_robots_is_hidden_without_inline_style(render: Render) -> None:
    shown = render('<c-field :field="form.nickname" />', form=ExampleForm())
    assert 'aria-hidden="true"' in shown
    assert Markup(shown).forbidden == []


def test_a_form_posts_with_its_token_and_shows_all_its_errors(render: Render) -> None:
    form = ExampleForm({"slug": "", "kind": "a"})
    form.add_error(None, "Closed today.")
    shown = render('<c-form :form="form" action="/x" hx-post="/y">x</c-form>', form=form)
    assert "csrfmiddlewaretoken" in shown
    assert 'hx-post="/y"' in shown
    assert "Closed today." in shown
    assert "csrfmiddlewaretoken" not in render('<c-form method="get">x</c-form>')


def test_what_is_wrong_with_a_hidden_field_is_said_above_the_form(render: Render) -> None:
    class HiddenForm(forms.Form):
        sent = forms.UUIDField(label="Sending", widget=forms.HiddenInput)

    shown = Markup(render('<c-form :form="form">x</c-form>', form=HiddenForm({"sent": "1"})))
    assert "Sending: Enter a valid UUID." in shown.text


def test_a_filter_does_not_say_that_it_may_be_left_out(render: Render) -> None:
    class FilterForm(forms.Form):
        kind = forms.CharField(required=False)

    assert "optional" in Markup(render('<c-form :form="form" />', form=FilterForm())).text
    assert "optional" not in Markup(render('<c-filters :form="form" />', form=FilterForm())).text


def test_pages_keep_the_filters_and_lead_back(render: Render) -> None:
    page: Page[forms.Form] = Page(items=[], next_cursor="NEXT")  # type: ignore[type-var]
    shown = render('<c-pagination :page="page" />', path="/jobs?state=running", page=page)
    assert "/jobs?state=running&amp;cursor=NEXT" in shown
    assert "Newest" not in shown
    last = render(
        '<c-pagination :page="page" />',
        path="/jobs?state=running&cursor=NEXT",
        page=Page(items=[], next_cursor=None),
    )
    assert 'href="/jobs?state=running"' in last
    assert "Older" not in last


def test_an_empty_table_is_replaced_by_what_to_do(render: Render) -> None:
    source = """<c-table label="Jobs"><c-slot name="head"><c-th>Job</c-th></c-slot>
      {% for job in jobs %}<tr><c-td head>{{ job }}</c-td></tr>{% empty %}
      <c-slot name="empty"><c-empty title="No jobs" command="haihe job submit" /></c-slot>
      {% endfor %}</c-table>"""
    assert "<table" not in render(source, jobs=[])
    assert "haihe job submit" in render(source, jobs=[])
    full = render(source, jobs=["one"])
    assert 'role="region" aria-label="Jobs" tabindex="0"' in full
    assert '<th scope="row"' in full


def test_json_is_readable_and_bounded() -> None:
    assert pretty_json({"名": 1}) == '{\n  "名": 1\n}'
    assert len(pretty_json("x" * 300_000)) < 201_000


def test_an_unknown_icon_is_a_named_error() -> None:
    assert 'aria-hidden="true"' in icon("check")
    for name in ("no-such-icon", "../../secret"):
        with pytest.raises(MissingStaticFile):
            icon(name)
