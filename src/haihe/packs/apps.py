from django.apps import AppConfig


class PacksConfig(AppConfig):
    name = "haihe.packs"
    label = "packs"
