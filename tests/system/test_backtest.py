"""rankd backtest on a small simulated shop: the same figures however it is run, resumed and stopped; what is judged; every source."""
import json
import math
import os
import pty
import random
import re
import signal
import subprocess
import time

import pytest

from backtests import backtest, log, tsv, under_test, without_costs
from rankd import PATIENCE, binary, clean_environment, poll, run

def test_figures_are_the_same_with_one_process_and_two(log, tmp_path):
    options = ["--log", log, "--every", 3, "--seeds", 2, "--baselines", "popularity", "-o", "model.negatives=16,32"]
    one, _ = backtest(*options, "--jobs", 1, "--report", tmp_path / "one")
    two, _ = backtest(*options, "--jobs", 2, "--report", tmp_path / "two")
    assert without_costs(one) == without_costs(two)
    assert 0 < under_test(one)["ndcg@20"] < 1
    assert under_test(one)["events"] == one["protocol"]["cases"]


def test_judging_changes_no_bit_of_the_model(log):
    two, _ = backtest("--log", log, "--every", 2, "--baselines", "none")
    many, _ = backtest("--log", log, "--every", 1000, "--baselines", "none")
    assert re.fullmatch("[0-9a-f]{64}", two["protocol"]["digest"])
    assert two["protocol"]["digest"] == many["protocol"]["digest"]
    assert under_test(two)["events"] > 100 * max(1, under_test(many)["events"]) / 2


def test_the_log_of_the_daemon_ends_in_the_state_of_the_daemon(make_rankd, log):
    """The own log is taken as it stands: with the daemon's configuration the digest is that of its data directory."""
    daemon = make_rankd(events__max_clock_step="none").start()
    lines = log.read_text().splitlines()[:1500]
    daemon.send(lines)
    daemon.wait_events(len(lines))
    daemon.stop()
    digest = json.loads(run("rankd", "digest", *daemon.overrides(), "--json").stdout)["digest"]
    whole, _ = backtest("--log", daemon.log_dir, *daemon.overrides(), "--every", 50, "--baselines", "none")
    assert whole["protocol"]["digest"] == digest
    assert whole["protocol"]["order"] == "as it stands in the log"
    journal, _ = backtest("--log", daemon.log_dir, "--journal", daemon.data_dir, *daemon.overrides(), "--every", 50,
                          "--baselines", "none")
    assert without_costs(journal["models"]) == without_costs(whole["models"])
    segment = sorted(name for name in os.listdir(daemon.log_dir) if name.endswith(".jsonl"))[0]
    alone, _ = backtest("--log", os.path.join(daemon.log_dir, segment), *daemon.overrides(), "--every", 50, "--baselines", "none")
    assert alone["protocol"]["digest"] == digest


def test_figures_are_those_of_the_answers_that_the_daemon_gives(make_rankd):
    """The daemon is asked before each event, over HTTP; a backtest of its log finds the same places."""
    daemon = make_rankd(events__max_clock_step="none").start()
    chance, used, places = random.Random(3), set(), []
    for k in range(240):
        user, item = f"u{chance.randrange(30)}", f"i{int(60 * chance.random() ** 2)}"
        if k >= 60 and (user, item) not in used:
            hits = [hit["item"] for hit in daemon.recommend(user, k=100)["items"]]
            places.append(hits.index(item) if item in hits else 1000)
        used.add((user, item))
        daemon.send([{"type": "click", "user": user, "item": item, "ts": 1700000000 + k}])
        daemon.wait_events(k + 1)
    daemon.stop()
    result, _ = backtest("--log", daemon.log_dir, *daemon.overrides(), "--skip", 0.25, "--baselines", "none")
    model = under_test(result)
    assert model["events"] == len(places)
    assert abs(model["recall@20"] - sum(p < 20 for p in places) / len(places)) < 0.02
    assert abs(model["ndcg@20"] - sum(1 / math.log2(p + 2) for p in places if p < 20) / len(places)) < 0.01


def test_rows_and_json_lines_give_the_same_figures(log, tsv):
    rows, _ = backtest("--log", tsv, "--every", 5, "--baselines", "popularity")
    lines, _ = backtest("--log", log, "--every", 5, "--baselines", "popularity")
    for row, line in zip(rows["models"], lines["models"], strict=True):
        assert (row["name"], row["events"], row["ndcg@20"]) == (line["name"], line["events"], line["ndcg@20"])


