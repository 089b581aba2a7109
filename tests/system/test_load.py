"""rankctl load: a log of any form into the intake and into Kafka, interrupted and resumed."""
import csv
import gzip
import io
import json
import os
import pty
import re
import select
import signal
import subprocess

import pytest

from rankd import PATIENCE, binary, clean_environment, run


def load(daemon, *arguments, input=None):
    return run("rankctl", "load", "--socket", os.path.join(daemon.data_dir, "admin.sock"), *map(str, arguments), input=input)


def rows(n, start=0):
    """(ts, user, item, type); commas, quotes and line breaks are for CSV to cope with."""
    return [(1700000000 + k, f"u{k % 13}", f'it,"em {k % 17}', "click") for k in range(start, start + n)]


def text_of(form, some):
    if form == "jsonl":
        return "".join(json.dumps(dict(zip(("ts", "user", "item", "type"), row))) + "\n" for row in some)
    if form == "tsv":
        return "".join("\t".join(map(str, row)) + "\n" for row in some)
    out = io.StringIO()
    csv.writer(out).writerows([("ts", "user", "item", "type"), *some])
    return out.getvalue()


def write(path, text):
    """A file packed as its name says."""
    data = text.encode()
    if str(path).endswith(".gz"):
        data = gzip.compress(data)
    elif str(path).endswith(".zst"):
        data = subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout
    path.write_bytes(data)
    return path


def test_times_without_a_zone_are_utc_in_columns_and_wrong_in_json(rankd, tmp_path):
    path = write(tmp_path / "export.csv", "event_time,user_id,item_id,event_type\n"
                 "2014-04-01,u1,a,click\n2014-04-01 03:08,u2,b,click\n2014-04-01 03:08:52,u3,c,click\n")
    done = load(rankd, "--columns", "ts,user,item,type", "--header", "--json", path)
    assert done.returncode == 0, done.stderr
    rankd.wait_learned(3)
    assert rankd.metrics().value("rankd_model_clock_seconds") == 1396321732
    path = write(tmp_path / "other.csv", "ts,user,item,type\n1.4.2014 3:08,u1,a,click\n")
    done = load(rankd, path)
    assert done.returncode == 1 and "bad_time" in done.stderr and "1.4.2014 3:08" in done.stderr
    path = write(tmp_path / "events.jsonl", '{"ts":"2014-04-01 03:08:52","user":"u","item":"a","type":"click"}\n')
    done = load(rankd, path)
    assert done.returncode == 1 and "bad_time" in done.stderr


def test_every_form_plain_and_packed_means_the_same_events(rankd, tmp_path):
    files = [write(tmp_path / f"log.{form}{packing}", text_of(form, rows(40, 100 * k)))
             for k, (form, packing) in enumerate((f, p) for f in ("jsonl", "tsv", "csv") for p in ("", ".gz", ".zst"))]
    done = load(rankd, "--json", *files)
    assert done.returncode == 0, done.stderr
    assert {k: json.loads(done.stdout)[k] for k in ("accepted", "rejected", "without_id")} == {
        "accepted": 360, "rejected": 0, "without_id": 0}
    assert rankd.wait_learned(360)["events"]["skipped"] == {}
    items = {x["item"] for x in rankd.get("/v1/popular", k=100).ok()["items"]}
    assert items == {row[2] for row in rows(17)}
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".rankd-load")]


def test_standard_input_and_a_type_for_events_without_one(rankd):
    done = load(rankd, "-", "--columns", "user,item,ts", "--format", "csv", "--type", "purchase",
                input="u1,i1,1700000000\nu2,i2,1700000001\n")
    assert done.returncode == 0, done.stderr
    assert rankd.wait_learned(2)["events"]["types"]["purchase"] == 2


