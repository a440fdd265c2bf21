from django.apps import AppConfig


class PartiesConfig(AppConfig):
    name = "haihe.parties"
    label = "parties"
