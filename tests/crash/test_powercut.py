"""What a power cut leaves of the own log: its unacknowledged tail is cut and told, damage to what was acknowledged is
refused with its place. (The order of single writes is simulated in tests/unit/test_store_seglog_powercut.c.)"""
import glob
import os
import random
import shutil

import pytest

from kills import seed_of
from rankd import logfmt, poll, run, shop

ENTRY = 20  # bytes of one entry of a sidecar
BATCHES, BATCH = 12, 50
SEGMENTS = {"log__segment_bytes": "64KiB"}


@pytest.fixture(scope="module")
def lines():
    return shop("--events", BATCHES * BATCH, "--users", 100, "--items", 100)


class Origin:
    """The log of a daemon that acknowledged BATCHES requests, one entry each, without a checkpoint."""

    def __init__(self, make_rankd, lines):
        daemon = make_rankd("origin", checkpoint__min_interval="1h", checkpoint__max_interval="1h").start()
        for k in range(BATCHES):
            assert daemon.send(lines[k * BATCH:(k + 1) * BATCH])["accepted"] == BATCH
        daemon.wait_sequence(BATCHES * BATCH)
        daemon.kill9()
        self.dir, self.make, self.copies = daemon.log_dir, make_rankd, 0
        self.data = sorted(glob.glob(os.path.join(self.dir, "*.jsonl")))
        with open(self.data[-1], "rb") as f:
            self.last = f.read()
        with open(self.sidecar(self.data[-1]), "rb") as f:
            self.entries = f.read()

    @staticmethod
    def sidecar(path):
        return path[:-len("jsonl")] + "sum"

    def copy(self, damage):
        """A daemon, not started, on a copy of the log to which damage(last segment, its sidecar) was done."""
        self.copies += 1
        daemon = self.make(f"copy{self.copies}")
        shutil.copytree(self.dir, daemon.log_dir)
        last = os.path.join(daemon.log_dir, os.path.basename(self.data[-1]))
        damage(last, self.sidecar(last))
        return daemon


@pytest.fixture
def origin(make_rankd, lines):
    origin = Origin(make_rankd, lines)
    assert len(origin.data) == 1 and len(origin.entries) == BATCHES * ENTRY
    return origin


def cut_to(path, size):
    os.truncate(path, size)


def append(path, data):
    with open(path, "ab") as f:
        f.write(data)


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 0x10]))


def ends_of_batches(data):
    """Offsets behind each batch of lines."""
    ends, at = [0], 0
    for n, line in enumerate(data.splitlines(keepends=True), 1):
        at += len(line)
        if n % BATCH == 0:
            ends.append(at)
    return ends


def check_learns(daemon, batches, cut_bytes):
    """It starts, says how much it cut, learns what remains, and takes events again."""
    daemon.start()
    told = daemon.find_log("event=log_tail_cut")
    assert (int(logfmt(told)["bytes"]) if told else 0) == cut_bytes, told
    status = daemon.wait_sequence(batches * BATCH)
    assert status["sequence"] == batches * BATCH == status["events"]["learned"]
    more = '{"id":"after","type":"click","user":"u1","item":"i1","ts":1704067257680}'
    assert daemon.send([more])["accepted"] == 1
    daemon.wait_sequence(batches * BATCH + 1)
    digest = daemon.digest()[0]
    daemon.stop()
    assert daemon.replay("again", "--log", daemon.log_dir)["digest"] == digest


def test_an_unfinished_write_is_cut(request, origin, lines):
    """Data was written, its entry not: at any length."""
    rng = random.Random(seed_of(request))
    tail = ("\n".join(lines[:30]) + "\n").encode()
    for length in {1, 2, len(tail), *(rng.randrange(1, len(tail)) for _ in range(8))}:
        check_learns(origin.copy(lambda data, entries: append(data, tail[:length])), BATCHES, length)


def test_an_unfinished_entry_is_cut(origin):
    """The last entry was not written whole: the request it stands for was never acknowledged."""
    ends = ends_of_batches(origin.last)
    for length in range(1, ENTRY + 1):
        daemon = origin.copy(lambda data, entries: cut_to(entries, len(origin.entries) - length))
        check_learns(daemon, BATCHES - 1, ends[-1] - ends[-2] + (ENTRY - length))


