"""The chain with another pack in it, and what that pack itself has to show.

``haihe demo --pack NAME`` runs the pack's sample data through the chain, from a voucher to the
indicator, and then what the pack's manifest names as its demonstration: with staff for its duties
in the fictional hospital, and its services running.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _

from haihe.cli.demo import Demo
from haihe.cli.demo_ground import HOSPITAL, showcase_of
from haihe.kernel.errors import Unavailable
from haihe.kernel.settings import load_settings
from haihe.packs import environments
from haihe.packs.demonstration import Demonstration
from haihe.packs.discovery import PackSource, find_pack
from haihe.packs.supervision import ServiceState, Supervisor, installed_services, status_of
from haihe.parties import services as parties
from haihe.parties.models import Membership, Person
from haihe.policy.domain import Principal, Role

SERVICE_WITHIN_S = 60.0


@dataclass
class PackDemo(Demo):
    """One run of the chain with ``pack``, and the pack's own demonstration."""

    pack: str = ""
    _source: PackSource = field(init=False)

    def __post_init__(self) -> None:
        self._source = find_pack(self.pack)
        self.showcase = showcase_of(self.pack)

    def run(self) -> dict[str, Any]:
        """Carry both out; the facts of each step."""
        self._install()
        facts = super().run()
        entry = self._source.manifest().commands.demo
        if entry is None:
            return facts
        with self._services():
            shown = self._source.load_object(entry)(self._demonstration)
        return {**facts, self.pack: shown}

    def _install(self) -> None:
        """A heavy pack's own libraries, where they are not there yet."""
        environment = environments.environment_of(self._source, load_settings().environments_folder)
        if environment is None or environment.is_ready:
            return
        self.say(_("libraries"), _("installing what {pack} needs").format(pack=self.pack))
        environments.build(environment)

    @contextmanager
    def _services(self) -> Iterator[None]:
        """The pack's services, for as long as it is shown; those that run already are used."""
        own = [s for s in installed_services([self._source]) if not _runs(s)]
        supervisor = Supervisor(own)
        supervisor.start()
        try:
            deadline = time.monotonic() + SERVICE_WITHIN_S
            while not all(_runs(service) for service in own):
                if time.monotonic() > deadline:
                    raise Unavailable
                time.sleep(0.2)
            yield
        finally:
            supervisor.close()

    @cached_property
    def _demonstration(self) -> Demonstration:
        folder = load_settings().home.resolve() / "demo" / self.pack
        folder.mkdir(parents=True, exist_ok=True)
        portal = self._source.manifest().portal
        duties = [] if portal is None else [duty.name for duty in portal.duties]
        return Demonstration(
            say=self.say,
            organisation=HOSPITAL.slug,
            staff={duty: self._member(duty) for duty in duties},
            folder=folder,
        )

    def _member(self, duty: str) -> Principal:
        """Somebody of the hospital who is entrusted with a duty of the pack."""
        email = f"demo-{duty}@haihe.test"
        if not Person.objects.filter(email=email).exists():
            parties.create_person(email=email, name=f"{duty} (demo)", password=self.password)
        person = Person.objects.get(email=email)
        holder = self._principal(HOSPITAL)
        if not Membership.objects.filter(person=person, organisation__slug=HOSPITAL.slug).exists():
            _invitation, secret = parties.invite(holder, HOSPITAL.slug, role=Role.MEMBER)
            parties.accept_invitation(parties.principal_of_email(email), secret)
        parties.entrust(holder, HOSPITAL.slug, person.pk, [f"{self.pack}.{duty}"])
        return parties.principal_of_email(email)


def _runs(service: Any) -> bool:
    return status_of(service).state is ServiceState.RUNNING
