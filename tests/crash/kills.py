"""kill -9 again and again while events arrive: the load, the killer, and the account that must be right at the end."""
import http.client
import json
import os
import random
import threading
import time

from rankd import http_request, poll

# Checkpoints all the time in most lives, so that kills hit them at every stage; fewer in others, which then lose more.
# The least page_memory: pages go into the file in the middle of checkpoints.
BUSY = {"checkpoint__write_budget": "16GiB/s", "checkpoint__max_interval": "1s", "checkpoint__page_memory": "64KiB"}
INTERVALS = ("10ms", "10ms", "40ms", "300ms")


def seed_of(request):
    """Another one at each run, printed; RANKD_TEST_SEED repeats a run (as far as threads allow)."""
    seed = int(os.environ.get("RANKD_TEST_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"{request.node.name}: RANKD_TEST_SEED={seed}")
    return seed


class Feed:
    """Sends batches on a thread of its own until every one is acknowledged; a batch without an answer is sent again.

    Each life of the daemon may have `portion` batches more, so that none is killed idle."""

    def __init__(self, batches, send, portion):
        self.batches, self.send, self.portion = batches, send, portion
        self.done = self.repeats = self.allowed = 0
        self.failure, self.ending = None, False
        self.change = threading.Condition()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while self.done < len(self.batches):
                with self.change:
                    while self.done >= self.allowed and not self.ending:
                        self.change.wait()
                if self.ending:
                    return
                if self.send(self.batches[self.done]):
                    self.done += 1
                else:
                    self.repeats += 1
                    time.sleep(0.002)
        except BaseException as e:  # told by the thread that asks
            self.failure = e

    def allow(self, n):
        with self.change:
            self.allowed = min(len(self.batches), self.allowed + n)
            self.change.notify()

    def end(self):
        with self.change:
            self.ending = True
            self.change.notify()

    def check(self):
        if self.failure:
            raise self.failure

    def finish(self, timeout_s=60):
        self.allow(len(self.batches))
        poll("everything acknowledged", lambda: self.check() or self.done == len(self.batches), timeout_s)
        self.thread.join(10)


def intake_sender(daemon, reject=0):
    """Posts a batch of lines to the daemon's public intake: True when acknowledged, False when that is not known."""
    def send(lines):
        address = daemon.http
        if address is None:
            return False
        try:
            reply = http_request(address, "POST", "/v1/events", "\n".join(lines).encode() + b"\n",
                                 {"Content-Type": "application/x-ndjson"})
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            return False
        if reply.status in (429, 503):
            return False
        answer = reply.ok()
        assert answer["accepted"] == len(lines) - reject, answer
        return True
    return send


def kill_often(daemon, kills, rng, feed):
    """Kills the daemon `kills` times at random moments; returns how often it had to learn again what a kill cost."""
    relearned, seen = 0, 0
    feed.thread.start()
    for n in range(kills):
        feed.check()
        feed.allow(feed.portion)
        daemon.http = None
        daemon.set(checkpoint__min_interval=rng.choice(INTERVALS))
        if rng.random() < 0.15:
            daemon.launch()
            time.sleep(rng.random() * 0.1)  # in the middle of starting
        else:
            daemon.start()
            found = daemon.status()["sequence"]
            relearned += found < seen
            goal, moment = found + rng.randrange(2500), time.monotonic() + rng.random() * 0.6
            while time.monotonic() < moment:
                seen = daemon.status()["sequence"]
                if seen >= goal:
                    break
            time.sleep(rng.random() * 0.01)
        assert daemon.process.poll() is None, f"ended by itself before kill {n}:\n{daemon.log()[-4000:]}"
        daemon.kill9()
    daemon.http = None
    daemon.start()
    return relearned


def check_account(status, records, distinct, **skipped):
    """records in = learned + skipped by reason, each as it must be."""
    events = status["events"]
    assert status["sequence"] == records == events["learned"] + sum(events["skipped"].values()), status
    assert events["learned"] == distinct, status
    skipped["duplicate"] = records - distinct - sum(skipped.values())
    assert events["skipped"] == {k: v for k, v in skipped.items() if v}, status


def id_of(line):
    return json.loads(line)["id"]
