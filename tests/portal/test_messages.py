"""The catalogue and the tool that keeps it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo
from tools import messages
from tools.messages import Key


def test_every_message_is_translated_with_its_fields() -> None:
    for home in (messages.PLATFORM, *messages.packs()):
        assert list(messages.defects_of(messages.collect(home), "zh_Hans", home)) == []


def test_every_text_that_we_adopt_is_still_in_its_library() -> None:
    import allauth
    from django.contrib import auth

    known: set[str | tuple[str, ...]] = set()
    for library in (allauth, auth):
        catalogue = Path(library.__file__).parent / "locale/zh_Hans/LC_MESSAGES/django.mo"
        with catalogue.open("rb") as file:
            ids = [message.id for message in read_mo(file)]
        known |= {each if isinstance(each, str) else tuple(each) for each in ids}
    adopted = {
        (key.singular, key.plural) if key.plural else key.singular
        for key in messages.from_list(messages.LIBRARIES.read_text("utf-8"))
    }
    assert adopted - known == set()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of the test's own."""
    path = tmp_path / "django.po"
    monkeypatch.setattr(messages, "po_path", lambda locale, home: path)
    monkeypatch.setattr(messages, "ROOT", tmp_path)
    return path


def test_extract_keeps_translations_and_is_stable(copy: Path) -> None:
    found: messages.Found = {Key(None, "b"): {"y.py", "x.py"}, Key(None, "a {n}"): {"z.py"}}
    messages.extract(found)
    catalog = messages.read("zh_Hans", messages.PLATFORM)
    catalog["b"].string = "乙"
    copy.write_bytes(messages._po_text(catalog))
    before = copy.read_bytes()
    assert "乙" in before.decode()
    assert before.index(b'msgid "a') < before.index(b'msgid "b"')
    assert b"#: x.py y.py\n" in before
    messages.extract(found)
    assert copy.read_bytes() == before


def test_extract_says_which_translations_it_drops(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.write_text('msgid ""\nmsgstr ""\n"Language: zh_Hans\\n"\n\nmsgid "old"\nmsgstr "旧"\n')
    messages.extract({Key(None, "new"): {"x.py"}})
    assert "'old' = '旧'" in capsys.readouterr().out
    assert "旧" not in copy.read_text()


def test_python_and_templates_are_read() -> None:
    python = b'_("a"); ngettext("one", "many", n); pgettext("menu", "b"); gettext(name)'
    assert set(messages.from_python(python)) == {
        Key(None, "a"),
        Key(None, "one", "many"),
        Key("menu", "b"),
    }
    template = """  <c-card title="{% translate 'in an attribute' %}">
      {% blocktranslate count n=n %}{{ n }} job{% plural %}{{ n }} jobs{% endblocktranslate %}
   {% translate "100% sure" context "scale" %} isn't Python"""
    assert set(messages.from_template(template)) == {
        Key(None, "in an attribute"),
        Key(None, "%(n)s job", "%(n)s jobs"),
        Key("scale", "100%% sure"),
    }


def test_phrases_of_errors_are_read_with_numbered_fields() -> None:
    source = """
raise BadInput(rule="give 1 or more", field="x")
raise BadInput(rule=f"give {low} to {high}")
raise BadInput(reason="choose from " + ", ".join(names))
raise BadInput(reason="used" if used else "expired")
raise BadInput(reason=str(error))
log.info("x", reason="not an error")
"""
    assert {key.singular for key in messages.from_errors(source, {"BadInput"})} == {
        "give 1 or more",
        "give {0} to {1}",
        "choose from {0}",
        "used",
        "expired",
    }


@pytest.mark.parametrize(
    ("message", "translation", "defect"),
    [
        ("{field} is bad", "{fields} 有误", "its translation fields"),
        ("%(n)s jobs", "作业", "its translation no fields"),
        ("{a!r} of {b:.2f}", "{b} 中的 {a}", ""),
        ("a", "", "not translated"),
        ("gone", "没了", "stands nowhere"),
    ],
)
def test_check_finds_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, message: str, translation: str, defect: str
) -> None:
    catalog = Catalog(locale="zh_Hans", fuzzy=False)
    catalog.add(message, translation)
    monkeypatch.setattr(messages, "read", lambda locale, home: catalog)
    found: messages.Found = {} if message == "gone" else {Key(None, message): {"x.py"}}
    defects = list(messages.defects_of(found, "zh_Hans"))
    assert (len(defects) == 1 and defect in defects[0]) if defect else defects == []


def test_check_finds_what_was_never_extracted_and_what_is_fuzzy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = Catalog(locale="zh_Hans", fuzzy=False)
    catalog.add("old", "旧", flags={"fuzzy"})
    monkeypatch.setattr(messages, "read", lambda locale, home: catalog)
    found: messages.Found = {Key(None, "old"): {"x.py"}, Key(None, "new"): {"x.py"}}
    assert sorted(messages.defects_of(found, "zh_Hans")) == [
        "fuzzy: 'old'",
        "not in the catalogue: 'new'; run messages.py extract",
    ]


def test_compile_leaves_a_newer_file_alone(copy: Path) -> None:
    messages.extract({Key(None, "new"): {"x.py"}})
    compiled = copy.with_suffix(".mo")
    messages.compile_catalogues()
    made = compiled.stat().st_mtime_ns
    messages.compile_catalogues()
    assert compiled.stat().st_mtime_ns == made
    os.utime(copy, ns=(made + 1_000, made + 1_000))
    messages.compile_catalogues()
    assert compiled.stat().st_mtime_ns > made
