"""What an agent measures of a pool besides: exporters good, slow and broken, and cards' sensors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pynvml
import pytest
from pydantic import ValidationError

from haihe.compute.agent.exporters import Exporters, Reading, measure_machine, samples_of
from haihe.compute.agent.messages import PoolItem
from haihe.compute.backends import nvml

# As DCGM's exporter writes it; one card cannot tell how busy it is.
DCGM = """\
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a",device="nvidia0",modelName="NVIDIA H200"} 100
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-b",device="nvidia1",modelName="NVIDIA H200"} 50
DCGM_FI_DEV_GPU_UTIL{gpu="2",UUID="GPU-c",device="nvidia2",modelName="NVIDIA H200"} NaN
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a"} 30
# TYPE DCGM_FI_DEV_FB_FREE gauge
DCGM_FI_DEV_FB_FREE{gpu="0",UUID="GPU-a"} 90
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-a"} 400.5
DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-b"} 299.5
"""
METER = 'node_hwmon_power_average_watt{chip="acpi",sensor="power1"} 1000\n'
IDLE = 'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 0\n'


class Served:
    """A machine's exporter."""

    def __init__(self, text: str) -> None:
        self.text, self.gate = text, threading.Event()
        self.gate.set()
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.gate.wait()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(served.text.encode())

            def log_message(self, *arguments: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/metrics"

    def close(self) -> None:
        self.gate.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def serve() -> Iterator[Any]:
    with ExitStack() as stack:

        def served(text: str) -> Served:
            made = Served(text)
            stack.callback(made.close)
            return made

        yield served


def test_cards_are_weighed_and_what_is_no_number_is_left_out(serve: Any) -> None:
    found = Exporters([serve(DCGM).url, serve(IDLE).url]).measure()
    assert found == {"gpu_busy": 0.5, "gpu_memory": 0.25, "watts": 700.0}


def test_a_machines_meter_and_its_cards_are_not_added_up(serve: Any) -> None:
    assert Exporters([serve(DCGM).url, serve(METER).url]).measure()["watts"] == 1_000


def test_one_that_hangs_holds_nothing_up_and_is_heard_later(serve: Any) -> None:
    good, slow = serve(DCGM), serve(METER)
    slow.gate.clear()
    exporters = Exporters([good.url, slow.url], budget_s=0.05)
    while "watts" not in exporters.measure():
        pass
    assert exporters.measure()["watts"] == 700
    slow.gate.set()
    while exporters.measure()["watts"] != 1_000:
        pass


def test_a_sum_of_power_that_lacks_a_machine_is_not_told() -> None:
    exporters = Exporters([])
    samples = samples_of(DCGM)
    exporters._read = {
        "http://a/": Reading(1e12, samples, {}, {}),
        "http://b/": Reading(-1e12, samples, {}, {}),
    }
    found = exporters.measure()
    assert "watts" not in found
    assert found["gpu_busy"] == 0.75


def test_an_answer_that_is_too_long_or_no_exposition_leaves_its_figures_out(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haihe.compute.agent.exporters.ANSWER_BYTES", 1_000)
    assert Exporters([serve(DCGM * 2).url, serve("{{").url]).measure() == {}


@pytest.mark.parametrize(
    "metrics",
    [
        {"watts": float("nan")},
        {"watts": float("inf")},
        {"watts": 5e300},
        {"cpu": 1.0},
        {"running": 1.0},
        {"a b": 1.0},
        {"x" * 41: 1.0},
    ],
)
def test_no_agent_says_what_is_no_figure_or_not_its_own(metrics: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PoolItem(pool="p", age_s=0, nodes=[], pending=0, running=0, metrics=metrics)


def sensed(value: int) -> Callable[[int], int]:
    """A sensor that only the first card has."""

    def sensor(handle: int) -> int:
        if handle:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return value

    return sensor


# A driver with a whole card, and one that is shared and has no sensors.
DRIVER: Mapping[str, Callable[..., Any]] = {
    "nvmlInit": lambda: None,
    "nvmlShutdown": lambda: None,
    "nvmlDeviceGetCount": lambda: 2,
    "nvmlDeviceGetHandleByIndex": lambda number: number,
    "nvmlDeviceGetName": lambda handle: b"NVIDIA H200",
    "nvmlDeviceGetMemoryInfo": lambda handle: pynvml.c_nvmlMemory_t(total=100, free=75, used=25),
    "nvmlDeviceGetUtilizationRates": lambda handle: pynvml.c_nvmlUtilization_t(
        gpu=sensed(40)(handle)
    ),
    "nvmlDeviceGetPowerUsage": sensed(500_000),
}


def test_a_card_that_lacks_a_sensor_is_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, function in DRIVER.items():
        monkeypatch.setattr(pynvml, name, function)
    whole, part = nvml.cards()
    assert (whole.model, whole.busy, whole.watts) == ("H200", 0.4, 500.0)
    assert (part.model, part.busy, part.watts, part.memory_bytes) == ("H200", None, None, 100)
    assert measure_machine() == {"gpu_busy": 0.4, "gpu_memory": 0.25}, "no sum lacks a card"
