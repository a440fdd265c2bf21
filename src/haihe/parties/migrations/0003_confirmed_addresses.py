"""Accounts that were made on the machine have addresses that somebody vouched for."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def confirm(apps: Any, schema_editor: Any) -> None:
    """Note as confirmed the address of each account that did not sign up in the portal."""
    address = apps.get_model("account", "EmailAddress")
    for person in apps.get_model("parties", "Person").objects.filter(emailaddress=None).iterator():
        address.objects.create(user=person, email=person.email, verified=True, primary=True)


class Migration(migrations.Migration):
    dependencies = [
        ("parties", "0002_membership_duties"),
        ("account", "0009_emailaddress_unique_primary_email"),
    ]

    operations = [migrations.RunPython(confirm, migrations.RunPython.noop)]
