"""Fixtures of system, crash and replay tests: a daemon of one's own for each test, one Kafka broker for all of them."""
import os
import re
import shutil
import signal
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "system"))

from rankd import Kafka, Rankd  # noqa: E402


def pytest_configure(config):
    """A run that is told to end still ends its daemons and its broker."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))


def pytest_collection_modifyitems(items):
    for item in items:
        if "kafka" in item.fixturenames:
            item.add_marker(pytest.mark.broker)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Tells the fixtures whether the test failed, and adds the daemons' logs to the report."""
    outcome = yield
    report = outcome.get_result()
    item.broken = getattr(item, "broken", False) or report.failed
    if report.when == "call" and report.failed:
        for daemon in getattr(item, "daemons", []):
            report.sections.append((f"log of {daemon.data_dir}", daemon.log()[-20000:]))


@pytest.fixture
def scratch():
    """A directory for this test, with a path short enough for unix sockets; removed afterwards."""
    path = tempfile.mkdtemp(prefix="rankd-test-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make_rankd(request, scratch):
    """make_rankd(name, section__key=value ...) makes a daemon, not yet started; all are ended afterwards."""
    request.node.daemons = []

    def make(name="a", **options):
        daemon = Rankd(os.path.join(scratch, name), **options)
        request.node.daemons.append(daemon)
        return daemon

    yield make
    broken = getattr(request.node, "broken", False)
    try:
        for daemon in request.node.daemons:
            daemon.close(orderly=not broken)
        for daemon in request.node.daemons:
            daemon.check_sanitizers()
    finally:
        for daemon in request.node.daemons:
            daemon.close()


@pytest.fixture
def rankd(make_rankd):
    """A running daemon with the defaults: the own log, free ports."""
    return make_rankd().start()


@pytest.fixture(scope="session")
def kafka():
    """A real broker, started once. A test that stops it must start it again."""
    path = tempfile.mkdtemp(prefix="rankd-kafka-")
    broker = Kafka(path)
    try:
        yield broker.start()
    finally:
        broker.script("stop", check=False)
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def topic(request, kafka):
    """topic(suffix, partitions, config_name=value) creates a topic named after the test; its name."""
    stem = re.sub(r"[^A-Za-z0-9_]", "_", request.node.name)[:80]
    made = []

    def make(suffix="t", partitions=1, **configs):
        name = kafka.create(f"{stem}.{suffix}", partitions, **configs)
        made.append(name)
        return name

    yield make
    for name in made:
        kafka.script("delete", name, check=False)
