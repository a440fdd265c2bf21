from django.apps import AppConfig


class PolicyConfig(AppConfig):
    name = "haihe.policy"
    label = "policy"
