"""Reweighting rules: changed while the daemon runs, at a place that the journal notes and a replay obeys."""
import json
import signal

import pytest

from rankd import poll, run, shop

CAMPAIGN = "[rule.promotion]\nattributes = context.campaign=summer\nweight = {weight}\nhistory = {history}\n"
BROKEN = "[rule.broken-tracker]\nattributes = tracker=2.1\ntypes = click,view\nweight = 0\n"


def events(n, seed, extra=None):
    """Every third event belongs to the campaign, every fifth comes from the broken tracker."""
    made = [json.loads(line) for line in shop("--events", n, "--users", 60, "--items", 80, "--seed", seed)]
    for k, event in enumerate(made):
        if k % 3 == 0:
            event["context"] = {"campaign": ["spring", "summer"]}
        event["tracker"] = 2.1 if k % 5 == 0 else "2.2"
    return made


def change(daemon, text, *parts):
    """Reloads the configuration and waits for the log line with these parts."""
    seen = len(daemon.lines)
    daemon.write_config(text)
    daemon.signal(signal.SIGHUP)
    return poll(f"a log line with {parts}", lambda: [x for x in daemon.lines[seen:] if all(p in x for p in parts)])


def learn(daemon, some):
    daemon.send(some)
    return daemon.wait_sequence(daemon.log_events())


@pytest.fixture
def daemon(make_rankd):
    return make_rankd().write_config("").start()


def test_a_replay_of_the_journal_gives_the_digest_of_changed_rules(daemon):
    learn(daemon, events(300, 1))
    change(daemon, CAMPAIGN.format(weight=3, history="yes"), "event=rules_changed", "sequence=301")
    learn(daemon, events(300, 2))
    change(daemon, CAMPAIGN.format(weight=0.2, history="no") + BROKEN, "event=rules_changed", "sequence=601")
    status = learn(daemon, events(300, 3))
    assert status["events"]["skipped"] == {"ruled_out": sum(
        e["tracker"] == 2.1 and e["type"] in ("click", "view") for e in events(300, 3))}
    assert status["events"]["skipped"]["ruled_out"] > 20
    daemon.write_config(BROKEN).restart()  # a restart changes them as well
    learn(daemon, events(300, 4))
    daemon.kill9()  # and what was not durable is learned again under the rules of the configuration
    daemon.start()
    daemon.wait_sequence(1200)
    change(daemon, "", "event=rules_changed", "sequence=1201")
    learn(daemon, events(300, 5))
    live, sequence = daemon.digest()
    assert sequence == 1500
    daemon.stop()
    journal = ("--journal", daemon.data_dir, "--log", daemon.log_dir)
    again = daemon.replay("again", *journal)
    assert again["digest"] == live
    assert daemon.replay("cut", *journal, learner__user_cache="64KiB", learner__kernel="portable")["digest"] == live
    # The rules given do not matter beside a journal, unless they are asked for.
    assert daemon.replay("other", *journal, **{"rule__x.weight": 5})["digest"] == live
    own = daemon.replay("own", *journal, "--rules", "config")
    plain = daemon.replay("plain", "--log", daemon.log_dir)
    assert own["digest"] == plain["digest"] != live
    assert own["learned"] > again["learned"]
    assert daemon.replay("ruled", *journal, "--rules", "config", **{"rule__x.weight": 5})["digest"] not in (live, own["digest"])


def test_rules_are_shown_and_counted(daemon):
    status = daemon.status()
    assert status["rules"] == {"since": 1, "pending": False, "in_force": []}
    change(daemon, CAMPAIGN.format(weight=0.5, history="no") + BROKEN, "event=rules_changed", "rules=2")
    some = events(150, 1)
    learn(daemon, some)
    rules = daemon.status()["rules"]
    assert rules["since"] == 1 and not rules["pending"]
    broken, promotion = rules["in_force"]
    assert promotion == {"name": "promotion", "types": None, "sources": None, "from": None, "until": None,
                         "attributes": "context.campaign=summer", "weight": 0.5, "history": False, "matched": 50}
    assert broken["matched"] == sum(e["tracker"] == 2.1 and e["type"] in ("click", "view") for e in some) > 5
    metrics = daemon.metrics()
    assert metrics.value("rankd_rule_events_total", rule="promotion") == 50
    assert metrics.value("rankd_events_skipped_total", reason="ruled_out") == broken["matched"]
    shown = run("rankctl", "status", "--socket", daemon.admin_address)
    assert shown.returncode == 0
    assert "promotion" in shown.stdout and "weight 0.5, no history, fitted 50" in shown.stdout, shown.stdout
    assert "bad_event" not in daemon.log()  # what is ruled out is no bad event
    daemon.admin("POST", "/admin/checkpoint")
    assert daemon.admin("GET", "/admin/bad-events")["kept"] == 0


def test_rules_wait_for_nothing_and_are_durable_without_an_event(daemon):
    learn(daemon, events(50, 1))
    daemon.admin("POST", "/admin/pause")
    change(daemon, BROKEN, "event=rules_changed", "sequence=51")
    daemon.send(events(50, 2))
    daemon.admin("POST", "/admin/resume")
    status = daemon.wait_sequence(100)
    assert status["events"]["skipped"]["ruled_out"] > 3
    live, _ = daemon.digest()
    daemon.stop()
    daemon.start()
    assert daemon.find_log("event=model_loaded", "new_epoch=no")
    assert daemon.digest()[0] == live


def test_a_bad_rule_is_named_and_the_old_ones_stay(daemon):
    change(daemon, BROKEN, "event=rules_changed")
    change(daemon, "[rule.x]\nattributes = a=,b\n", "event=reload_failed", "rankd.conf:2", "rule.x.attributes", "empty")
    change(daemon, "[rule.x]\ntypes = clicks\n", "event=reload_failed", "rankd.conf:2", "unknown type clicks")
    assert [r["name"] for r in daemon.status()["rules"]["in_force"]] == ["broken-tracker"]
    checked = run("rankd", "check-config", "-c", daemon.config_file)
    assert checked.returncode == 2
    assert "rankd.conf:2: rule.x.types = clicks: unknown type clicks; the nearest configured one is click" in checked.stderr


def test_a_backtest_obeys_rules(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(json.dumps(e) for e in events(2000, 1)) + "\n")

    def backtest(name, *options):
        done = run("rankd", "backtest", "--log", str(log), "--report", str(tmp_path / name), "--baselines", "none", "--json", "--quiet",
                   *(part for o in options for part in ("-o", o)))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["models"][0]

    plain, ruled = backtest("plain"), backtest("ruled", "rule.x.weight=0", "rule.x.attributes=context.campaign=summer")
    weighted = backtest("weighted", "rule.x.weight=3", "rule.x.attributes=context.campaign=summer")
    assert plain["events"] == ruled["events"] == weighted["events"]  # what is judged does not depend on rules
    assert len({m["ndcg@20"] for m in (plain, ruled, weighted)}) == 3
