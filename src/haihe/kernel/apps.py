from django.apps import AppConfig


class KernelConfig(AppConfig):
    name = "haihe.kernel"
    label = "kernel"
