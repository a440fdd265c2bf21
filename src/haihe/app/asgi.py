"""The ASGI application that uvicorn serves: Django's, and the one WebSocket beside it."""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "haihe.app.settings")
_pages = get_asgi_application()

from haihe.packs.bridge import Receive, Scope, Send, bridge  # noqa: E402 (needs the settings)


async def application(scope: Scope, receive: Receive, send: Send) -> Any:
    """Hand a request to Django, and a WebSocket to the bridge of the packs' services."""
    if scope["type"] == "websocket":
        return await bridge(scope, receive, send)
    return await _pages(scope, receive, send)
