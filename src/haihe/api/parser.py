"""How bodies and forms are read: as JSON and text that every database and reader can keep."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from haihe.kernel.errors import InvalidField

NUL = "\0"


class StrictParser(Parser):
    """Refuses the character NUL, which JSON can say and PostgreSQL cannot store."""

    def parse_body(self, request: HttpRequest) -> Any:
        """The body's JSON; what goes wrong here is answered with 400 and its words."""
        data = json.loads(request.body)
        # Looking through every text is for the few bodies that may hold one.
        if b"\\u0000" in request.body and _holds_nul(data):
            raise ValueError("a text holds the character NUL")
        return data

    def parse_querydict(
        self, data: MultiValueDict[str, Any], list_fields: list[str], request: HttpRequest
    ) -> dict[str, Any]:
        """The fields of a query or a form."""
        for name, values in data.lists():
            if any(NUL in value for value in values if isinstance(value, str)):
                raise InvalidField(field=name, value="...", rule="leave out the character NUL")
        return super().parse_querydict(data, list_fields, request)


def _holds_nul(data: Any) -> bool:
    if isinstance(data, str):
        return NUL in data
    if isinstance(data, dict):
        return any(_holds_nul(part) for pair in data.items() for part in pair)
    return isinstance(data, list) and any(_holds_nul(part) for part in data)
