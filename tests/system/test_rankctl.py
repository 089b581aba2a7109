"""rankctl: the operator's tool against a running daemon, and logs of other shapes loaded through it."""
import gzip
import json
import os

from rankd import poll, run


def ctl(rankd, *arguments, input=None):
    return run("rankctl", arguments[0], "--socket", os.path.join(rankd.data_dir, "admin.sock"), *arguments[1:], input=input)


def as_json(rankd, *arguments):
    done = ctl(rankd, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write(path, text):
    (gzip.open if str(path).endswith(".gz") else open)(path, "wt").write(text)
    return str(path)


def tsv(n, start=0):
    return "".join(f"{1700000000 + k}.5\tu{k % 13}\ti{k % 17}\tclick\n" for k in range(start, start + n))


def test_status_digest_checkpoint_pause_and_resume(rankd):
    rankd.send([{"id": f"e{k}", "type": "click", "user": f"u{k % 5}", "item": f"i{k % 9}", "ts": 1700000000000 + k} for k in range(50)])
    rankd.wait_events(50)
    assert as_json(rankd, "status")["events"]["learned"] == 50
    assert "50" in ctl(rankd, "status").stdout
    as_json(rankd, "checkpoint")
    assert rankd.status()["durable_sequence"] == 50
    assert as_json(rankd, "digest")["digest"] in rankd.digest()
    assert ctl(rankd, "pause").returncode == 0
    poll("paused", lambda: rankd.status()["state"] == "paused")
    assert ctl(rankd, "resume").returncode == 0
    poll("running", lambda: rankd.status()["state"] == "running")


def test_recommend_score_similar_and_popular_answer(rankd):
    rankd.send([{"id": f"e{k}", "type": "click", "user": f"u{k % 5}", "item": f"i{k % 9}", "ts": 1700000000000 + k} for k in range(30)])
    rankd.wait_events(30)
    assert as_json(rankd, "recommend", "u1", "-k", "3")["basis"] == "personal"
    assert as_json(rankd, "popular")["items"]
    assert len(as_json(rankd, "factors", "-k", "2")["factors"][0]["highest"]) == 2
    assert "dimension" in ctl(rankd, "factors").stdout
    assert as_json(rankd, "similar", "i1")["items"]
    assert [row["item"] for row in as_json(rankd, "score", "u1", "i1", "i2")["items"]] == ["i1", "i2"]
    assert ctl(rankd, "similar", "nothing").returncode == 1


def test_exit_codes_tell_refused_bad_use_and_not_reachable(rankd, tmp_path):
    assert run("rankctl", "nonsense").returncode == 2
    assert run("rankctl", "status", "--socket", str(tmp_path / "none.sock")).returncode == 3


def test_tsv_loads_once_however_often_it_is_loaded(rankd, tmp_path):
    path = write(tmp_path / "log.tsv.gz", tsv(500))
    for _ in range(2):
        done = ctl(rankd, "load", "--columns", "ts,user,item,type", path)
        assert done.returncode == 0, done.stderr
    status = rankd.wait_events(1000)
    assert status["events"]["learned"] == 500
    assert status["events"]["skipped"] == {"duplicate": 500}


def test_csv_with_a_header_and_quotes_loads(rankd, tmp_path):
    path = write(tmp_path / "log.csv", 'ts,user,item,type\n1700000000,"a, b",i1,click\n1700000001,"say ""x""",i2,click\n')
    done = ctl(rankd, "load", "--header", path)
    assert done.returncode == 0, done.stderr
    rankd.wait_events(2)
    assert rankd.recommend("a, b")["basis"] == "personal"
    assert rankd.recommend('say "x"')["basis"] == "personal"


def test_bad_lines_are_listed_and_the_good_ones_learned(rankd, tmp_path):
    path = write(tmp_path / "log.tsv", tsv(10) + "no\n" + tsv(10, 100) + "17x\tu1\ti1\tclick\n")
    done = ctl(rankd, "load", "--columns", "ts,user,item,type", "--bad", str(tmp_path / "bad"), path)
    assert done.returncode == 1
    assert "11" in done.stderr
    assert len((tmp_path / "bad").read_text().splitlines()) == 2
    assert rankd.wait_events(20)["events"]["learned"] == 20


def test_a_row_without_its_time_is_refused_and_does_not_move_the_clock(rankd, tmp_path):
    path = write(tmp_path / "log.csv", "ts,user,item,type\n1700000000,u1,i1,click\n,u2,i2,click\n1700000001,u3,i3,click\n")
    done = ctl(rankd, "load", path)
    assert done.returncode == 1 and "log.csv:3: bad_record: the ts is empty" in done.stderr, done.stderr
    assert rankd.wait_events(2)["events"]["learned"] == 2
    assert rankd.recommend("u3")["as_of"] == "2023-11-14T22:13:21.000Z"


def test_erased_user_is_nobody(rankd):
    rankd.send([{"id": f"e{k}", "type": "click", "user": "ann", "item": f"i{k}", "ts": 1700000000000 + k} for k in range(5)])
    rankd.wait_events(5)
    assert ctl(rankd, "erase", "user", "ann").returncode == 0
    rankd.wait_events(6)
    assert rankd.recommend("ann")["basis"] == "popular"
