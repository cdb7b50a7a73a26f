"""Several hosts, for real, on this machine: a SLURM of two nodes, and two network namespaces, under torchrun or with a
database.

Not part of the default run: `pytest -m cluster --numprocesses 0`. Both need root on Linux; what is missing is
installed with apt-get.
"""

import csv
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import bake_into, find_uv, needs

ROOT_REASON = "needs root on Linux: it starts daemons and makes network namespaces"
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason=ROOT_REASON),
]

LANGUAGE = [
    "--data.batch_size=7",
    "--data.context=32",
    "--trainer.accelerator=cpu",
    "--trainer.max_steps=60",
    "--trainer.val_check_interval=20",
    "--trainer.limit_val_batches=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--last_checkpoint.every_n_steps=10",
]
# Long enough to be stopped on the way: a step takes a tenth of a second.
SLOW = """
import time
from lit_project.model import Model
step = Model.training_step
def slow(*arguments):
    time.sleep(0.1)
    return step(*arguments)
Model.training_step = slow
"""


@pytest.fixture
def project(tmp_path, python):
    """A baked project whose environment is where `uv sync` would put it, and whose steps are slow enough to watch."""
    project = bake_into(tmp_path, task="language", logger="csv")
    (project / ".venv").symlink_to(python.parents[1])
    source = project / "src/lit_project/__main__.py"
    source.write_text(SLOW + source.read_text())
    return project


def environment(project, **more):
    path = f"{project}/.venv/bin:{os.environ['PATH']}"
    settings = {"PYTHONPATH": f"{project}/src", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "", "PATH": path}
    return {**os.environ, **settings, **more}


def rows(project, run):
    path = project / "runs" / run / "metrics.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def steps(project, run):
    """The steps whose training loss was logged."""
    return [int(row["step"]) for row in rows(project, run) if row["train/loss"]]


def wait_for(what, seconds, log):
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain:\n{log()[-6000:]}", pytrace=False)
        time.sleep(0.2)


@contextmanager
def running(command, log, **options):
    """A process, ended with all that it started."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


SLURM = """
ClusterName=local
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/%n
StateSaveLocation={folder}/state
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobRequeue=1
KillWait=10
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=2000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=2000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture
def slurm(tmp_path):
    """A SLURM with the nodes n1 and n2 on this machine, without systemd and cgroups; gives the path of its settings."""
    needs("slurmctld", "slurm-wlm", "munge")
    folder = tmp_path / "slurm"
    for name in ("state", "n1", "n2"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o600)
    config = folder / "slurm.conf"
    config.write_text(SLURM.format(folder=folder, host=socket.gethostname().partition(".")[0], ports=free_ports(3)))
    munge = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munge += [f"--{kind}-file={folder}/munge.{kind}" for kind in ("log", "pid", "seed")]
    daemons = [munge, ["slurmctld", "-D", "-c"], ["slurmd", "-D", "-N", "n1"], ["slurmd", "-D", "-N", "n2"]]
    settings = {**os.environ, "SLURM_CONF": str(config)}
    log = folder / "log"
    with ExitStack() as stack:
        for daemon in daemons:
            stack.enter_context(running(daemon, log, env=settings))
            if daemon is munge:
                wait_for((folder / "munge.socket").exists, 10, log.read_text)
        listing = ["sinfo", "--noheader", "--Node", "--format=%T"]

        def idle():
            return subprocess.run(listing, env=settings, capture_output=True, text=True).stdout == "idle\nidle\n"

        wait_for(idle, 30, log.read_text)
        yield config


def test_slurm_job_is_requeued_by_its_signal_and_finishes(project, slurm):
    settings = environment(project, SLURM_CONF=str(slurm), MASTER_ADDR="127.0.0.1", GLOO_SOCKET_IFNAME="lo")

    def ask(*command):
        return subprocess.run(command, env=settings, cwd=project, capture_output=True, text=True, check=True).stdout

    small = ["--ntasks-per-node=1", "--gpus-per-node=0", "--cpus-per-task=1", "--time=10"]
    job = ask("sbatch", "--parsable", *small, "scripts/train.sbatch", *LANGUAGE).strip()
    run = f"slurm-{job}"
    log = project / f"slurm-{job}.log"

    def state():
        return ask("squeue", "--noheader", "--jobs", job, "--states=all", "--format=%T").strip()

    wait_for(lambda: len(steps(project, run)) > 15, 120, log.read_text)
    ask("scancel", "--signal=USR1", job)
    wait_for(lambda: state() == "PENDING", 60, log.read_text)
    assert "Stopped by SIGUSR1" in log.read_text()
    stopped = steps(project, run)
    assert 15 < len(stopped) < 60
    time.sleep(3)  # a node starts no job in the second in which it was killed there
    ask("scontrol", "update", f"JobId={job}", "StartTime=now")  # otherwise, two minutes later
    wait_for(lambda: state() == "COMPLETED", 120, log.read_text)
    assert steps(project, run) == list(range(60))
    assert "MEMBER: 2/2" in log.read_text()
    assert [path.name for path in (project / "runs").iterdir()] == [run]


