"""Triggers that keep what was logged as it was logged.

They stand behind the services against a slip in code or in a database shell; whoever lifts them is
found by the checkpoints. Two ways past them are left to those. On SQLite ``INSERT OR REPLACE``
fires delete triggers only under ``PRAGMA recursive_triggers``; a trigger on insert would see it,
but triples the cost of an entry. On PostgreSQL ``TRUNCATE`` is a matter of the role's grants.

SQLite drops a table's triggers when a later migration rebuilds the table: such a migration runs
these operations again.
"""

from django.db import migrations

TABLES = (
    "evidence_evidenceentry",
    "evidence_evidenceparty",
    "evidence_evidencenode",
    "evidence_evidencecheckpoint",
)

SQLITE = """
CREATE TRIGGER {table}_no_{operation} BEFORE {operation} ON {table}
BEGIN SELECT RAISE(ABORT, 'evidence: {operation} on {table} is refused'); END
"""

FUNCTION = """
CREATE FUNCTION evidence_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'evidence: % on % is refused', lower(TG_OP), TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END $$
"""

POSTGRESQL = """
CREATE TRIGGER {table}_no_{operation} BEFORE {operation} ON {table}
FOR EACH ROW EXECUTE FUNCTION evidence_refuse()
"""


def create(apps, schema_editor):
    sqlite = schema_editor.connection.vendor == "sqlite"
    if not sqlite:
        schema_editor.execute(FUNCTION, params=None)
    for table in TABLES:
        for operation in ("update", "delete"):
            statement = (SQLITE if sqlite else POSTGRESQL).format(table=table, operation=operation)
            schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    sqlite = schema_editor.connection.vendor == "sqlite"
    for table in TABLES:
        for operation in ("update", "delete"):
            on_table = "" if sqlite else f" ON {table}"
            schema_editor.execute(f"DROP TRIGGER {table}_no_{operation}{on_table}", params=None)
    if not sqlite:
        schema_editor.execute("DROP FUNCTION evidence_refuse()", params=None)


class Migration(migrations.Migration):
    dependencies = [("evidence", "0001_initial")]

    operations = [migrations.RunPython(create, drop)]
