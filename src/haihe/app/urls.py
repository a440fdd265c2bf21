"""All addresses of the platform."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from haihe.api.v1 import api
from haihe.kernel import http
from haihe.packs.portals import pack_portals
from haihe.parties.views import people

handler400 = "haihe.app.views.bad_request"
handler404 = "haihe.app.views.not_found"
handler500 = "haihe.app.views.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("health/live", http.live),
    path("health/ready", http.ready),
    path("metrics", http.metrics),
    path("api/v1/", api.urls),
    path("accounts/email/", people.EmailView.as_view(), name="account_email"),
    path("accounts/", include("allauth.urls")),
    path("i18n/setlang/", people.set_language, name="set_language"),
    path("", include("haihe.portal.urls")),
    path("", include("haihe.parties.urls")),
    path("", include("haihe.ledger.urls")),
    path("", include("haihe.evidence.urls")),
    path("", include("haihe.data.urls")),
    path("", include("haihe.compute.urls")),
    path("", include("haihe.packs.urls")),
    path("", include("haihe.programme.urls")),
    *(path(brought.prefix, include(brought.urls)) for brought in pack_portals()),
]
