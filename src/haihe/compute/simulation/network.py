"""The network that a trace is replayed on: centres with pools, as numbers.

It is a description of its own and not the platform's tables, because most of its use is to ask for
what is not there: fifty cards more, a centre less. It is read from a small TOML file::

    [[centre]]
    slug = "north"
    carbon_g_per_kwh = 560

    [[centre.pool]]
    slug = "a100"
    nodes = 12                 # alike: the pool's capacity is nodes x what one has
    cpu = 96                   # of one node, in CPUs; a processor of a log is one CPU
    memory_gib = 768
    gpus = 8
    model = "A100"             # jobs that name models run only on these
    cpu_hour_cny = "0.20"
    gpu_hour_cny = "8.50"
    idle_w = 900               # of one node
    busy_w = 4300

``slug`` and ``cpu`` must be given; a pool without ``memory_gib`` does not count memory.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from haihe.compute.domain import GIB, MILLI, Capacity
from haihe.compute.simulation.errors import BadNetwork, NoTrace
from haihe.kernel.errors import MissingRecord
from haihe.kernel.money import MICRO

MAX_POOLS = 1_000
MAX_FILE_BYTES = 10_000_000
MIB_PER_GIB = 1_024
UNCOUNTED_BYTES = 1 << 60
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")]
Price = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=6)]
Watts = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelledPool(_Part):
    """Nodes that are alike, at a price. Amounts and watts are of one node."""

    slug: Slug
    nodes: int = Field(1, ge=0, le=1_000_000)
    cpu: float = Field(ge=0, le=1e9, allow_inf_nan=False)
    memory_gib: float | None = Field(None, ge=0, le=1e9, allow_inf_nan=False)
    gpus: float = Field(0, ge=0, le=100_000, allow_inf_nan=False)
    model: str = ""
    cpu_hour_cny: Price = Decimal(0)
    gpu_hour_cny: Price = Decimal(0)
    idle_w: Watts = 0.0
    busy_w: Watts = 0.0

    @property
    def node(self) -> Capacity:
        """What one node has."""
        memory = UNCOUNTED_BYTES if self.memory_gib is None else round(self.memory_gib * GIB)
        return Capacity(round(self.cpu * MILLI), memory, round(self.gpus * MILLI))

    @property
    def capacity(self) -> Capacity:
        """What all nodes have."""
        one = self.node
        memory = UNCOUNTED_BYTES if self.memory_gib is None else one.memory_bytes * self.nodes
        return Capacity(one.cpu_milli * self.nodes, memory, one.gpu_milli * self.nodes)

    @property
    def cpu_hour_micro(self) -> int:
        """The price of a CPU-hour."""
        return int(self.cpu_hour_cny * MICRO)

    @property
    def gpu_hour_micro(self) -> int:
        """The price of a GPU-hour."""
        return int(self.gpu_hour_cny * MICRO)


class ModelledCentre(_Part):
    """A site: its pools share an electricity mix."""

    slug: Slug
    carbon_g_per_kwh: float = Field(0.0, ge=0, le=10_000, allow_inf_nan=False)
    pool: tuple[ModelledPool, ...] = Field(min_length=1, max_length=MAX_POOLS)


class Network(_Part):
    """All centres; pools are named ``centre/pool`` and numbered in their order."""

    centre: tuple[ModelledCentre, ...] = Field(min_length=1, max_length=MAX_POOLS)

    @property
    def pools(self) -> list[tuple[str, ModelledCentre, ModelledPool]]:
        """Every pool with its name and centre."""
        return [
            (f"{centre.slug}/{pool.slug}", centre, pool)
            for centre in self.centre
            for pool in centre.pool
        ]

    def without(self, slug: str) -> Network:
        """What is left when a centre is lost."""
        left = tuple(centre for centre in self.centre if centre.slug != slug)
        if len(left) == len(self.centre):
            raise MissingRecord(kind="centre", id=slug)
        if not left:
            raise BadNetwork(
                path=slug, field="centre", rule="is the only one; nothing would be left"
            )
        return Network(centre=left)

    def with_nodes(self, count: int, *, at: str = "") -> Network:
        """The network with ``count`` nodes more in one pool, of that pool's kind."""
        return self._grown(self._one_of([name for name, _, _ in self.pools], at), count)

    def with_gpus(self, count: int, *, at: str = "") -> Network:
        """The network with at least ``count`` GPUs more in one pool, in whole nodes."""
        gpus = {name: pool.gpus for name, _, pool in self.pools if pool.gpus}
        if not gpus:
            raise BadNetwork(path="--add-gpus", field="network", rule="has no pool with GPUs")
        name = self._one_of(list(gpus), at)
        return self._grown(name, math.ceil(count / gpus[name]))

    def _one_of(self, names: Sequence[str], at: str) -> str:
        if at in names or (not at and len(names) == 1):
            return at or names[0]
        raise BadNetwork(path="--at", field="pool", rule=f"must be one of {', '.join(names)}")

    def _grown(self, name: str, count: int) -> Network:
        centres = []
        for centre in self.centre:
            pools = [
                pool.model_copy(update={"nodes": pool.nodes + count})
                if name == f"{centre.slug}/{pool.slug}"
                else pool
                for pool in centre.pool
            ]
            centres.append(centre.model_copy(update={"pool": tuple(pools)}))
        return Network(centre=tuple(centres))


def machine(procs: int, *, nodes: int = 0) -> Network:
    """The machine of a log: one pool of processors, in as many equal nodes as the log says."""
    nodes = nodes if nodes and procs % nodes == 0 else procs
    pool = ModelledPool(slug="machine", nodes=nodes, cpu=procs // nodes)
    return Network(centre=(ModelledCentre(slug="log", pool=(pool,)),))


def read_network(path: Path) -> Network:
    """Read a network's description.

    Raises
    ------
    NoTrace
        If the file cannot be read.
    BadNetwork
        If it is no TOML, or a field is unknown, missing or out of range; the error names it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise NoTrace(path=str(path), reason=error.strerror or str(error)) from None
    if len(text) > MAX_FILE_BYTES:
        raise BadNetwork(path=str(path), field="the file", rule=f"exceeds {MAX_FILE_BYTES} bytes")
    try:
        return _checked(path, tomllib.loads(text.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadNetwork(path=str(path), field="the file", rule=f"is no TOML: {error}") from None


def _checked(path: Path, data: dict[str, Any]) -> Network:
    try:
        network = Network.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadNetwork(path=str(path), field=field, rule=f"is wrong: {first['msg']}") from None
    names = [name for name, _, _ in network.pools]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or len(names) > MAX_POOLS:
        rule = f"is there twice: {twice[0]}" if twice else f"may be at most {MAX_POOLS}"
        raise BadNetwork(path=str(path), field="pool", rule=rule)
    return network
