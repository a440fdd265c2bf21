"""Triggers that keep transfers as they were written, and accounts whose they are.

They stand behind the services against a slip in code and a hand in a database shell. Two ways past
them are closed elsewhere. On SQLite ``INSERT OR REPLACE`` fires delete triggers only under
``PRAGMA recursive_triggers``; a trigger on insert would see it, but doubles the cost of each
transfer. On PostgreSQL ``TRUNCATE`` is a matter of the role's grants.

A later migration that makes SQLite rebuild one of these tables must create its triggers again.
"""

from django.db import migrations

CREATE = {
    "sqlite": [
        """
        CREATE TRIGGER ledger_transfer_no_update BEFORE UPDATE ON ledger_transfer
        BEGIN SELECT RAISE(ABORT, 'ledger: a transfer is never changed'); END
        """,
        """
        CREATE TRIGGER ledger_transfer_no_delete BEFORE DELETE ON ledger_transfer
        BEGIN SELECT RAISE(ABORT, 'ledger: a transfer is never deleted'); END
        """,
        """
        CREATE TRIGGER ledger_account_no_delete BEFORE DELETE ON ledger_account
        BEGIN SELECT RAISE(ABORT, 'ledger: an account is never deleted'); END
        """,
        """
        CREATE TRIGGER ledger_account_identity BEFORE UPDATE ON ledger_account
        WHEN OLD.id <> NEW.id OR OLD.owner_id IS NOT NEW.owner_id OR OLD.code <> NEW.code
          OR OLD.asset <> NEW.asset
        BEGIN SELECT RAISE(ABORT, 'ledger: an account keeps its owner, code and asset'); END
        """,
    ],
    "postgresql": [
        """
        CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          RAISE EXCEPTION 'ledger: % on % is refused', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
        END $$
        """,
        """
        CREATE TRIGGER ledger_transfer_immutable BEFORE UPDATE OR DELETE ON ledger_transfer
        FOR EACH ROW EXECUTE FUNCTION ledger_refuse()
        """,
        """
        CREATE TRIGGER ledger_account_no_delete BEFORE DELETE ON ledger_account
        FOR EACH ROW EXECUTE FUNCTION ledger_refuse()
        """,
        """
        CREATE TRIGGER ledger_account_identity BEFORE UPDATE ON ledger_account FOR EACH ROW
        WHEN (OLD.id <> NEW.id OR OLD.owner_id IS DISTINCT FROM NEW.owner_id
          OR OLD.code <> NEW.code OR OLD.asset <> NEW.asset)
        EXECUTE FUNCTION ledger_refuse()
        """,
    ],
}

DROP = {
    "sqlite": [
        "DROP TRIGGER ledger_transfer_no_update",
        "DROP TRIGGER ledger_transfer_no_delete",
        "DROP TRIGGER ledger_account_no_delete",
        "DROP TRIGGER ledger_account_identity",
    ],
    "postgresql": [
        "DROP TRIGGER ledger_transfer_immutable ON ledger_transfer",
        "DROP TRIGGER ledger_account_no_delete ON ledger_account",
        "DROP TRIGGER ledger_account_identity ON ledger_account",
        "DROP FUNCTION ledger_refuse()",
    ],
}


def create(apps, schema_editor):
    for statement in CREATE[schema_editor.connection.vendor]:
        schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    for statement in DROP[schema_editor.connection.vendor]:
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]

    operations = [migrations.RunPython(create, drop)]
