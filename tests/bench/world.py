"""What the benchmarks of the running daemon share: data made once, loads, and readings."""
import os
import re
import shutil
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
import rankd as system  # noqa: E402  (tests/system/rankd.py)

WORK = os.path.join(system.BUILD, "bench", "work")
TOOLS = os.path.join(system.BUILD, "bench")
MIB = 1 << 20
OPTIONS = {}  # of every daemon, section__key to value: what scripts/bench -o gives


def say(text):
    print(f"  # {text}", file=sys.stderr, flush=True)


def work(*names):
    path = os.path.join(WORK, *names)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def tool(name, *arguments):
    """A benchmark in C to its end: its lines `name value` as a dict."""
    done = subprocess.run([os.path.join(TOOLS, name), *map(str, arguments)], capture_output=True, text=True, check=True)
    return dict((line.split()[0], float(line.split()[1])) for line in done.stdout.splitlines() if len(line.split()) == 2)


def made_once(name, command):
    """The file that a command prints; kept for the next run."""
    path = work("files", name)
    if not os.path.exists(path):
        say(f"making {name}")
        with open(path + ".new", "wb") as out:
            subprocess.run([str(part) for part in command], stdout=out, check=True)
        os.replace(path + ".new", path)
    return path


def shop_file(events, users, items, groups):
    shop = os.path.join(ROOT, "scripts", "shop")
    return made_once(f"shop-{events}-{users}-{items}.jsonl",
                     [shop, "--events", events, "--users", users, "--items", items, "--groups", groups])


def new_daemon(name, follow=None, **options):
    """A daemon on an empty directory of that name, not started. follow: a file it learns."""
    shutil.rmtree(work("data", name), ignore_errors=True)
    d = old_daemon(name, **options)
    if follow:
        d.options["file.bench.path"] = follow
    return d


def old_daemon(name, **options):
    os.makedirs(work("data", name), exist_ok=True)
    return system.Rankd(work("data", name), **{"checkpoint__map_size": "64GiB", **options, **OPTIONS})


def learned_daemon(name, path, **options):
    """A daemon, stopped, that has learned a file; made once for each run of scripts/bench."""
    if name not in learned_daemon.done:
        d = new_daemon(name, path, log__enabled="no", **options)
        say(f"learning {os.path.basename(path)} into {name}")
        try:
            d.start(60)
            d.wait_caught_up(600)
            d.admin("POST", "/admin/checkpoint")
            d.stop(timeout_s=60)
        finally:
            d.close()
        learned_daemon.done.add(name)
    return old_daemon(name, **options)


learned_daemon.done = set()


class Load:
    """bench_daemon_load posting to a daemon beside what is measured."""

    next_first = int(time.time()) * 1000000

    def __init__(self, d, **options):
        options.setdefault("first", Load.next_first)
        Load.next_first += 100000000
        self.process = subprocess.Popen([os.path.join(TOOLS, "bench_daemon_load"), d.http, *(f"{k}={v}" for k, v in options.items())],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def result(self):
        """Its figures, or {} when it was cut short."""
        text, _ = self.process.communicate()
        return {line.split()[0]: float(line.split()[1]) for line in text.splitlines()}

    def stop(self):
        self.process.kill()
        self.process.communicate()


def wrk(d, users, seconds=5, connections=8, k=20):
    """wrk asking for recommendations of random users: requests a second and p99 in ms."""
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s",
                           os.path.join(ROOT, "tests", "bench", "recommend.lua"), f"http://{d.http}", "--", str(users), str(k)],
                          capture_output=True, text=True, check=True)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", done.stdout)
    if bad:
        say(f"wrk: {bad[0]}")
    p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s)\b", done.stdout)
    scale = {"us": 1e-3, "ms": 1, "s": 1e3}
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)[1]), float(p99[1]) * scale[p99[2]]


class Memory:
    """The largest RssAnon of a process, looked at 20 times a second."""

    def __init__(self, pid):
        self.pid, self.highest, self.ending = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.ending.wait(0.05):
            try:
                with open(f"/proc/{self.pid}/status") as f:
                    self.highest = max(self.highest, int(re.search(r"RssAnon:\s+(\d+) kB", f.read())[1]) * 1024)
            except (OSError, TypeError):
                return

    def end(self):
        self.ending.set()
        self.thread.join()
        return self.highest


def thread_seconds(pid, name):
    """Processor time of the threads of that name so far."""
    total = 0.0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm") as f:
            if f.read().strip() != name:
                continue
        with open(f"/proc/{pid}/task/{thread}/schedstat") as f:
            total += int(f.read().split()[0]) / 1e9
    return total


def histogram(metrics, name):
    """{bound: cumulative count} of a histogram without labels."""
    return {float(dict(labels)["le"].replace("+Inf", "inf")): n for labels, n in metrics[name + "_bucket"].items()}


def quantile(before, after, q):
    """As Prometheus takes it: linear within the bucket."""
    bounds = sorted(after)
    counts = [after[b] - before[b] for b in bounds]
    wanted = q * counts[-1]
    for k, bound in enumerate(bounds):
        if counts[k] >= wanted and counts[-1] > 0:
            low, below = (bounds[k - 1], counts[k - 1]) if k else (0.0, 0.0)
            if bound == float("inf"):
                return low
            return low + (bound - low) * (wanted - below) / max(1.0, counts[k] - below)
    return float("nan")


def raw_fdatasync(size, seconds=3.0):
    """How many appends of size bytes, each made durable, the disk takes in a second."""
    path = work("fdatasync.tmp")
    fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    data, n, end = b"x" * size, 0, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            os.write(fd, data)
            os.fdatasync(fd)
            n += 1
    finally:
        os.close(fd)
        os.unlink(path)
    return n / seconds