def test_entries_of_an_older_length(origin):
    """Whole entries missing: the log ends earlier, whatever the data file holds."""
    ends = ends_of_batches(origin.last)
    for keep in (0, 1, BATCHES // 2):
        def damage(data, entries):
            cut_to(entries, keep * ENTRY)
        check_learns(origin.copy(damage), keep, ends[-1] - ends[keep])


def start_or_end(daemon):
    """Starts; True when ready, False when it ended by itself with status 1."""
    daemon.launch()
    line = poll("ready or ended", lambda: daemon.find_log("event=ready") or daemon.ended())
    if line is True:
        assert daemon.wait_exit() == 1
        return False
    fields = logfmt(line)
    daemon.http, daemon.metrics_address, daemon.admin_address = fields["http"], fields.get("metrics"), fields["admin"]
    return True


def check_refused(daemon, offsets):
    """The damage is named with file and log offset (which must lie in offsets), before the start or when it is met; what
    is before it may be learned, nothing behind it."""
    ready = start_or_end(daemon)
    line = daemon.wait_log("event=source_stopped") if ready else daemon.find_log("event=start_failed")
    assert line and (".jsonl" in line or ".sum" in line), daemon.log()
    place = int(line.split("log offset ")[1].split(":")[0])
    assert place in offsets, line
    if ready:
        status = poll("what is before it is learned", lambda: [s for s in [daemon.status()] if s["sequence"] % BATCH == 0
                                                               and s["queue_bytes"] == 0])[0]
        assert status["state"] == "stopped" and status["sources"][0]["state"] == "stopped"
        assert status["sequence"] < BATCHES * BATCH
        assert daemon.get("/v1/popular").status == 200
        daemon.stop()
    verified = run("rankd", "replay", *daemon.overrides(), "--log", daemon.log_dir, "--into", os.path.join(daemon.dir, "again"))
    assert verified.returncode == 1 and "log offset" in verified.stderr, verified.stderr


def test_acknowledged_data_that_is_cut_is_refused(request, origin):
    rng = random.Random(seed_of(request))
    size = len(origin.last)
    for length in (1, 2, 100, rng.randrange(1, size), size):
        check_refused(origin.copy(lambda data, entries: cut_to(data, size - length)), range(size + 1))


def test_flipped_bits_in_acknowledged_data_are_refused(request, origin):
    rng = random.Random(seed_of(request))
    ends = ends_of_batches(origin.last)
    for at in (0, len(origin.last) - 1, *(rng.randrange(len(origin.last)) for _ in range(6))):
        first = max(e for e in ends if e <= at)
        last = min(e for e in ends if e > at)
        check_refused(origin.copy(lambda data, entries: flip(data, at)), range(first, last + 1))


def test_flipped_bits_in_entries_are_refused(request, origin):
    """Not in the last one: that could be a torn write, and is cut as such when the data shows it was."""
    rng = random.Random(seed_of(request))
    for _ in range(6):
        at = rng.randrange(len(origin.entries) - ENTRY)
        check_refused(origin.copy(lambda data, entries: flip(entries, at)), range(len(origin.last) + 1))


def test_damage_in_an_older_segment_is_refused(request, make_rankd):
    rng = random.Random(seed_of(request))
    many = shop("--events", 3000, "--users", 100, "--items", 100)
    daemon = make_rankd("segments", **SEGMENTS).start()
    for k in range(0, 3000, BATCH):
        daemon.send(many[k:k + BATCH])
    daemon.wait_sequence(3000)
    daemon.kill9()
    segments = sorted(glob.glob(os.path.join(daemon.log_dir, "*.jsonl")))
    assert len(segments) > 3
    for n in (0, len(segments) // 2):
        copy = make_rankd(f"damaged{n}", **SEGMENTS)
        shutil.copytree(daemon.log_dir, copy.log_dir)
        path = os.path.join(copy.log_dir, os.path.basename(segments[n]))
        start, size = int(os.path.basename(path).split(".")[0]), os.path.getsize(path)
        flip(path, rng.randrange(size))
        ready = start_or_end(copy)
        line = copy.wait_log("event=source_stopped") if ready else copy.find_log("event=start_failed")
        assert os.path.basename(path) in line, line
        assert start <= int(line.split("log offset ")[1].split(":")[0]) <= start + size


def test_a_log_shorter_than_what_was_learned_is_refused(make_rankd, lines):
    daemon = make_rankd().start()
    for k in range(BATCHES):
        daemon.send(lines[k * BATCH:(k + 1) * BATCH])
    daemon.wait_sequence(BATCHES * BATCH)
    digest = daemon.digest()
    daemon.stop()
    sidecar = glob.glob(os.path.join(daemon.log_dir, "*.sum"))[0]
    os.truncate(sidecar, os.path.getsize(sidecar) - 3 * ENTRY)
    assert start_or_end(daemon)
    line = daemon.wait_log("event=source_stopped")
    assert "was learned" in line, line
    assert daemon.recommend("u1")["sequence"] == digest[1]
