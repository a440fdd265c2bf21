"""What every page's template may use."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def portal(request: HttpRequest) -> dict[str, Any]:
    """Values for the layout."""
    return {"principal": getattr(request, "principal", None)}
