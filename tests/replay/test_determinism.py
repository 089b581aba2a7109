"""The same log gives the same bits: however it is cut into batches, cached, checkpointed, interrupted or computed."""
import os
import shutil

import pytest

from rankd import shop, with_baskets

EVENTS = 6000
EAGER = {"drift__threshold": 3, "drift__tolerance": 0}  # alarms, and what follows from them, in every model here


@pytest.fixture(scope="module")
def lines():
    """Descriptions of all users and of the items that exist from the start, events, baskets among them, and what arrives."""
    return with_baskets(shop("--events", EVENTS, "--users", 300, "--items", 300, "--describe", "--describe-users")[:EVENTS])


def post(daemon, lines):
    daemon.admin("POST", "/v1/events", "\n".join(lines) + "\n", "application/x-ndjson")


@pytest.fixture
def origin(make_rankd, lines):
    """A stopped daemon that has learned the lines, and its digest."""
    daemon = make_rankd("origin", **EAGER).start()
    for start in range(0, EVENTS, 1000):
        post(daemon, lines[start:start + 1000])
    daemon.wait_learned(EVENTS)
    assert daemon.metrics().value("rankd_described_items") > 250
    assert any(hit["terms"]["lately"] > 0 for hit in daemon.recommend("u1", explain=1)["items"])
    assert any(hit["terms"]["segment"] > 0 for hit in daemon.recommend("u1", explain=1)["items"])
    daemon.digest_seen = daemon.digest()[0]
    assert daemon.metrics().value("rankd_drift_alarms_total") > 1 and daemon.metrics().value("rankd_drift_forgot_total") > 0
    daemon.stop()
    return daemon


def test_digest_depends_on_the_log(origin, make_rankd, lines):
    """The control: one event less, or another seed, is another model."""
    shorter = make_rankd("shorter", **EAGER).start()
    post(shorter, lines[:-1])
    shorter.wait_learned(EVENTS - 1)
    assert shorter.digest()[0] != origin.digest_seen
    assert origin.replay("seeded", "--log", origin.log_dir, model__seed=2)["digest"] != origin.digest_seen


@pytest.mark.parametrize("options", [
    {},
    {"learner__batch_events": 1},
    {"learner__batch_events": 7, "learner__batch_time": "1ms"},
    {"learner__user_cache": "64KiB"},
    {"learner__neighbour_cache": "64KiB"},
    {"learner__feature_cache": "64KiB"},
    {"learner__kernel": "portable"},
    {"checkpoint__min_interval": "10ms", "checkpoint__max_interval": "100ms", "checkpoint__write_budget": "16GiB/s",
     "checkpoint__page_memory": "64KiB"},
    {"learner__user_cache": "64KiB", "learner__neighbour_cache": "64KiB", "learner__feature_cache": "64KiB",
     "learner__kernel": "portable", "learner__batch_events": 3},
], ids=lambda o: ",".join(f"{k}={v}" for k, v in o.items()) or "defaults")
def test_replay_gives_the_same_digest(origin, options):
    again = origin.replay("again", "--log", origin.log_dir, **options)
    assert again["digest"] == origin.digest_seen and again["learned"] == EVENTS


def test_replay_by_the_journal_gives_the_same_digest(origin):
    again = origin.replay("again", "--journal", origin.data_dir, "--log", origin.log_dir)
    assert again["digest"] == origin.digest_seen and again["learned"] == EVENTS


@pytest.mark.parametrize("options", [
    {"learner__batch_events": 5, "learner__user_cache": "64KiB", "learner__neighbour_cache": "64KiB"},
    {"checkpoint__min_interval": "10ms", "checkpoint__max_interval": "100ms", "learner__kernel": "portable"},
], ids=lambda o: ",".join(f"{k}={v}" for k, v in o.items()))
def test_a_daemon_on_a_copy_of_the_log_learns_the_same(origin, make_rankd, options):
    copy = make_rankd("copy", **options, **EAGER)
    shutil.copytree(origin.log_dir, os.path.join(copy.data_dir, "log"))
    copy.start()
    copy.wait_learned(EVENTS, timeout_s=60)
    for user in ("u1", "u2", "nobody"):
        copy.recommend(user)
    assert copy.digest()[0] == origin.digest_seen


def test_questions_do_not_change_the_model(make_rankd, lines):
    asked = make_rankd("asked", **EAGER).start()
    for start in range(0, EVENTS, 500):
        post(asked, lines[start:start + 500])
        asked.recommend(f"u{start % 300}")
        asked.get("/v1/similar", item="i1")
        asked.get("/v1/popular")
    asked.wait_learned(EVENTS)
    seen = asked.digest()[0]
    asked.stop()
    assert asked.replay("again", "--log", asked.log_dir)["digest"] == seen
