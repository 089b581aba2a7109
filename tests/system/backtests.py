"""Running rankd backtest in tests: the result as an object, and the log of a small shop as fixtures log and tsv."""
import json

import pytest

from rankd import SANITIZER, run, shop

COSTS = {"events_per_s", "cpu_us_per_event", "peak_bytes"}


def distinct(pairs):
    assert len(dict(pairs)) == len(pairs), f"a key stands twice in {[key for key, _ in pairs]}"
    return dict(pairs)


def backtest(*arguments, code=0, timeout_s=300):
    """The JSON object that it prints (None when it failed; a key stands in an object once), and what it said on stderr."""
    done = run("rankd", "backtest", *map(str, arguments), "--json", timeout_s=timeout_s)
    assert done.returncode == code, done.stderr
    assert not SANITIZER.search(done.stderr), done.stderr
    return json.loads(done.stdout, object_pairs_hook=distinct) if code == 0 else None, done.stderr


def without_costs(value):
    if isinstance(value, dict):
        return {k: without_costs(v) for k, v in value.items() if k not in COSTS}
    return [without_costs(v) for v in value] if isinstance(value, list) else value


def under_test(result):
    model, = [m for m in result["models"] if m["role"] == "tested"]
    assert model["name"] == "rankd"
    return model


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """4,000 events of a small shop as JSON Lines."""
    path = tmp_path_factory.mktemp("log") / "shop.jsonl"
    path.write_text("\n".join(shop("--events", "4000", "--users", "400", "--items", "150", "--groups", "8", "--days", "3",
                                   "--seed", "5")) + "\n")
    return path


@pytest.fixture(scope="module")
def tsv(log):
    """The same as TSV, without ids."""
    path = log.with_suffix(".tsv")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    path.write_text("".join(f"{e['ts'] / 1000:.3f}\t{e['user']}\t{e['item']}\t{e['type']}\n" for e in events))
    return path