def start(*arguments, env=None):
    return subprocess.Popen([binary("rankd"), "backtest", *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=clean_environment(env), start_new_session=True)


def outcomes(report):
    runs = report / "runs"
    return {name for name in os.listdir(runs) if name.endswith(".outcome")} if runs.exists() else set()


def test_a_killed_backtest_goes_on_where_it_was(log, tmp_path):
    report, whole = tmp_path / "report", tmp_path / "whole"
    options = ["--log", log, "--every", 2, "--seeds", 8, "--baselines", "none", "--jobs", 1]
    fresh, _ = backtest(*options, "--report", whole)
    in_order = sorted((whole / "runs").glob("*.digest"), key=lambda path: path.stat().st_mtime_ns)
    (report / "runs").mkdir(parents=True)
    blocks = [report / "runs" / path.name for path in in_order[2:]]
    for path in blocks:  # the third run hangs at its end, where it would write this: nobody reads
        os.mkfifo(path)
    process = start(*options, "--report", report)
    poll("two runs are done", lambda: len(outcomes(report)) >= 2)
    process.kill()
    process.communicate(timeout=20 * PATIENCE)
    for path in blocks:
        path.unlink()
    done = outcomes(report)
    assert len(done) == 2
    again, said = backtest(*options, "--report", report)
    assert said.count("from an earlier backtest") == len(done)
    assert not [name for name in os.listdir(report) if name.startswith("state-")], "left by the killed process"
    assert without_costs(again["models"]) == without_costs(fresh["models"])
    damaged = report / "runs" / sorted(done)[0]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    repaired, said = backtest(*options, "--report", report)
    assert said.count("from an earlier backtest") == 7
    assert without_costs(repaired["models"]) == without_costs(fresh["models"])


def test_an_interrupt_ends_with_a_report_of_what_was_done(log, tmp_path):
    report = tmp_path / "report"
    process = start("--log", log, "--seeds", 200, "--baselines", "none", "--jobs", 1, "--report", report, "--json")
    poll("a run is done", lambda: len(outcomes(report)) >= 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
    out, said = process.communicate(timeout=60 * PATIENCE)
    assert process.returncode == 0, said
    assert "stopping" in said
    result = json.loads(out)
    assert result["protocol"]["stopped"] is True
    assert 0 < under_test(result)["ndcg@20"] < 1
    assert "early" in (report / "report.html").read_text() or "stopped" in (report / "report.html").read_text()


def test_a_run_that_was_interrupted_tells_about_its_part(log, tmp_path):
    """On a terminal, where progress can be seen: the only run ends early, and the figures are of the cases it reached."""
    path, start_s = tmp_path / "long.tsv", 1700000000
    events = [json.loads(line) for line in log.read_text().splitlines()]
    with open(path, "w") as f:
        for again in range(40):
            f.writelines(f"{start_s + again * 5000 + k}\t{again}{e['user']}\t{e['item']}\t{e['type']}\n" for k, e in enumerate(events))
    ours, theirs = pty.openpty()
    process = subprocess.Popen([binary("rankd"), "backtest", "--log", path, "--baselines", "none", "--skip", "0.001", "--json",
                                "-o", "model.dim=256", "-o", "model.negatives=128"],  # that it be far from its end by then
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, text=True, env=clean_environment())
    os.close(theirs)
    seen = b""
    while not re.search(rb"\r[^\r]* (?!0\.)[0-9]+\.[0-9] %  0 of 1 runs .* left", seen):
        seen += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=60 * PATIENCE)[0]
    os.close(ours)
    assert process.returncode == 0
    assert re.search(rb"\r.*[0-9.]+ %  0 of 1 runs .* records .*/s .* left", seen)
    result = json.loads(out)
    assert result["protocol"]["stopped"] is True
    assert under_test(result)["events"] == result["protocol"]["cases_reached"] < result["protocol"]["cases"]
    assert "digest" not in result["protocol"]


def test_the_report_and_the_best_configuration_are_written(log, tmp_path):
    report = tmp_path / "report"
    result, _ = backtest("--log", log, "--every", 3, "--report", report, "-o", "model.terms=trend_long;all", "-o",
                         "model.history=10", "--baselines", "popularity", "--ablations")
    assert json.loads((report / "report.json").read_text()) == result
    assert "<svg" in (report / "report.html").read_text()
    shown = run("rankd", "check-config", "-c", report / "best.conf")
    assert shown.returncode == 0, shown.stderr
    assert "terms = all " in shown.stdout and "\nhistory = 10 " in shown.stdout
    assert "max_clock_step = 1d " in shown.stdout
    roles = {m["role"] for m in result["models"]}
    assert {"tested", "baseline", "ablation"} <= roles
    assert len([m for m in result["models"] if m["role"] == "ablation"]) >= 3


def test_without_a_report_nothing_is_kept(log, tmp_path):
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    command = [binary("rankd"), "backtest", "--log", str(log), "--every", "20", "--baselines", "none"]
    nowhere = subprocess.run(command, cwd=here, capture_output=True, text=True, env=clean_environment({"TMPDIR": str(temporary)}),
                             check=False)
    assert nowhere.returncode == 1 and str(temporary) in nowhere.stderr
    temporary.mkdir()
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, env=clean_environment({"TMPDIR": str(temporary)}),
                          check=True)
    assert "NDCG@20" in done.stdout and "targets judged" in done.stdout
    assert os.listdir(temporary) == os.listdir(here) == []


