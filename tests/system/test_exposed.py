"""Negatives that were shown and not taken: remembered with the user, part of the digest, gone with him."""
import json
import random

import pytest

from rankd import run, shop

SHARE = {"model__exposed_share": 0.25, "model__exposed_items": 6}


def stream(n, seed=1):
    """Behaviour with pages shown in between, some of them to people who never do anything, and some erasures."""
    draw, lines = random.Random(seed), []
    for line in shop("--events", n, "--users", 60, "--items", 80, "--seed", seed):
        event = json.loads(line)
        if draw.random() < 0.6:
            user = event["user"] if draw.random() < 0.9 else f"passer-by-{draw.randrange(50)}"
            items = [{"item": f"i{draw.randrange(100)}"} if draw.random() < 0.2 else f"i{draw.randrange(100)}"
                     for _ in range(draw.randrange(1, 12))]
            lines.append({"type": "impression", "user": user, "ts": event["ts"], "items": items, "request": f"r{len(lines)}"})
        lines.append(event)
        if draw.random() < 0.01:
            what = {"user": event["user"]} if draw.random() < 0.5 else {"item": f"i{draw.randrange(80)}"}
            lines.append({"type": "delete", "ts": event["ts"], **what})
    return lines


@pytest.fixture
def origin(make_rankd):
    """A stopped daemon that has learned a stream, and its digest."""
    daemon = make_rankd("origin", log__allowed_types="all", **SHARE).start()
    lines = stream(3000)
    daemon.admin("POST", "/v1/events", "\n".join(map(json.dumps, lines)) + "\n", "application/x-ndjson")
    daemon.n = len(lines)
    daemon.wait_learned(daemon.n, timeout_s=60)
    daemon.seen = daemon.metrics()
    daemon.digest_seen = daemon.digest()[0]
    daemon.stop()
    return daemon


def test_they_are_used_and_counted(origin):
    assert origin.seen.value("rankd_shown_items_total") > 1000
    assert origin.seen.value("rankd_exposed_negatives_total") > 1000
    off = origin.replay("off", "--log", origin.log_dir, model__exposed_share=0)
    fewer = origin.replay("fewer", "--log", origin.log_dir, model__exposed_items=5)
    younger = origin.replay("younger", "--log", origin.log_dir, model__exposed_age="1s")
    assert len({off["digest"], fewer["digest"], younger["digest"], origin.digest_seen}) == 4
    verified = run("rankd", "verify", *origin.overrides())
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("options", [
    {"learner__user_cache": "64KiB", "learner__kernel": "portable"},
    {"learner__batch_events": 3, "learner__neighbour_cache": "64KiB"},
], ids=lambda o: ",".join(f"{k}={v}" for k, v in o.items()))
def test_a_replay_gives_the_same_digest(origin, options):
    assert origin.replay("again", "--journal", origin.data_dir, "--log", origin.log_dir, **options)["digest"] == origin.digest_seen


def test_checkpoints_and_restarts_do_not_show(make_rankd):
    copy = make_rankd("copy", log__allowed_types="all", checkpoint__min_interval="10ms", checkpoint__max_interval="100ms",
                      learner__user_cache="64KiB", **SHARE).start()
    lines = stream(3000)
    for start in range(0, len(lines), 700):
        copy.admin("POST", "/v1/events", "\n".join(map(json.dumps, lines[start:start + 700])) + "\n", "application/x-ndjson")
        copy.wait_learned(min(start + 700, len(lines)), timeout_s=60)
        copy.kill9() if start == 1400 else copy.stop()
        copy.start()
    copy.wait_learned(len(lines), timeout_s=60)
    live, _ = copy.digest()
    copy.stop()
    assert copy.replay("again", "--log", copy.log_dir, learner__user_cache="1GiB")["digest"] == live


def test_who_was_shown_something_and_did_nothing_is_not_known(make_rankd):
    daemon = make_rankd(**SHARE).start()
    daemon.send(shop("--events", 200))
    daemon.send([{"type": "impression", "user": "passer-by", "items": ["i1", "i2"], "ts": 1700000000}])
    daemon.wait_learned(201)
    assert daemon.metrics().value("rankd_shown_items_total") > 0
    assert daemon.recommend("passer-by")["basis"] == "popular"


def test_a_rule_keeps_impressions_out(make_rankd):
    daemon = make_rankd(**SHARE, **{"rule__robots.types": "impression", "rule__robots.attributes": "agent=robot",
                                    "rule__robots.weight": 0}).start()
    daemon.send(shop("--events", 200))
    shown = {"type": "impression", "user": "u1", "items": ["i1", "i2"], "ts": 1700000000}
    daemon.send([{**shown, "agent": "robot"}])
    daemon.wait_learned(201)
    assert daemon.metrics().value("rankd_shown_items_total") == 0
    daemon.send([shown])
    daemon.wait_learned(202)
    assert daemon.metrics().value("rankd_shown_items_total") > 0
    assert daemon.status()["events"]["skipped"] == {"ruled_out": 1}
