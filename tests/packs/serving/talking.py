"""A service that does what its client says, for tests; also copied into packs as a module."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from haihe.packs import Channel, Conflict, ServiceContext

PICTURE = {"picture": "x" * 100_000}


@dataclass(kw_only=True, eq=False)
class Occupied(Conflict):
    code: ClassVar[str] = "talking.occupied"
    template: ClassVar[str] = "{chairs} chairs are taken by {who!r}."

    chairs: int
    who: str


class Talking:
    """Repeats what it hears, and obeys a few words."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self.done: list[str] = []
        self.pictures = 0
        self.heard: list[dict[str, Any]] = []

    async def start(self) -> None:
        self.done.append("start")
        if os.environ.get("TALKING") == "broken":
            raise RuntimeError("no amplifier is connected")
        if os.environ.get("TALKING") == "deaf":
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    async def handle(self, channel: Channel) -> None:
        await channel.send({"claims": dict(channel.claims), "pid": os.getpid()})
        async for message in channel:
            self.heard.append(message)
            match message.get("what"):
                case "fail":
                    raise RuntimeError("a defect in one channel")
                case "bye":
                    return
                case "flood":
                    await self._flood(channel)
                case "nonsense":
                    await channel.send({"bad": float("nan")})
                case _:
                    await channel.send({"echo": message})
        self.done.append("left")

    async def _flood(self, channel: Channel) -> None:
        while not channel.behind:
            await channel.send(PICTURE)
            self.pictures += 1
            await asyncio.sleep(0)

    async def answer(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        match message.get("what"):
            case "refuse":
                raise Occupied(chairs=2, who="ann")
            case "fail":
                raise RuntimeError("a defect in one answer")
            case "wait":
                await asyncio.sleep(60)
        return {"heard": dict(message), "pid": os.getpid(), "pictures": self.pictures}

    async def stop(self) -> None:
        self.done.append("stop")


def make(context: ServiceContext) -> Talking:
    """The manifest's entry."""
    return Talking(context)
