from django.apps import AppConfig


class ComputeConfig(AppConfig):
    name = "haihe.compute"
    label = "compute"
