from django.apps import AppConfig


class DataConfig(AppConfig):
    name = "haihe.data"
    label = "data"