@pytest.mark.parametrize("name", ["log.tsv", "log.csv.zst", "log.jsonl.gz"])
def test_a_load_that_was_stopped_goes_on_where_it_was(make_rankd, tmp_path, name):
    """A full log stops the first run, in the middle of the file; each event is learned once in the end."""
    daemon = make_rankd(log__segment_bytes="64KiB", log__max_bytes="512KiB").start()
    n = 10000
    path = write(tmp_path / name, text_of(name.split(".")[1], rows(n)))
    stopped = load(daemon, "--batch", 200, "--json", path)
    assert stopped.returncode == 1 and "max_bytes" in stopped.stderr and "--resume goes on" in stopped.stderr, stopped.stderr
    first = json.loads(stopped.stdout)["accepted"]
    assert 1000 < first < n
    daemon.wait_learned(first)

    daemon.restart(log__max_bytes=0)
    resumed = load(daemon, "--batch", 200, "--json", "--resume", path)
    assert resumed.returncode == 0, resumed.stderr
    at = int(re.search(r"goes on at line ([\d,. ]+)", resumed.stderr)[1].replace(",", ""))
    assert 1 < at <= first + 2
    second = json.loads(resumed.stdout)["accepted"]
    assert n <= first + second <= n + first
    events = daemon.wait_events(first + second)["events"]
    assert events["learned"] == n and set(events["skipped"]) <= {"duplicate"}
    assert os.listdir(tmp_path) == [name]


def test_another_file_of_the_same_name_is_not_resumed(make_rankd, tmp_path):
    daemon = make_rankd(log__segment_bytes="64KiB", log__max_bytes="64KiB").start()
    path = write(tmp_path / "log.tsv", text_of("tsv", rows(5000)))
    assert load(daemon, "--batch", 100, path).returncode == 1
    write(path, text_of("tsv", rows(5000, 7)))
    refused = load(daemon, "--resume", path)
    assert refused.returncode == 2 and "is not the file that was being loaded" in refused.stderr, refused.stderr


def test_a_terminal_shows_share_rate_and_remaining_time(rankd, tmp_path):
    path = write(tmp_path / "log.tsv", text_of("tsv", rows(5000)))
    ours, theirs = pty.openpty()
    rankd.signal(signal.SIGSTOP)  # the first batch waits for its answer until progress was seen: no machine is too fast for this
    with subprocess.Popen([binary("rankctl"), "load", "-s", os.path.join(rankd.data_dir, "admin.sock"), "--batch", "10", str(path)],
                          stdout=subprocess.PIPE, stderr=theirs, env=clean_environment()) as process:
        os.close(theirs)
        shown = b""
        while select.select([ours], [], [], 20 * PATIENCE)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            shown += part
            if b"left" in shown or not part:
                rankd.signal(signal.SIGCONT)
            if not part:
                break
        rankd.signal(signal.SIGCONT)
        os.close(ours)
        summary = process.stdout.read().decode()
        assert process.wait(60 * PATIENCE) == 0
    assert re.search(r"\d+\.\d %  [\d,]+ events  [\d,.]+/s  0 rejected  .+ left", shown.decode()), shown[:2000]
    assert summary.startswith("5,000 lines read, 5,000 events accepted, 0 rejected"), summary


def test_into_a_topic_keyed_by_user_and_learned_once(kafka, topic, make_rankd, tmp_path):
    name = topic("t", 4)
    path = write(tmp_path / "log.csv.gz", text_of("csv", rows(2000)) + "17x,u1\n")
    daemon = make_rankd(kafka__brokers=kafka.bootstrap, kafka__topics=f"{name}:click", kafka__intake_topic=name).start()
    once = []
    for n in (1, 2):
        done = run("rankctl", "load", "--kafka", name, "--brokers", kafka.bootstrap, "--json", str(path))
        assert done.returncode == 1 and "log.csv.gz:" in done.stderr and "bad_record" in done.stderr, done.stderr
        assert {k: json.loads(done.stdout)[k] for k in ("accepted", "rejected")} == {"accepted": 2000, "rejected": 1}
        highs = [high for _, high in kafka.watermarks(name)]
        assert sum(highs) == 2000 * n and max(highs) < 2000 * n
        once = once or highs
        assert highs == [n * high for high in once]  # a user's events are in one partition
    events = daemon.wait_events(4000)["events"]
    assert events["learned"] == 2000 and events["skipped"] == {"duplicate": 2000}


def test_a_topic_that_is_not_there_and_a_broker_that_is_not(kafka, tmp_path):
    path = write(tmp_path / "log.tsv", text_of("tsv", rows(3)))
    missing = run("rankctl", "load", "--kafka", "no-such-topic", "--brokers", kafka.bootstrap, str(path))
    assert missing.returncode == 1 and "topic no-such-topic" in missing.stderr, missing.stderr
    nowhere = run("rankctl", "load", "--kafka", "t", "--brokers", "127.0.0.1:1", str(path))
    assert nowhere.returncode == 3 and "127.0.0.1:1" in nowhere.stderr, nowhere.stderr