SWEEP = """
metric: val/loss
direction: minimize
trials: 4
search: {model.optimizer.init_args.lr: {float: [0.001, 0.01], log: true}}
"""


def test_slurm_array_shares_a_sweep_and_goes_on_after_its_signal(project, slurm):
    settings = environment(project, SLURM_CONF=str(slurm))
    (project / "mine.yaml").write_text(SWEEP)

    def ask(*command):
        return subprocess.run(command, env=settings, cwd=project, capture_output=True, text=True, check=True).stdout

    def said():
        return "".join(path.read_text() for path in sorted(project.glob("slurm-*.log")))

    small = ["--array=0-1", "--gpus-per-task=0", "--cpus-per-task=1", "--time=10"]
    job = ask("sbatch", "--parsable", *small, "scripts/sweep.sbatch", "mine.yaml", *LANGUAGE).strip()

    def states():
        listed = ask("squeue", "--noheader", "--array", "--jobs", job, "--states=all", "--format=%K %T")
        return dict(line.split() for line in listed.splitlines())

    wait_for(lambda: len(steps(project, "mine/001")) > 5, 180, said)
    ask("scancel", "--signal=USR1", "--batch", f"{job}_0")
    wait_for(lambda: states()["0"] == "PENDING", 60, said)
    assert "Stopped by SIGUSR1; the same command goes on" in said()
    time.sleep(3)  # as above
    ask("scontrol", "update", f"JobId={job}_0", "StartTime=now")
    wait_for(lambda: set(states().values()) == {"COMPLETED"}, 300, said)
    assert "4 complete" in said()
    assert all(steps(project, f"mine/{number:03}") == list(range(60)) for number in range(4))


