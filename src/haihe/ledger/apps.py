from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "haihe.ledger"
    label = "ledger"
