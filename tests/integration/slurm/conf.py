"""The configuration files of the test cluster, as text."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CLUSTER = "haihe"
GPU_MODEL = "h200"
GPUS_PER_NODE = 2
SHARDS_PER_GPU = 8
CPUS_PER_NODE = 4
MEMORY_MIB_PER_NODE = 4_096

_CGROUPS = """
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/cgroup
"""
_NO_CGROUPS = """
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
"""
CGROUP_CONF = """
CgroupPlugin=cgroup/v1
ConstrainRAMSpace=yes
ConstrainSwapSpace=yes
AllowedSwapSpace=0
ConstrainCores=no
""".lstrip()


@dataclass(frozen=True)
class Plan:
    """What a cluster is made of.

    Nodes are processes of one machine, and their names are those of their control groups: they
    begin with the cluster's own ``tag``, so that several clusters can run beside each other. All
    but the last have GPUs.
    """

    folder: Path
    tag: str
    ports: Mapping[str, int]
    uses_cgroups: bool

    @property
    def nodes(self) -> Sequence[str]:
        """The names of all nodes."""
        return [f"{self.tag}-n{number}" for number in (1, 2, 3)]

    @property
    def gpu_nodes(self) -> Sequence[str]:
        """The names of those with GPUs."""
        return self.nodes[:-1]


def slurm_conf(plan: Plan) -> str:
    """``slurm.conf``: several slurmd on one host, resources larger than the machine's, fast."""
    folder, ports = plan.folder, plan.ports
    return f"""
ClusterName={CLUSTER}
SlurmctldHost={socket.gethostname()}(127.0.0.1)
SlurmctldPort={ports["slurmctld"]}
SlurmUser=root
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/jwt.key
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
GresTypes=gpu,shard
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=30
MessageTimeout=3
KillWait=1
CompleteWait=0
MinJobAge=10
SchedulerParameters=sched_interval=1,sched_min_interval=10000,bf_interval=1,batch_sched_delay=0
MaxArraySize=1001
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports["slurmdbd"]}
AccountingStoragePass={folder}/munge/socket
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu,gres/gpu:{GPU_MODEL},gres/shard
JobAcctGatherFrequency=task=1
{_CGROUPS if plan.uses_cgroups else _NO_CGROUPS}
{_node_lines(plan)}
PartitionName=main Nodes={",".join(plan.nodes)} Default=YES State=UP DefMemPerNode=256
PartitionName=gpu Nodes={",".join(plan.gpu_nodes)} State=UP DefMemPerNode=256
""".lstrip()


def gres_conf(plan: Plan) -> str:
    """``gres.conf``: a plain file stands for each GPU, since no job here opens it."""
    devices = f"{plan.folder}/gpu[0-{GPUS_PER_NODE - 1}]"
    return "".join(
        f"NodeName={node} Name=gpu Type={GPU_MODEL} File={devices}\n"
        f"NodeName={node} Name=shard Count={GPUS_PER_NODE * SHARDS_PER_GPU}\n"
        for node in plan.gpu_nodes
    )


def slurmdbd_conf(plan: Plan) -> str:
    """``slurmdbd.conf``: over a MariaDB of its own."""
    folder, ports = plan.folder, plan.ports
    return f"""
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports["slurmdbd"]}
CommunicationParameters=NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/jwt.key
PidFile={folder}/slurmdbd.pid
LogFile={folder}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports["mariadb"]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
CommitDelay=1
""".lstrip()


def _node_lines(plan: Plan) -> str:
    gres = f" Gres=gpu:{GPU_MODEL}:{GPUS_PER_NODE},shard:{GPUS_PER_NODE * SHARDS_PER_GPU}"
    return "\n".join(
        f"NodeName={node} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 "
        f"Port={plan.ports[node.removeprefix(f'{plan.tag}-')]} CPUs={CPUS_PER_NODE} "
        f"RealMemory={MEMORY_MIB_PER_NODE}{gres if node in plan.gpu_nodes else ''}"
        for node in plan.nodes
    )
