"""Starts the real rankd, rankctl and Kafka broker for a test and speaks to them."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("RANKD_BUILD", "build"))
# Sanitised builds are several times slower; every deadline below is multiplied by this.
PATIENCE = float(os.environ.get("RANKD_TEST_PATIENCE", "1"))
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|: runtime error: ")


def poll(what, ask, timeout_s=20.0):
    """Asks until the answer is true and returns it; fails with the last answer when the deadline passes."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s * PATIENCE:g} s, last answer {answer!r}")
        time.sleep(0.01)


def clean_environment(extra=None):
    """The caller's environment without RANKD_* (which would configure the daemon), and what the test sets."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RANKD_") or k.startswith("RANKD_TEST_")}
    env.update(extra or {})
    return env


def binary(name):
    path = os.path.join(BUILD, name)
    assert os.path.exists(path), f"{path} is not built"
    return path


def run(name, *arguments, input=None, env=None, timeout_s=60):
    """Runs rankd or rankctl to its end: the CompletedProcess with text output."""
    return subprocess.run([binary(name), *arguments], input=input, capture_output=True, text=True,
                          env=clean_environment(env), timeout=timeout_s * PATIENCE)


class Reply:
    """One HTTP answer. body is bytes; json and error() look inside."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def error(self):
        """The code of an error answer, whose form is checked."""
        error = self.json["error"]
        assert set(error) <= {"code", "message", "field", "limit"} and error["message"], error
        return error["code"]

    def ok(self):
        assert self.status == 200, f"status {self.status}: {self.body[:500]!r}"
        return self.json

    def __repr__(self):
        return f"Reply({self.status}, {self.body[:300]!r})"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def http_request(address, method, path, body=None, headers=None, timeout_s=30):
    """address: "HOST:PORT" or the path of a unix socket. A new connection each time."""
    timeout = timeout_s * PATIENCE
    if address.startswith("/"):
        connection = UnixConnection(address, timeout)
    else:
        connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def query(path, parameters):
    return f"{path}?{urllib.parse.urlencode(parameters)}" if parameters else path


