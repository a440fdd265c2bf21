"""Table cells are written out when a template is compiled."""

from __future__ import annotations

import pytest
from django.template import TemplateDoesNotExist

from haihe.portal.loader import write_out_cells
from tests.portal.conftest import Markup, Render


@pytest.mark.parametrize(
    ("cell", "html"),
    [
        ("<c-td>x</c-td>", "<td>x</td>"),
        ("<c-td></c-td>", "<td></td>"),
        ("<c-td head>x</c-td>", '<th scope="row">x</th>'),
        ('<c-td label="Cost" num>1</c-td>', '<td class="hh-num" data-label="Cost">1</td>'),
        ('<c-td num label="Cost">1</c-td>', '<td class="hh-num" data-label="Cost">1</td>'),
        (
            '<c-td label="{% translate \'Cost\' %}"><a href="/">1</a></c-td>',
            '<td data-label="{% translate \'Cost\' %}"><a href="/">1</a></td>',
        ),
        ("<c-td>1</c-td><c-td head>2</c-td>", '<td>1</td><th scope="row">2</th>'),
    ],
)
def test_a_cell_is_plain_html(cell: str, html: str) -> None:
    assert write_out_cells(cell) == html


def test_a_cell_in_a_comment_is_text() -> None:
    source = "{% comment %}rows of <c-td>{% endcomment %}<c-td>1</c-td>"
    assert write_out_cells(source) == "{% comment %}rows of <c-td>{% endcomment %}<td>1</td>"


def test_components_in_a_cell_are_still_components(render: Render) -> None:
    shown = render('<c-td label="Cost" num><c-money :amount="a" /></c-td>', a=2_000_000)
    assert Markup(shown).text == "2.00 CNY"
    assert shown.startswith('<td class="hh-num" data-label="Cost">')
    assert '<data class="hh-money"' in shown


@pytest.mark.parametrize("cell", ['<c-td colspan="2">x</c-td>', "<c-td number>x</c-td>"])
def test_an_attribute_that_cells_do_not_have_is_an_error(render: Render, cell: str) -> None:
    with pytest.raises(TemplateDoesNotExist):
        render(cell)
