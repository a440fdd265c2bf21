"""What each route needs, domain by domain; and the routes that need nothing, with the reason."""

from tests.policy.matrix.rows import Row, get
from tests.policy.matrix.tables import (
    bci_rehab,
    books,
    compute,
    data,
    packs,
    parties,
    programme,
)
from tests.policy.matrix.tables.agents import SIGNED
from tests.policy.matrix.tables.open import OPEN

_DOMAINS = (parties, books, data, compute, packs, programme, bci_rehab)
_PORTAL = [
    get(page, "indicator.read on anything", "evidence.list on anything")
    for page in ("portal:home", "portal:wall")
]
API: list[Row] = [row for domain in _DOMAINS for row in domain.API]
PAGES: list[Row] = [*_PORTAL, *(row for domain in _DOMAINS for row in domain.PAGES)]
ROWS = API + PAGES

__all__ = ["API", "OPEN", "PAGES", "ROWS", "SIGNED"]
