"""Every route that the running application answers, read from its URL conf."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver

from haihe.packs.portals import pack_applications

ANY = "ANY"
# No view accepts it: each that accepts some methods only answers with the list of them.
_NO_METHOD = "PROBE"
_OWN = ("haihe.", "ninja.", *pack_applications())
_NOT_ALLOWED = 405

Route = tuple[str, str]


@dataclass(frozen=True)
class UrlConf:
    """What is served: ``addresses`` by the names of routes, and methods and addresses.

    An address without a name goes by itself; ``ANY`` is served by views that take each method.
    """

    addresses: dict[str, str]
    served: set[Route]

    def route(self, method: str, name: str) -> Route:
        """The method and address that a row of a table speaks of."""
        return method, self.addresses.get(name, f"no address is called {name}")


def read_url_conf() -> UrlConf:
    """Walk the whole URL conf."""
    addresses: dict[str, str] = {}
    served: set[Route] = set()
    for address, name, view in _views(get_resolver(), "", ""):
        addresses[name or address] = address
        served |= {(method, address) for method in _methods_of(view)}
    return UrlConf(addresses, served)


def _views(
    resolver: URLResolver, prefix: str, namespace: str
) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    for entry in resolver.url_patterns:
        address = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield address, namespace + entry.name if entry.name else "", entry.callback
        else:
            inside = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from _views(entry, address, inside)


def _methods_of(view: Callable[..., Any]) -> list[str]:
    """The methods that a view of ours accepts; views of other libraries are not asked."""
    if not getattr(view, "__module__", "").startswith(_OWN):
        return [ANY]
    request = RequestFactory().generic(_NO_METHOD, "/")
    request.user = AnonymousUser()
    answer = view(request)
    return answer["Allow"].split(", ") if answer.status_code == _NOT_ALLOWED else [ANY]
