"""Addresses of the portal."""

from __future__ import annotations

from django.conf import settings
from django.urls import URLPattern, path

from haihe.portal import views

app_name = "portal"
urlpatterns: list[URLPattern] = [
    path("", views.home, name="home"),
    path("wall", views.wall, name="wall"),
    path("theme", views.set_theme, name="theme"),
]
if settings.DEBUG:
    urlpatterns.append(path("styleguide", views.styleguide, name="styleguide"))
