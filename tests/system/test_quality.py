"""Live quality and the detector of changed tastes, as an operator sees them."""
import re

from rankd import poll, run, shop

FLIP, EVENTS = 11000, 16000


def flipping_shop():
    return shop("--events", EVENTS, "--users", 600, "--items", 400, "--groups", 10, "--days", 20, "--flip-at", FLIP, "--flip", "all")


def learn(daemon, lines, total):
    for start in range(0, len(lines), 1000):
        daemon.send(lines[start:start + 1000])
    daemon.wait_learned(total, timeout_s=120)


def drift_lines(daemon):
    return re.findall(r"level=warn event=drift .*", daemon.log())


def test_live_quality_is_told_by_cohort_and_survives_a_restart(rankd):
    learn(rankd, shop("--events", 6000, "--users", 400, "--items", 300), 6000)
    status, m = rankd.status(), rankd.metrics()
    assert m.value("rankd_judged_events_total") == status["quality"]["judged_events"] > 1000
    cohorts = {(c["by"], c["part"]): c for c in status["quality"]["cohorts"]}
    whole = cohorts["all", "all"]
    for by in ("basis", "history", "type"):  # parts of the same events
        parts = [c["judged"] for (name, _), c in cohorts.items() if name == by]
        assert len(parts) > 1 and max(parts) <= whole["judged"] * 1.001 and sum(parts) >= whole["judged"] * 0.999
    for figure in ("ndcg", "recall", "mrr"):
        for of in ("model", "popularity", "difference"):
            labels = {"by": "all", "part": "all", "figure": figure, "of": of}
            mean = whole[f"{figure}@20"][of]
            assert m.value("rankd_quality", **labels) == mean["mean"]
            assert m.value("rankd_quality_band", **labels) == mean["band"] > 0
    ndcg = whole["ndcg@20"]
    assert abs(ndcg["model"]["mean"] - ndcg["popularity"]["mean"] - ndcg["difference"]["mean"]) < 1e-9
    assert ndcg["difference"]["mean"] > ndcg["difference"]["band"]  # this shop can be learned
    shown = run("rankctl", "status", "--socket", rankd.data_dir + "/admin.sock").stdout
    assert f"{ndcg['model']['mean']:.4f} +- {ndcg['model']['band']:.4f}" in shown
    rankd.restart()
    assert rankd.status()["quality"] == status["quality"]


def test_a_flip_raises_the_metric_and_is_logged_once(make_rankd):
    daemon, lines = make_rankd("flip").start(), flipping_shop()
    learn(daemon, lines[:FLIP], FLIP)
    assert daemon.metrics().value("rankd_drift_alarms_total") == 0 and not drift_lines(daemon)
    learn(daemon, lines[FLIP:], EVENTS)
    m = daemon.metrics()
    forgot = m.value("rankd_drift_forgot_total")
    assert m.value("rankd_drift_alarms_total") == 1
    last = daemon.status()["drift"]["last_alarm"]
    assert last["found"] < last["expected"] and (last["found"] < last["expected"] / 2) == (forgot == 1)
    line = poll("the line", lambda: drift_lines(daemon))
    assert len(line) == 1 and "alarms=1 " in line[0] and ("forgot=yes" if forgot else "forgot=no") in line[0] and "action=" in line[0]
    seen = daemon.status()["drift"]
    daemon.restart()
    daemon.send(lines[:1])  # a duplicate; something to publish
    daemon.wait_learned(EVENTS + 1)
    assert daemon.status()["drift"] == seen and not drift_lines(daemon)
    assert "1 alarms" in run("rankctl", "status", "--socket", daemon.data_dir + "/admin.sock").stdout


def test_nothing_is_said_with_the_detector_off(make_rankd):
    daemon, lines = make_rankd("off", drift__threshold=0).start(), flipping_shop()
    learn(daemon, lines, EVENTS)
    assert daemon.metrics().value("rankd_drift_alarms_total") == 0 and not drift_lines(daemon)
    assert daemon.status()["drift"]["evidence"] == 0
