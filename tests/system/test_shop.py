"""The simulated shop: repeatable, fast enough to load with, and as probable as it says."""
import collections
import json
import math
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def shop(*arguments):
    done = subprocess.run([os.path.join(ROOT, "scripts", "shop"), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_same_seed_same_events_other_seed_other_events():
    first = shop("--events", "2000", "--seed", "7")
    assert first == shop("--events", "2000", "--seed", "7")
    assert first != shop("--events", "2000", "--seed", "8")


def test_events_are_well_formed_in_time_order_and_span_the_days():
    events = [json.loads(line) for line in shop("--events", "20000", "--days", "10", "--start", "1700000000")]
    assert len(events) == 20000
    assert len({e["id"] for e in events}) == 20000
    assert {e["type"] for e in events} == {"click", "view", "cart", "purchase"}
    stamps = [e["ts"] for e in events]
    assert stamps == sorted(stamps)
    assert abs((stamps[-1] - 1700000000000) / 86400000 - 10) < 0.1
    assert all(e["value"] > 0 for e in events if e["type"] == "purchase")


def test_new_items_arrive_and_are_described_before_they_occur():
    known, described_late, n_items = set(), 0, 0
    for line in shop("--events", "20000", "--items", "500", "--describe"):
        event = json.loads(line)
        if event["type"] == "item":
            described_late += n_items > 0
            known.add(event["item"])
        else:
            n_items += 1
            assert event["item"] in known
    assert 80 <= described_late <= 100
    assert n_items == 20000


def favourite_groups(events, groups):
    """user -> group he takes from most often"""
    counts = {}
    for e in events:
        counts.setdefault(e["user"], [0] * groups)[int(e["item"][1:]) % groups] += 1
    return {user: max(range(groups), key=c.__getitem__) for user, c in counts.items() if sum(c) >= 20}


def test_a_flip_changes_what_users_like_and_nothing_before_it():
    arguments = ("--events", "20000", "--users", "100", "--items", "400", "--groups", "8")
    plain = shop(*arguments)
    for flip in ("tastes", "all"):
        flipped = shop(*arguments, "--flip-at", "10000", "--flip", flip)
        assert flipped[:10000] == plain[:10000] and flipped[10000:] != plain[10000:]
        before, after = (favourite_groups(map(json.loads, part), 8) for part in (flipped[:10000], flipped[10000:]))
        both = before.keys() & after.keys()
        stayed = sum(before[user] == after[user] for user in both)
        assert len(both) > 80 and stayed < 0.25 * len(both)
    unflipped = favourite_groups(map(json.loads, plain[10000:]), 8)
    assert sum(before[user] == unflipped[user] for user in before.keys() & unflipped.keys()) > 0.75 * len(unflipped)


def test_users_are_described_before_anything_happens():
    segments, first = {}, collections.defaultdict(collections.Counter)
    for n, line in enumerate(shop("--events", "20000", "--users", "2000", "--groups", "8", "--items", "200", "--describe-users")):
        event = json.loads(line)
        if event["type"] == "user":
            assert n < 2000 and event["user"] not in segments
            segments[event["user"]] = event["features"]["segment"]
        elif event["type"] in ("click", "view"):
            first[event["user"]][int(event["item"][1:]) % 8] += 1
    assert len(segments) == 2000
    told = [groups.most_common(1)[0][0] == int(segments[user][1:]) for user, groups in first.items() if groups.total() >= 10]
    assert len(told) > 300 and 0.4 < sum(told) / len(told) < 0.9  # by chance an eighth
    plain = shop("--events", "1000", "--users", "100", "--items", "200")
    assert shop("--events", "1000", "--users", "100", "--items", "200", "--describe-users")[100:] == plain


def test_truth_is_the_probability_of_what_happens(tmp_path):
    """Of all choices, the share that hits the j-th named item is the mean of its probabilities."""
    path = tmp_path / "truth"
    shop("--events", "30000", "--users", "200", "--items", "200", "--groups", "5", "--truth", str(path))
    expected, variance, hits = [0.0] * 20, [0.0] * 20, [0] * 20
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) > 20000
    for line in lines:
        for j, (item, p) in enumerate(line["top"]):
            expected[j] += p
            variance[j] += p * (1 - p)
            hits[j] += item == line["item"]
    for j in range(20):
        assert abs(hits[j] - expected[j]) < 4.5 * math.sqrt(variance[j]), f"place {j}: {hits[j]} hits, {expected[j]:.1f} expected"


def test_truth_of_everything_sums_to_one(tmp_path):
    """With no item held back as used, the mixture is a distribution."""
    path = tmp_path / "truth"
    shop("--events", "200", "--users", "100000", "--items", "60", "--truth", str(path), "--truth-top", "60")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    sums = {}
    for line in lines:
        sums.setdefault(line["user"], sum(p for _, p in line["top"]))
    assert len(sums) > 20
    for total in sums.values():
        assert abs(total - 1) < 1e-6
