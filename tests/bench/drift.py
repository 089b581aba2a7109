"""A simulated shop whose tastes flip overnight: how soon the former NDCG is back. The group `drift` of scripts/bench."""
import os
import subprocess

from world import ROOT, TOOLS, made_once, say

EVENTS, FLIP_AT, USERS, ITEMS, DAYS = 80000, 40000, 2000, 1000, 30
WINDOW, EVERY, SMOOTH = 500, 2, 4  # events; the mean of SMOOTH windows is compared
SEEDS = (1, 2, 3, 4)
EARLY = 20000  # events after the flip
FORMER = 10000  # events before the flip whose mean is the former NDCG


def curves(flip, seed, options):
    """Rows (first event, rankings, gain with the detector, without, of an empty model) and alarms (all, before the flip)."""
    log = made_once(f"flip-{flip}-{seed}.jsonl",
                    [os.path.join(ROOT, "scripts", "shop"), "--events", EVENTS, "--users", USERS, "--items", ITEMS, "--days", DAYS,
                     "--seed", seed, "--flip-at", FLIP_AT, "--flip", flip])
    done = subprocess.run([os.path.join(TOOLS, "bench_daemon_drift"), log, str(FLIP_AT), str(WINDOW), str(EVERY), *options],
                          capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    rows = [tuple(map(float, line[1:])) for line in lines if line[0] == "window"]
    return rows, [(int(line[1]), int(line[3])) for line in lines if line[0] == "alarms"][0]


def pooled(flip, options):
    total, alarms = {}, [0, 0]
    for seed in SEEDS:
        rows, (all_alarms, before) = curves(flip, seed, options)
        alarms = [alarms[0] + all_alarms, alarms[1] + before]
        for first, *values in rows:
            total[first] = [a + b for a, b in zip(total.get(first, [0] * 4), values)]
    return sorted(total.items()), alarms


def mean(rows, model):
    return sum(values[1 + model] for _, values in rows) / max(1, sum(values[0] for _, values in rows))


def back_after(rows, model, level):
    """Events from the flip to the end of the first SMOOTH windows whose mean reaches the level; infinite if none do."""
    after = [row for row in rows if row[0] >= FLIP_AT]
    for k in range(len(after) - SMOOTH + 1):
        if mean(after[k:k + SMOOTH], model) >= level:
            return (k + SMOOTH) * WINDOW
    return float("inf")


def run_drift(options=()):
    for flip in ("tastes", "all"):
        rows, (alarms, before) = pooled(flip, options)
        former = mean([row for row in rows if FLIP_AT - FORMER <= row[0] < FLIP_AT], 0)
        on, off, empty = (back_after(rows, model, 0.9 * former) for model in range(3))
        for part in range(0, EVENTS - FLIP_AT, 4000):
            chosen = [row for row in rows if FLIP_AT + part <= row[0] < FLIP_AT + part + 4000]
            say(f"{flip}, {part + 4000} events after: with {mean(chosen, 0):.4f} without {mean(chosen, 1):.4f} empty {mean(chosen, 2):.4f}")
        early = [row for row in rows if FLIP_AT <= row[0] < FLIP_AT + EARLY]
        yield f"drift_{flip}_former_ndcg", former, ""
        yield f"drift_{flip}_early_ndcg", mean(early, 0), ""
        yield f"drift_{flip}_early_off_ndcg", mean(early, 1), ""
        yield f"drift_{flip}_early_empty_ndcg", mean(early, 2), ""
        yield f"drift_{flip}_back_events", on, "events"
        yield f"drift_{flip}_back_off_events", off, "events"
        yield f"drift_{flip}_back_empty_events", empty, "events"
        yield f"drift_{flip}_of_empty", on / empty, "x"
        yield f"drift_{flip}_off_of_empty", off / empty, "x"
        yield f"drift_{flip}_alarms_a_shop", alarms / len(SEEDS), ""
        yield f"drift_{flip}_alarms_before_the_flip", before, ""
