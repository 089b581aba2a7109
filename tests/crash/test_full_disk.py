"""A full disk, real: a small ext4 on a loop device. Nothing acknowledged is lost, serving goes on, and once there is space
again all goes on by itself."""
import json
import os
import subprocess

import pytest

from rankd import poll, shop

SIZE = "48M"
BATCH = 200


@pytest.fixture
def small_disk(scratch):
    """small_disk(directory) mounts a file system of SIZE there; unmounted at the end. Needs root and loop devices."""
    mounted = []

    def sh(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()} (this test needs root and loop devices)"

    def mount(directory):
        image = os.path.join(scratch, f"disk{len(mounted)}.img")
        sh("truncate", "-s", SIZE, image)
        sh("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image)
        sh("mount", "-o", "loop", image, directory)
        mounted.append(directory)

    yield mount
    for directory in mounted:
        if subprocess.run(["umount", directory], check=False).returncode != 0:
            subprocess.run(["umount", "-l", directory], check=True)


class Filler:
    """A file that takes what is left of the disk."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "filler")

    def fill(self):
        with open(self.path, "ab", buffering=0) as f:
            for size in (1 << 20, 4096):
                try:
                    while f.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def leave(self, n):
        """Gives n bytes back."""
        os.truncate(self.path, max(0, os.path.getsize(self.path) - n))

    def remove(self):
        os.unlink(self.path)


class Sender:
    """Posts the lines in order; knows how many were acknowledged."""

    def __init__(self, daemon, lines):
        self.daemon, self.lines, self.at = daemon, lines, 0

    def one(self):
        """Status of the next batch's answer; goes on only when it was 200."""
        batch = self.lines[self.at:self.at + BATCH]
        assert batch, "no more lines"
        reply = self.daemon.post("/v1/events", "\n".join(batch) + "\n", "application/x-ndjson")
        if reply.status == 200:
            assert reply.json["accepted"] == len(batch)
            self.at += len(batch)
        else:
            reply.error()
        return reply.status

    def until(self, status):
        while True:
            got = self.one()
            if got == status:
                return
            assert got == 200, got


@pytest.fixture(scope="module")
def lines():
    return shop("--events", 60000, "--users", 2000, "--items", 1000)


def failures(daemon):
    return daemon.status()["checkpoint"]["failures"]


def test_a_full_disk(small_disk, make_rankd, lines):
    daemon = make_rankd(checkpoint__min_interval="20ms", checkpoint__max_interval="200ms", checkpoint__page_memory="64KiB",
                        log__segment_bytes="1MiB")
    small_disk(daemon.data_dir)
    daemon.start()
    sender, filler = Sender(daemon, lines), Filler(daemon.data_dir)
    for _ in range(5):
        assert sender.one() == 200
    daemon.wait_durable(sender.at)

    # Much waits to be learned when the disk becomes full. Space for a little more of the log, then for none: 507.
    daemon.admin("POST", "/admin/pause")
    for _ in range(100):
        assert sender.one() == 200
    filler.fill()
    filler.leave(96 << 10)
    sender.until(507)
    for _ in range(5):
        assert sender.one() == 507
    daemon.admin("POST", "/admin/resume")
    status = daemon.wait_sequence(sender.at)
    assert status["sequence"] == sender.at

    # Serving and what was learned go on; checkpoints fail, which is counted and told.
    poll("failed checkpoints", lambda: failures(daemon) > 0)
    assert "disk" in daemon.wait_log("event=checkpoint_failed")
    assert daemon.get("/readyz").status == 200
    answer = daemon.recommend("u1")
    assert answer["items"] and answer["sequence"] == sender.at
    metrics = daemon.metrics()
    assert metrics.value("rankd_checkpoint_failures_total") > 0

    # Space again, without a restart: all acknowledged events are durable in the model, new ones are taken.
    filler.remove()
    poll("accepted again", lambda: sender.one() == 200)
    for _ in range(20):
        assert sender.one() == 200
    daemon.wait_durable(sender.at)
    before = failures(daemon)
    digest, sequence = daemon.digest()
    assert sequence == sender.at and failures(daemon) == before
    daemon.stop()
    again = daemon.replay("again", "--log", daemon.log_dir)
    assert (again["digest"], again["records"]) == (digest, sender.at)


def test_kill9_on_a_full_disk(small_disk, make_rankd, lines):
    """What was acknowledged before the disk was full is there afterwards, also when the daemon dies meanwhile."""
    daemon = make_rankd(checkpoint__min_interval="20ms", checkpoint__max_interval="200ms", log__segment_bytes="256KiB")
    small_disk(daemon.data_dir)
    daemon.start()
    sender, filler = Sender(daemon, lines), Filler(daemon.data_dir)
    for n in range(4):
        for _ in range(10):
            assert sender.one() == 200
        filler.fill()
        filler.leave(n * 40000)
        sender.until(507)
        daemon.kill9()
        if n % 2:
            filler.remove()
            daemon.start()
        else:  # with the disk still full it serves, or says why it does not start; the log is not hurt
            daemon.launch()
            line = poll("ready or ended", lambda: daemon.find_log("event=ready") or daemon.ended())
            if line is True:
                assert daemon.wait_exit() == 1
                assert daemon.find_log("event=start_failed"), daemon.log()
            else:
                daemon.kill9()
            filler.remove()
            daemon.start()
        status = daemon.wait_sequence(sender.at)
        assert status["sequence"] == sender.at == status["events"]["learned"], (n, status)
    poll("accepted again", lambda: sender.one() == 200)
    daemon.wait_durable(sender.at)
    digest = daemon.digest()[0]
    daemon.stop()
    assert daemon.replay("again", "--log", daemon.log_dir)["digest"] == digest


def test_the_bound_of_the_data_file(make_rankd, lines):
    """checkpoint.map_size reached: as a full disk, for the model alone. Intake and serving go on, and the log has it all."""
    daemon = make_rankd(checkpoint__min_interval="20ms", checkpoint__max_interval="200ms", checkpoint__map_size="16MiB",
                        learner__user_cache="64MiB").start()
    sender = Sender(daemon, [json.dumps({**json.loads(line), "user": f"w{n}", "item": f"i{n % 20000}"})
                             for n, line in enumerate(lines)])
    while sender.at < len(lines) - 5 * BATCH and not failures(daemon):
        assert sender.one() == 200
    poll("a checkpoint finds no room", lambda: failures(daemon))  # intake may be far ahead of the learner
    for _ in range(5):
        assert sender.one() == 200
    daemon.wait_sequence(sender.at)
    assert daemon.get("/readyz").status == 200 and daemon.recommend("w1")["items"]
    daemon.kill9()
    daemon.set(checkpoint__map_size="1GiB").start()
    daemon.wait_durable(sender.at)
    digest = daemon.digest()[0]
    daemon.stop()
    assert daemon.replay("again", "--log", daemon.log_dir)["digest"] == digest