def test_nobody_has_to_read_what_it_shows(tsv, tmp_path):
    """As with `| head`: it ends by itself, with its report, and nothing of it is left."""
    report, temporary = tmp_path / "report", tmp_path / "temporary"
    temporary.mkdir()
    path = tmp_path / "bad.tsv"
    path.write_text("no event\n" * 50 + tsv.read_text())
    for options in ([], ["--report", report]):
        process = start("--log", path, "--every", 20, "--baselines", "none", *options, env={"TMPDIR": str(temporary)})
        process.stdout.close()
        process.stderr.close()
        assert process.wait(60 * PATIENCE) >= 0, "ended by a signal"
    assert (report / "report.html").exists()
    assert os.listdir(temporary) == []


def test_bad_lines_are_named_by_file_and_line_and_do_not_stop_it(tsv, tmp_path):
    lines = tsv.read_text().splitlines()
    lines[6] = "not a line of four columns"
    lines[8] = lines[8].replace(lines[8].split("\t")[0], "yesterday")
    path = tmp_path / "bad.tsv"
    path.write_text("\n".join(lines) + "\n")
    result, said = backtest("--log", path, "--every", 20, "--baselines", "none")
    assert f"{path}:7: bad_record: 1 columns, 4 are expected" in said
    assert f"{path}:9: bad_time" in said
    assert result["protocol"]["lines_rejected"] == 1
    assert result["protocol"]["skipped_bad_time"] == 1


