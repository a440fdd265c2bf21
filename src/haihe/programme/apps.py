from django.apps import AppConfig


class ProgrammeConfig(AppConfig):
    name = "haihe.programme"
    label = "programme"
