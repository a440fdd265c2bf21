from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "haihe.portal"
    label = "portal"