def parse_metrics(text):
    """Prometheus text as {name: {frozenset of (label, value): number}}."""
    metrics = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)', line)
        assert match, f"not a metric: {line!r}"
        labels = frozenset(re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', match[2] or ""))
        series = metrics.setdefault(match[1], {})
        assert labels not in series, f"twice: {line!r}"
        series[labels] = float(match[3])
    return metrics


class Metrics(dict):
    def value(self, name, **labels):
        """The sum of the series of name that carry these labels; 0 is an answer, an unknown name is not."""
        assert name in self, f"no metric {name}; there are {sorted(self)}"
        wanted = set(labels.items())
        return sum(v for series, v in self[name].items() if wanted <= series)


class Rankd:
    """One data directory and the daemon on it. Options are given as section__key=value or by set()."""

    def __init__(self, directory, env=None, wrapper=(), **options):
        self.dir = str(directory)
        self.data_dir = os.path.join(self.dir, "data")
        os.makedirs(self.data_dir, exist_ok=True)
        self.env, self.wrapper = dict(env or {}), list(wrapper)
        self.options = {"rankd.data_dir": self.data_dir, "http.listen": "127.0.0.1:0", "metrics.listen": "127.0.0.1:0",
                        "checkpoint.map_size": "4GiB", "checkpoint.preallocate": "0"}
        self.set(**options)
        self.config_file = None
        self.process, self.reader, self.lines = None, None, []
        self.http = self.metrics_address = self.admin_address = None
        self.starts = 0

    def set(self, **options):
        for key, value in options.items():
            self.options[key.replace("__", ".", 1)] = str(value)
        return self

    def write_config(self, text):
        """A configuration file for the next start; what -o says still wins."""
        self.config_file = os.path.join(self.dir, "rankd.conf")
        with open(self.config_file, "w") as f:
            f.write(text)
        return self

    def overrides(self):
        """The options as arguments of any subcommand."""
        file = ["-c", self.config_file] if self.config_file else []
        return file + [part for key, value in self.options.items() for part in ("-o", f"{key}={value}")]

    def command(self):
        return [*self.wrapper, binary("rankd"), "run", *self.overrides()]

    def launch(self):
        """Starts the process without waiting for anything."""
        assert self.process is None, "already running"
        self.starts += 1
        self.lines = []
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=clean_environment(self.env), start_new_session=True)
        self.reader = threading.Thread(target=self._read, args=(self.process.stderr, self.lines), daemon=True)
        self.reader.start()
        return self

    def _read(self, stream, lines):
        with open(os.path.join(self.dir, f"rankd.{self.starts}.log"), "wb") as copy:
            for line in stream:
                copy.write(line)
                copy.flush()
                lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))

    def start(self, timeout_s=20):
        self.launch()
        line = poll("rankd is ready", lambda: self.find_log("event=ready") or self.ended(), timeout_s)
        assert line is not True, f"rankd ended with {self.process.returncode} instead of being ready:\n{self.log()}"
        fields = logfmt(line)
        self.http, self.metrics_address, self.admin_address = fields["http"], fields.get("metrics"), fields["admin"]
        return self

    def ended(self):
        if self.process.poll() is None:
            return False
        self.reader.join(10)
        return True

    def log(self):
        return "\n".join(self.lines)

    def find_log(self, *parts):
        """The first log line of this run that holds all parts, or None."""
        for line in list(self.lines):
            if all(re.search(rf"(?<!\S){re.escape(part)}(?!\S)" if "=" in part else re.escape(part), line) for part in parts):
                return line
        return None

    def wait_log(self, *parts, timeout_s=20):
        return poll(f"log line with {parts}", lambda: self.find_log(*parts), timeout_s)

    def signal(self, number):
        self.process.send_signal(number)

    def freeze(self):
        """All threads stand still until thaw(); what is sent meanwhile is there at once then, however fast anybody is."""
        self.signal(signal.SIGSTOP)
        poll("all threads stand still", lambda: all(thread_state(self.process.pid, t) == "T" for t in threads(self.process.pid)))

    def thaw(self):
        self.signal(signal.SIGCONT)

    def _finish(self, timeout_s):
        try:
            status = self.process.wait(timeout_s * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"rankd did not end within {timeout_s * PATIENCE:g} s:\n{self.log()[-4000:]}") from None
        self.reader.join(10)
        self.process.stderr.close()
        self.process = None
        return status

    def stop(self, status=0, timeout_s=10):
        """SIGTERM; the exit status is checked."""
        self.process.send_signal(signal.SIGTERM)
        got = self._finish(timeout_s)
        assert got == status, f"rankd ended with {got}, not {status}:\n{self.log()[-4000:]}"

    def wait_exit(self, timeout_s=20):
        """For a daemon that ends by itself: its exit status."""
        return self._finish(timeout_s)

    def kill9(self):
        self.process.kill()
        assert self._finish(10) == -signal.SIGKILL

    def restart(self, **options):
        """Starts again on the same directory, after an orderly stop when it still runs."""
        if self.process is not None:
            self.stop()
        return self.set(**options).start()

    def close(self, orderly=False):
        """For the end of a test: nothing stays running. orderly: it must still end well, with nothing to report."""
        if self.process is not None and orderly:
            self.stop(timeout_s=20)
        if self.process is not None:
            self.process.kill()
            self._finish(10)

    def check_sanitizers(self):
        """Fails when any run of this daemon said something that only a sanitizer says."""
        for n in range(1, self.starts + 1):
            with open(os.path.join(self.dir, f"rankd.{n}.log"), errors="replace") as f:
                text = f.read()
            found = SANITIZER.search(text)
            assert found is None, f"run {n}:\n{text[found.start():][:8000]}"

    def replay(self, into, *arguments, **options):
        """rankd replay into the directory of that name beside data: {"digest", "records", "learned", "seconds"}."""
        changed = [part for key, value in options.items() for part in ("-o", f"{key.replace('__', '.', 1)}={value}")]
        done = run("rankd", "replay", *self.overrides(), *changed, *arguments, "--json", "--into", os.path.join(self.dir, into),
                   timeout_s=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def log_dir(self):
        return os.path.join(self.data_dir, "log")

    def log_events(self):
        """How many events the own log holds."""
        n = 0
        for name in os.listdir(self.log_dir):
            if name.endswith(".jsonl"):
                with open(os.path.join(self.log_dir, name), "rb") as f:
                    n += f.read().count(b"\n")
        return n

    def get(self, path, headers=None, **parameters):
        return http_request(self.http, "GET", query(path, parameters), headers=headers)

    def post(self, path, body, content_type="application/json", headers=None, **parameters):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        return http_request(self.http, "POST", query(path, parameters), body, {"Content-Type": content_type, **(headers or {})})

    def admin(self, method, path, body=None, content_type="application/json", **parameters):
        """A request to the admin socket; its parsed answer, which must be a success."""
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        headers = {"Content-Type": content_type} if body is not None else {}
        return http_request(self.admin_address, method, query(path, parameters), body, headers).ok()

    def status(self):
        return self.admin("GET", "/admin/status")

    def digest(self):
        """(hex digest, sequence) of the live model."""
        answer = self.admin("GET", "/admin/digest")
        return answer["digest"], answer["sequence"]

    def metrics(self):
        answer = http_request(self.metrics_address, "GET", "/metrics")
        assert answer.status == 200, answer
        return Metrics(parse_metrics(answer.body.decode()))

    def send(self, events):
        """Posts events (dicts, or lines) as JSON Lines to the public intake; the answer's body."""
        lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
        return self.post("/v1/events", "\n".join(lines) + "\n", "application/x-ndjson").ok()

    def wait_sequence(self, n, timeout_s=30):
        """Until the model has taken n steps; the status then."""
        return self._wait_status(f"sequence {n}", lambda s: s["sequence"] >= n, timeout_s)

    wait_learned = wait_sequence

    def wait_durable(self, n, timeout_s=90):
        return self._wait_status(f"durable sequence {n}", lambda s: s["durable_sequence"] >= n, timeout_s)

    def wait_events(self, n, timeout_s=30):
        """Until n events are learned or skipped; the status then."""
        return self._wait_status(f"{n} events learned or skipped", lambda s: s["sequence"] >= n and s["events"]["learned"] + sum(
            s["events"]["skipped"].values()) >= n, timeout_s)  # the status reads the sequence first

    def wait_caught_up(self, timeout_s=60):
        """Until every source is read to its end; the status then. What was sent must be durable already."""
        return self._wait_status("sources read to their end", lambda s: s["sources"] and all(
            x["lag_events"] == 0 and x["position"] == x["end"] for x in s["sources"]), timeout_s)

    def _wait_status(self, what, good, timeout_s):
        try:
            return poll(what, lambda: self._status_if(good), timeout_s)
        except AssertionError as late:
            raise AssertionError(f"{late}: {self.last_status}") from None

    def _status_if(self, good):
        self.last_status = status = self.status()
        return status if good(status) else None

    def recommend(self, user, **parameters):
        return self.get("/v1/recommend", user=user, **parameters).ok()


def threads(pid):
    return os.listdir(f"/proc/{pid}/task")


def thread_state(pid, tid):
    """A letter as of proc(5): S asleep, T stopped."""
    with open(f"/proc/{pid}/task/{tid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0]


def logfmt(line):
    """A log line's pairs; quoted values are unescaped where that is simple."""
    pairs = {}
    for key, quoted, plain in re.findall(r'(\S+?)=(?:"((?:[^"\\]|\\.)*)"|(\S*))', line):
        pairs[key] = re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
    return pairs


class Kafka:
    """The real broker, through scripts/kafka."""

    def __init__(self, directory):
        self.dir = str(directory)
        self.bootstrap = None

    def script(self, *arguments, input=None, check=True):
        done = subprocess.run([os.path.join(ROOT, "scripts", "kafka"), "--dir", self.dir, *map(str, arguments)],
                              input=input, capture_output=True, text=True, timeout=300)
        assert not check or done.returncode == 0, f"kafka {arguments}: {done.stdout}{done.stderr}"
        return done

    def start(self, *options):
        self.bootstrap = self.script("start", *options).stdout.strip()
        return self

    def stop(self):
        self.script("stop")

    def kill9(self):
        self.script("kill")

    def create(self, topic, partitions=1, **configs):
        """configs: as Kafka names them, with _ for each dot."""
        self.script("create", topic, partitions, *(f"{k.replace('_', '.')}={v}" for k, v in configs.items()))
        return topic

    def delete(self, topic):
        self.script("delete", topic)

    def add_partitions(self, topic, total):
        self.script("add-partitions", topic, total)

    def delete_records(self, topic, partition, before):
        self.script("delete-records", topic, partition, before)

    def watermarks(self, topic):
        """[(low, high)] by partition."""
        rows = [line.split() for line in self.script("watermarks", topic).stdout.splitlines()]
        return [(int(low), int(high)) for _, low, high in rows]

    def produce(self, topic, lines, partition=None, ts_ms=None, txn=None, keys=False):
        """lines: values, or with keys "KEY\\tVALUE". txn: commit, abort or open. Returns how many were delivered."""
        options = ["keys=yes"] if keys else []
        for name, value in (("partition", partition), ("ts", ts_ms), ("txn", txn)):
            if value is not None:
                options.append(f"{name}={value}")
        text = "".join(f"{line}\n" for line in lines)
        done = self.script("produce", topic, *options, input=text)
        n = int(done.stdout)
        assert n == len(lines)
        return n

    def produce_events(self, topic, events, **options):
        """Events as dicts or lines, keyed by their user."""
        rows = []
        for event in events:
            line = event if isinstance(event, str) else json.dumps(event)
            rows.append(f"{json.loads(line)['user']}\t{line}")
        return self.produce(topic, rows, keys=True, **options)


def shop(*arguments):
    """Lines of the simulated shop."""
    done = subprocess.run([os.path.join(ROOT, "scripts", "shop"), *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def click(n, user, item):
    """The n-th second's click."""
    return {"type": "click", "user": user, "item": item, "ts": 1700000000 + n}


def describe(daemon, *events):
    """Sends what only the admin listener takes; the daemon has learned it then."""
    before = daemon.status()["sequence"]
    daemon.admin("POST", "/v1/events", list(events))
    daemon.wait_learned(before + len(events))


def items_of(answer):
    return [x["item"] for x in answer["items"]]


def with_baskets(lines, every=5):
    """The same lines, but one event in so many is of several items: its own and those of the two events before it."""
    out, items = [], []
    for n, line in enumerate(lines):
        event = json.loads(line)
        if "user" in event and "item" in event:
            items = [*items, event["item"]][-3:]
            if n % every == 0:
                del event["item"]
                event["items"] = list(dict.fromkeys(items))
        out.append(json.dumps(event))
    return out


def have(program):
    return shutil.which(program) is not None
