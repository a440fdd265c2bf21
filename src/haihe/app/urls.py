"""All addresses of the platform."""

from __future__ import annotations

import importlib.util

from django.urls import URLPattern, URLResolver, include, path

from haihe.api.v1 import api
from haihe.kernel import http

urlpatterns: list[URLPattern | URLResolver] = [
    path("health/live", http.live),
    path("health/ready", http.ready),
    path("metrics", http.metrics),
    path("api/v1/", api.urls),
    path("accounts/", include("allauth.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("haihe.portal.urls")),
    *(
        path("", include(f"haihe.{domain}.urls"))
        for domain in ("parties", "ledger", "evidence", "data", "compute", "packs", "programme")
        if importlib.util.find_spec(f"haihe.{domain}.urls")
    ),
]
