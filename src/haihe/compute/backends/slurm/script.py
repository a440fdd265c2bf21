"""The scripts of an attempt: what Slurm starts, and what that runs. Pure: an order in, text out.

Slurm is handed a batch script that only leads to the attempt's own ``run.sh``, so that the elements
of an array may differ. ``run.sh`` first claims its folder by making a directory, which happens once
whatever Slurm does: a job that Slurm starts again after a node failed, or that reached it twice,
finds the claim and ends without running anything. Plain POSIX shell: a node needs nothing of Haihe.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from haihe.compute.backends import WorkOrder, environment_of

RUN = "run.sh"
# What a script ends with that found its folder claimed.
REPEATED_EXIT = 125
_BLOCK_BYTES = 512

_RUN_TEMPLATE = """\
#!/bin/sh
# {title}
run={run}
if [ "${{1-}}" != node ]; then
    me=$SLURM_JOB_ID
    [ -z "${{SLURM_ARRAY_JOB_ID-}}" ] || me=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID
    if ! mkdir "$run/claim" 2>/dev/null; then
        echo "$me" > "$run/repeated"
        exit {repeated}
    fi
    echo "$me" > "$run/claim/job"
{gang}fi
exec >> {log} 2>&1 < /dev/null
cd {work} || exit 126
ulimit -c 0
ulimit -f {blocks}
ulimit -S -t {cpu_s} && ulimit -H -t {cpu_hard_s}
{exports}
exec {command}
"""
_GANG_TEMPLATE = """\
    HAIHE_NODES=$(echo $(scontrol show hostnames "$SLURM_JOB_NODELIST"))
    export HAIHE_NODES
    exec srun --ntasks={nodes} --ntasks-per-node=1 --cpus-per-task={cpus} --kill-on-bad-exit=1 \\
        --export=ALL /bin/sh {script} node
"""


def run_script(order: WorkOrder, *, run: Path, search_path: str) -> str:
    """``run.sh`` of one attempt; on each node of a gang it runs once."""
    folder = order.folder
    environment = {
        "PATH": search_path,
        "HOME": str(folder / "work"),
        "TMPDIR": str(folder / "work" / "tmp"),
        **environment_of(order),
    }
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    gang = ""
    if order.nodes > 1:
        exports.append('export HAIHE_NODE_INDEX="$SLURM_NODEID"')
        gang = _GANG_TEMPLATE.format(
            nodes=order.nodes, cpus=cpus_of(order), script=_quoted(folder / RUN)
        )
    return _RUN_TEMPLATE.format(
        title=f"Haihe attempt {order.attempt_id}".replace("\n", " "),
        run=_quoted(run),
        repeated=REPEATED_EXIT,
        gang=gang,
        log=_quoted(folder / "log.txt"),
        work=_quoted(folder / "work"),
        blocks=-(-order.output_bytes // _BLOCK_BYTES),
        cpu_s=order.cpu_limit_s,
        cpu_hard_s=order.cpu_limit_s + 1,
        exports="\n".join(exports),
        command=shlex.join(order.command),
    )


def batch_script(folders: Sequence[Path]) -> str:
    """What Slurm is handed: it leads to the ``run.sh`` of the attempt, or of the element."""
    if len(folders) == 1:
        return f"#!/bin/sh\nexec /bin/sh {_quoted(folders[0] / RUN)}\n"
    cases = "".join(
        f"{index}) exec /bin/sh {_quoted(folder / RUN)} ;;\n"
        for index, folder in enumerate(folders)
    )
    return f"#!/bin/sh\ncase $SLURM_ARRAY_TASK_ID in\n{cases}esac\nexit {REPEATED_EXIT}\n"


def submission_environment(search_path: str) -> Mapping[str, str]:
    """All that a submission takes along; the job's own environment is in its ``run.sh``."""
    return {"PATH": search_path, "LANG": "C.UTF-8"}


def cpus_of(order: WorkOrder) -> int:
    """Slurm counts whole CPUs."""
    return max(1, -(-order.cpu_milli // 1_000))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
