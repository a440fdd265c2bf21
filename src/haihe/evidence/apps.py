from django.apps import AppConfig


class EvidenceConfig(AppConfig):
    name = "haihe.evidence"
    label = "evidence"
