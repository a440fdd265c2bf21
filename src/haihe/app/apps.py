from django.apps import AppConfig


class CompositionConfig(AppConfig):
    name = "haihe.app"
    label = "app"

    def ready(self) -> None:
        """Fill the slots and subscribe the handlers once all domains are loaded."""
        from haihe.app.wiring import wire

        wire()
