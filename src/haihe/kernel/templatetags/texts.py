"""Texts in two languages on pages: ``{% load texts %}``, then ``{{ organisation|called }}``."""

from __future__ import annotations

from django import template

from haihe.kernel import texts

register = template.Library()
register.filter("spoken", texts.spoken)
register.filter("called", texts.called)
register.filter("listed", texts.listed)
