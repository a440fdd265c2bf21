"""The part of the SDK for a pack's pages and tables: all that its Django application may import.

A pack's services do as the platform's own: they authorise first, write in one unit of work, and
record what was done. Its tables refer to organisations and people of the platform by their ids,
and to nothing else of it.
"""

from haihe.evidence.services import record
from haihe.kernel.clock import now
from haihe.kernel.errors import MissingRecord
from haihe.kernel.export import export_asked, export_table
from haihe.kernel.forms import Refusable, moved, offer, redrawn, shown_on
from haihe.kernel.ids import new_id, parse_id
from haihe.kernel.models import Entity
from haihe.kernel.pagination import Page, paginate
from haihe.kernel.settings import secret_from_home
from haihe.kernel.texts import called, spoken
from haihe.kernel.work import unit_of_work
from haihe.packs.channels import ask_service, service_address, service_ticket
from haihe.packs.demonstration import Demonstration
from haihe.packs.errors import ServiceRefused, ServiceUnavailable
from haihe.packs.portals import installation_home, pack_home
from haihe.parties.models import Organisation, Person
from haihe.parties.services import find_organisation, find_organisation_by_id
from haihe.policy.domain import Principal, Resource
from haihe.policy.http import Request
from haihe.policy.services import authorize, is_allowed

__all__ = [
    "Demonstration",
    "Entity",
    "MissingRecord",
    "Organisation",
    "Page",
    "Person",
    "Principal",
    "Refusable",
    "Request",
    "Resource",
    "ServiceRefused",
    "ServiceUnavailable",
    "ask_service",
    "authorize",
    "called",
    "export_asked",
    "export_table",
    "find_organisation",
    "find_organisation_by_id",
    "installation_home",
    "is_allowed",
    "moved",
    "new_id",
    "now",
    "offer",
    "pack_home",
    "paginate",
    "parse_id",
    "record",
    "redrawn",
    "secret_from_home",
    "service_address",
    "service_ticket",
    "shown_on",
    "spoken",
    "unit_of_work",
]
