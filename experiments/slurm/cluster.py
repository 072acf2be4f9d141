"""A SLURM cluster of one node on this machine, for as long as a command runs: no accounting, no GPUs, no root needed.

    python experiments/slurm/cluster.py sinfo
    python experiments/slurm/cluster.py python -m jewelenh.fetch -m source.limit=2,3 hydra/launcher=slurm ...

Debian: apt-get install slurm-wlm munge.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd")
CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,requeue_delay=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=60
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def find(program: str) -> str | None:
    """Return where a daemon is: Debian keeps them where a user's PATH does not look."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start munged, slurmctld and slurmd with all they write in `folder`; yield the environment that finds them."""
    host = socket.gethostname().partition(".")[0]
    for part in ("state", "spool"):
        (folder / part).mkdir(parents=True)
    values = {"host": host, "ports": free_ports(), "user": getpass.getuser(), "folder": folder, "cpus": os.cpu_count()}
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(**values), encoding="utf-8")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    places = {"socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log", "seed-file": "munge.seed"}
    munge = [f"--{name}={folder / file}" for name, file in places.items()]
    commands = [
        [find("munged"), "--foreground", "--force", f"--key-file={key}", *munge],
        [find("slurmctld"), "-D", "-c", "-f", str(conf)],
        [find("slurmd"), "-D", "-N", host, "-f", str(conf)],
    ]
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    with contextlib.ExitStack() as stack:
        for command in commands:
            stack.enter_context(daemon([str(word) for word in command], folder, environment))
            time.sleep(0.5)
        wait_for_node(environment)
        yield environment


@contextlib.contextmanager
def daemon(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a program as long as the body does."""
    with (folder / f"{Path(command[0]).name}.out").open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_node(environment: dict[str, str], seconds: float = 60.0) -> None:
    """Wait until the node is idle."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        asked = subprocess.run(
            ["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True, check=False
        )
        if asked.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    raise SystemExit(f"The cluster does not come up: {asked.stdout}{asked.stderr}")


def free_ports(n: int = 2) -> list[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [one.getsockname()[1] for one in sockets]


def main() -> None:
    """Run a command on a cluster of its own."""
    missing = [program for program in PROGRAMS if find(program) is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)} (Debian: apt-get install slurm-wlm munge)")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, cluster(Path(folder)) as environment:
        sys.exit(subprocess.run(sys.argv[1:], env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
