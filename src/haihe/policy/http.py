"""A request as views and routers see it: with the caller on it."""

from __future__ import annotations

from django.http import HttpRequest

from haihe.policy.domain import Principal


class Request(HttpRequest):
    """A request whose caller is known; see ``haihe.parties.middleware``."""

    principal: Principal