@pytest.fixture
def hosts():
    """Two hosts, network namespaces n0 and n1 with the addresses 10.77.0.1 and 10.77.0.2, joined by a cable."""
    needs("ip", "iproute2")
    names = [f"lit{os.getpid()}n{number}" for number in (0, 1)]
    ends = [f"v{os.getpid()}n{number}" for number in (0, 1)]

    def ip(*words):
        return subprocess.run(["ip", *words], capture_output=True, text=True)

    try:
        for name in names:
            if refused := ip("netns", "add", name).stderr:
                pytest.skip(f"this machine makes no network namespaces: {refused.strip()}")
        ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
        for number, (name, end) in enumerate(zip(names, ends, strict=True), start=1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield list(zip(names, ends, strict=True))
    finally:
        for name in names:
            ip("netns", "del", name)


def test_killed_worker_on_one_of_two_hosts_is_started_again_and_the_run_ends(project, hosts):
    torchrun = ["torchrun", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=10", "--rdzv-backend=c10d"]
    torchrun += ["--rdzv-id=job", "--rdzv-endpoint=10.77.0.1:29400"]
    fit = ["-m", "lit_project", "fit", "--preset=multi-node", *LANGUAGE]
    run = "torchrun-job"
    logs = [project / f"host{number}.log" for number in (0, 1)]

    def told():
        return "\n".join(log.read_text()[-3000:] for log in logs)

    with ExitStack() as stack:
        agents = []
        for number, ((name, end), log) in enumerate(zip(hosts, logs, strict=True)):
            # Both have this machine's name, from which torchrun would conclude which host has the rendezvous.
            own = [f"--rdzv-conf=is_host={number == 0}", f"--local-addr=10.77.0.{number + 1}"]
            agent = ["ip", "netns", "exec", name, *torchrun, *own, *fit]
            settings = environment(project, GLOO_SOCKET_IFNAME=end)
            agents.append(stack.enter_context(running(agent, log, cwd=project, env=settings)))
        wait_for(lambda: len(steps(project, run)) > 15, 120, told)
        workers = subprocess.run(["ip", "netns", "pids", hosts[1][0]], capture_output=True, text=True).stdout.split()
        worker = max(map(int, workers))
        assert "lit_project" in Path(f"/proc/{worker}/cmdline").read_text()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: all(agent.poll() is not None for agent in agents), 240, told)
        assert [agent.returncode for agent in agents] == [0, 0], told()
    assert steps(project, run) == list(range(60))
    assert "Restored all states" in told()
    assert [path.name for path in (project / "runs").iterdir()] == [run]


@pytest.fixture
def database(hosts):
    """A PostgreSQL on the first host, with a password; gives its address."""
    needs("postgres", "postgresql")
    # Debian's package puts its programs outside the PATH. They refuse to run as root.
    places = os.pathsep.join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
    initdb, postgres = (shutil.which(name, path=places) for name in ("initdb", "postgres"))
    other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    password, log, data = secrets.token_urlsafe(), folder / "log", folder / "data"
    try:
        (folder / "password").write_text(password)
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")
        init = [initdb, "--auth=scram-sha-256", "--username=me", f"--pwfile={folder}/password", "--no-sync", "-D", data]
        subprocess.run([*other, *init], check=True, capture_output=True, cwd=folder)
        with (data / "pg_hba.conf").open("a") as allowed:
            allowed.write("host all all 10.77.0.0/24 scram-sha-256\n")
        server = [postgres, "-D", data, "-h", "10.77.0.1", "-k", folder, "-F"]
        with running(["ip", "netns", "exec", hosts[0][0], *other, *server], log, cwd=folder):
            wait_for(lambda: "ready to accept connections" in log.read_text(), 30, log.read_text)
            yield f"postgresql://me:{password}@10.77.0.1/postgres"
    finally:
        shutil.rmtree(folder)


def test_two_hosts_share_a_sweep_in_a_database_and_a_killed_one_goes_on(project, hosts, database, tmp_path):
    driver = tmp_path / "driver"
    subprocess.run([find_uv(), "pip", "install", "--quiet", "--target", driver, "psycopg[binary]"], check=True)
    (project / "mine.yaml").write_text(SWEEP)
    settings = environment(project, LIT_PROJECT_STORAGE=database)
    settings["PYTHONPATH"] += f":{driver}"
    logs = [project / f"host{number}.log" for number in (0, 1)]

    def told():
        return "\n".join(log.read_text()[-3000:] for log in logs)

    def sweep(number):
        """That of a host with a network, a name and a folder of its own."""
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', f"host{number}"]
        command = ["python", "-m", "lit_project", "sweep", "mine.yaml", "--runs", f"host{number}/runs"]
        words = ["ip", "netns", "exec", hosts[number][0], *named, *command, *LANGUAGE]
        return running([*words, "--trainer.max_steps=30"], logs[number], cwd=project, env=settings)

    def trials(number):
        return sorted(path.name for path in (project / f"host{number}/runs/mine").glob("[0-9][0-9][0-9]"))

    def checkpoints(number):
        return [*(project / f"host{number}/runs/mine").glob("*/checkpoints/last.ckpt")]

    with ExitStack() as stack:
        first, second = (stack.enter_context(sweep(number)) for number in (0, 1))
        wait_for(lambda: checkpoints(0) and checkpoints(1), 120, told)
        os.kill(second.pid, signal.SIGKILL)
        second.wait()
        again = stack.enter_context(sweep(1))
        wait_for(lambda: all(one.poll() is not None for one in (first, again)), 240, told)
        assert [first.returncode, again.returncode] == [0, 0], told()
    assert trials(0)
    assert trials(1)
    numbers = sorted(map(int, [*trials(0), *trials(1)]))
    assert numbers in ([*range(4)], [*range(5)])  # both may begin the last one at the same moment
    ran = {f"host{number}/runs/mine/{name}" for number in (0, 1) for name in trials(number)}
    assert all(steps(project / run.partition("/")[0], run.partition("runs/")[2]) == list(range(30)) for run in ran)
    kept = [json.loads((project / f"host{number}/runs/mine/trials.json").read_text()) for number in (0, 1)]
    assert max(sum(trial["state"] == "complete" for trial in one["trials"]) for one in kept) == len(numbers)
    resumed = [run for run in ran if "Goes on from step" in (project / run / "log.txt").read_text()]
    assert [run[:5] for run in resumed] == ["host1"]
    password = database.partition("me:")[2].partition("@")[0]
    assert not any(password in path.read_text(errors="replace") for path in project.rglob("*") if path.is_file())