def test_times_without_a_zone_are_utc(log, tmp_path):
    """As databases export them: the same events at the same times, whether with seconds, in TSV or in CSV."""
    digests = set()
    for name, separator, form in [("zone.tsv", "\t", "%Y-%m-%dT%H:%M:00.000Z"), ("seconds.csv", ",", "%Y-%m-%d %H:%M:%S"),
                                  ("minutes.tsv", "\t", "%Y-%m-%dT%H:%M")]:
        events = [json.loads(line) for line in log.read_text().splitlines()[:600]]
        path = tmp_path / name
        path.write_text("".join(separator.join([time.strftime(form, time.gmtime(e["ts"] // 60000 * 60)), e["user"], e["item"],
                                                e["type"]]) + "\n" for e in events))
        result, said = backtest("--log", path, "--columns", "ts,user,item,type", "--every", 20, "--baselines", "none")
        assert "skipped_bad_time" not in result["protocol"], said
        digests.add(result["protocol"]["digest"])
    assert len(digests) == 1


def test_a_file_without_known_columns_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("a,b,c\n1,2,3\n")
    _, said = backtest("--log", path, code=2)
    assert "--columns" in said and str(path) in said
    _, said = backtest("--log", path, "--columns", "ts,user,thing", code=2)
    assert "no column is named item" in said
    _, said = backtest("--log", path, "--columns", "ts,user,item", code=2)
    assert "none of the 2 lines of log, items and users is an event to learn: 0 cannot be read" in said
    _, said = backtest("--log", path, "--columns", "ts,user,item,type", code=2)
    assert "none of the 2 lines of log, items and users is an event to learn: 2 cannot be read" in said
    path.write_text("")
    _, said = backtest("--log", path, code=2)
    assert "the log has no line" in said
    path.write_text("a,b,c\n1,2,3\n")
    _, said = backtest("--log", tmp_path / "none.tsv", code=1)
    assert "none.tsv" in said
    _, said = backtest("--log", path, "--every", "often", code=2)
    assert "--every often" in said


def test_what_leaves_nothing_to_judge_is_refused_before_anything_is_run(tsv, tmp_path):
    for options, words in ((["--skip", 1], "behind the last of 4000 lines"),
                           (["--train-until", "2090-01-01T00:00:00Z"], "behind the last of 4000 lines"),
                           (["--every", 1 << 40], "none of the 3200 lines from number 800 on"),
                           (["--cohort", "colour"], "no target has a feature of this name"),
                           (["--skip", 0.1, "--train-until", 0.5], "both say where figures begin"),
                           (["--cold", "maybe"], "allowed: miss or skip"),
                           (["--targets", ""], "allowed: event types"),
                           (["--seeds", 1001], "allowed: a whole number from 1 to 1000")):
        _, said = backtest("--log", tsv, "--report", tmp_path / "report", *options, code=2)
        assert words in said and "done in" not in said
    other = tmp_path / "log"
    other.mkdir()
    _, said = backtest("--log", other, tsv, code=2)
    assert f"{tsv} is no own log" in said


def test_a_log_that_is_not_in_order_is_told_of(tsv, tmp_path):
    path = tmp_path / "newest-first.tsv"
    path.write_text("\n".join(reversed(tsv.read_text().splitlines())) + "\n")
    result, said = backtest("--log", path, "--every", 20, "--baselines", "none")
    late = result["protocol"]["lines_late_by_an_hour"]
    assert late > 3900 and f"{late:,} lines are older by more than an hour" in said
    assert any("knew the future" in finding for finding in result["findings"])
    result, said = backtest("--log", tsv, "--every", 20, "--baselines", "none")
    assert "lines_late_by_an_hour" not in result["protocol"] and "older" not in said


def test_baskets_that_others_stand_between_are_told_of(tmp_path):
    rows = [(1700000000 + 60 * minute, user, f"i{(7 * minute + 5 * user + k) % 40}")
            for minute in range(120) for k in range(3) for user in range(4)]
    apart, whole = tmp_path / "apart.tsv", tmp_path / "whole.tsv"
    for path, order in ((apart, rows), (whole, sorted(rows, key=lambda row: row[:2]))):
        path.write_text("".join(f"{ts}\tu{user}\t{item}\tpurchase\n" for ts, user, item in order))
    result, said = backtest("--log", apart, "--repeats", "--keep-used", "--baselines", "none")
    assert result["protocol"]["lines_apart_from_their_moment"] == 120 * 4 * 2
    assert "960 lines stand apart" in said and any("judged in parts" in finding for finding in result["findings"])
    for log, options in ((whole, []), (apart, ["--serial"])):
        result, said = backtest("--log", log, "--repeats", "--keep-used", "--baselines", "none", *options)
        assert "lines_apart_from_their_moment" not in result["protocol"] and "apart" not in said


def test_unknown_types_count_as_positive_and_are_listed(tsv, tmp_path):
    path = tmp_path / "types.tsv"
    lines = [line.replace("\tcart", "\tWishList") for line in tsv.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    result, said = backtest("--log", path, "--every", 10, "--baselines", "none")
    assert said.count("unknown_type") == 0
    types = {t["name"]: t for t in result["types"]}
    assert types["WishList"]["configured"] is False
    assert types["WishList"]["events"] == sum(line.endswith("WishList") for line in lines)
    assert types["click"]["configured"] is True
    assert "WishList" in result["protocol"]["targets"]
    without, _ = backtest("--log", path, "--every", 10, "--baselines", "none", "-o", "type.view.enabled=no")
    assert without["protocol"]["skipped_unknown_type"] == sum(line.endswith("\tview") for line in lines)


def test_the_protocol_is_printed_with_its_defaults(tsv):
    result, _ = backtest("--log", tsv, "--every", 10, "--baselines", "none")
    protocol = result["protocol"]
    assert protocol["order"].startswith("whole baskets")
    assert (protocol["every"], protocol["skip"], protocol["freeze"], protocol["shuffle_ties"]) == (10, 0.2, False, False)
    assert protocol["behaviour_lines"] == 4000
    assert protocol["figures_from_line"] == 800
    other, _ = backtest("--log", tsv, "--every", 10, "--baselines", "none", "--serial", "--shuffle-ties", 7, "--skip", 0.5,
                        "--freeze", "--repeats", "--keep-used", "--cold", "skip", "--targets", "click,view")
    protocol = other["protocol"]
    assert (protocol["order"], protocol["shuffle_ties"], protocol["skip"]) == ("line by line", 7, 0.5)
    assert protocol["freeze"] is True and "click,view" in protocol["targets"]
    assert under_test(other)["events"] < 200


def test_learning_on_the_way_beats_a_model_that_was_frozen(tsv):
    learning, _ = backtest("--log", tsv, "--every", 2, "--skip", 0.3, "--baselines", "none")
    frozen, _ = backtest("--log", tsv, "--every", 2, "--skip", 0.3, "--baselines", "none", "--freeze")
    assert under_test(frozen)["events"] == under_test(learning)["events"]
    assert under_test(frozen)["ndcg@20"] < under_test(learning)["ndcg@20"]


def test_the_choice_is_made_on_the_part_that_is_not_scored(tsv):
    result, _ = backtest("--log", tsv, "--every", 2, "--baselines", "none", "-o", "model.terms=trend_long;all", "--skip", 0.4)
    assert under_test(result)["settings"] == ""  # all is the default
    assert result["protocol"]["chosen_on"].startswith("lines 400 to 1600")
    assert result["protocol"]["figures_from_line"] == 1600
    overlapping, _ = backtest("--log", tsv, "--every", 2, "--baselines", "none", "-o", "model.terms=trend_long;all", "--skip", 0)
    assert "in the figures, too" in overlapping["protocol"]["chosen_on"]


@pytest.mark.parametrize("preset, decides", [("accuracy", "ndcg@20"), ("discovery", "tail-ndcg@20"), ("probability", "log-loss")])
def test_presets_say_what_decides(tsv, preset, decides):
    result, _ = backtest("--log", tsv, "--every", 10, "--baselines", "popularity", "--preset", preset)
    assert result["protocol"]["decides"] == decides
    assert result["protocol"]["preset"].startswith(preset)
    assert under_test(result)["calibration"]["log_loss"] > 0


def test_topics_are_read_from_and_to_offsets_and_times(kafka, topic, log):
    events = [json.loads(line) for line in log.read_text().splitlines()[:900]]
    one, several, timed = topic("one"), topic("several", partitions=3), topic("timed")
    kafka.produce_events(one, events)
    kafka.produce_events(several, events)
    options = ["-o", f"kafka.brokers={kafka.bootstrap}", "-o", f"kafka.topics={one},{several},{timed}", "-o", f"kafka.intake_topic={one}",
               "--every", 5, "--baselines", "none"]
    whole, _ = backtest("--kafka", one, *options)
    assert whole["protocol"]["behaviour_lines"] == 900
    part, _ = backtest("--kafka", one, *options, "--from", 100, "--to", 700)
    assert part["protocol"]["behaviour_lines"] == 600
    later, _ = backtest("--kafka", one, *options, "--to", "2001-01-01T00:00:00Z", code=2)
    now = int(time.time())
    kafka.produce_events(timed, events[:400], ts_ms=(now - 7200) * 1000)
    kafka.produce_events(timed, events[400:], ts_ms=(now - 3600) * 1000)
    between = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 5000))
    for end, lines in (("--to", 400), ("--from", 500)):
        result, _ = backtest("--kafka", timed, *options, end, between)
        assert result["protocol"]["behaviour_lines"] == lines
    merged, _ = backtest("--kafka", several, *options)
    assert merged["protocol"]["behaviour_lines"] == 900
    assert under_test(whole)["events"] > 0 and later is None


def test_help_explains_every_option():
    done = run("rankd", "backtest", "--help")
    assert done.returncode == 0
    for option in ("log", "items", "users", "format", "columns", "kafka", "journal", "from", "to", "every", "skip", "serial",
                   "shuffle-ties", "targets", "repeats", "keep-used", "cold", "train-until", "freeze", "choose", "seeds", "random", "jobs",
                   "baselines", "ablations", "preset", "cohort", "report", "json"):
        assert re.search(rf"--{option}\b", done.stdout), option
    assert run("rankd", "backtest").returncode == 2
