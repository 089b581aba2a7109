"""POST /v1/events: what is accepted, what is refused, and that 200 means durable."""
import gzip
import json

import pytest

from rankd import http_request, poll, shop

NDJSON = "application/x-ndjson"


def click(n, **more):
    return {"id": f"e{n}", "type": "click", "user": f"u{n % 7}", "item": f"i{n % 11}", "ts": 1700000000000 + n, **more}


def test_object_array_and_lines_are_all_accepted(rankd):
    assert rankd.post("/v1/events", click(1)).ok()["accepted"] == 1
    assert rankd.post("/v1/events", [click(2), click(3)]).ok()["accepted"] == 2
    lines = "\n".join(json.dumps(click(n)) for n in range(4, 9))
    assert rankd.post("/v1/events", lines, NDJSON).ok()["accepted"] == 5
    assert rankd.post("/v1/events", lines.replace('"e', '"f') + "\n", "application/json").ok()["accepted"] == 5
    packed = gzip.compress(json.dumps(click(20)).encode())
    assert rankd.post("/v1/events", packed, headers={"Content-Encoding": "gzip"}).ok()["accepted"] == 1
    status = rankd.wait_learned(14)
    assert status["events"]["learned"] == 14


def test_events_without_id_are_counted(rankd):
    nameless = click(1)
    del nameless["id"]
    answer = rankd.send([nameless, click(2), nameless])
    assert (answer["accepted"], answer["without_id"], answer["rejected"]) == (3, 2, [])


def test_absent_time_is_the_arrival_time(rankd):
    timeless = click(1)
    del timeless["ts"]
    assert rankd.send([timeless])["accepted"] == 1
    rankd.wait_learned(1)


@pytest.mark.parametrize("bad, reason, field", [
    ('{"id":"x","type":"click","user":"u1"}', "no_item", "item"),
    ('{"id":"x","type":"click","item":"i1"}', "no_user", "user"),
    ('{"id":"x","user":"u1","item":"i1"}', "no_type", "type"),
    ('{"id":"x","type":"clack","user":"u1","item":"i1"}', "unknown_type", "type"),
    ('{"id":"x","type":"click","user":1.5,"item":"i1"}', "bad_id", "user"),
    ('{"id":"x","type":"click","user":"u1","item":"' + "i" * 257 + '"}', "bad_id", "item"),
    ('{"id":"x","type":"click","user":"u1","item":"i1","ts":"yesterday"}', "bad_time", "ts"),
    ('{"id":"x","type":"click","user":"u1","item":"i1","value":"many"}', "bad_number", "value"),
    ('{"id":"x","type":"click","user":"u1","user":"u2","item":"i1"}', "duplicate_key", None),
    ('{"id":"x","type":"click","user":"u1","user_id":"u2","item":"i1"}', "duplicate_key", None),
    ('{"id":"x","type":"click","user":"u\\u0000","item":"i1"}', "not_utf8", None),
    ('{"id":"x","type":"click","user":"u1","item":"i1","_arrival":1}', "reserved", "_arrival"),
    ('{"id":"x","type":"item","item":"i1"}', "type_denied", "type"),
    ('{"id":"x","type":"delete","user":"u1"}', "type_denied", "type"),
    ('{"id":"x","type":"click","user":"u1","item":"i1"', "not_json", None),
])
def test_a_bad_line_is_named_and_the_others_are_accepted(rankd, bad, reason, field):
    answer = rankd.send([json.dumps(click(1)), bad, json.dumps(click(2))])
    assert answer["accepted"] == 2
    assert len(answer["rejected"]) == 1
    rejected = answer["rejected"][0]
    assert rejected["index"] == 1 and rejected["reason"] == reason and rejected["message"]
    if field is not None:
        assert rejected["field"] == field
    rankd.wait_learned(2)


def test_integer_ids_are_their_decimal_text(rankd):
    assert rankd.send([{"type": "click", "user": 17, "item": 4711, "ts": 1700000000}])["accepted"] == 1
    rankd.wait_learned(1)
    assert [x["item"] for x in rankd.get("/v1/popular").ok()["items"]] == ["4711"]


def test_a_repeated_id_is_learned_once(rankd):
    lines = shop("--events", 100)
    rankd.send(lines)
    rankd.send(lines[50:])
    status = rankd.wait_events(150)
    assert status["events"]["learned"] == 100
    assert status["events"]["skipped"]["duplicate"] == 50


def test_duplicates_are_known_across_kill_9(make_rankd):
    daemon = make_rankd().start()
    lines = shop("--events", 100)
    daemon.send(lines)
    daemon.wait_learned(100)
    daemon.admin("POST", "/admin/checkpoint")
    daemon.wait_durable(100)
    daemon.kill9()
    daemon.start()
    daemon.send(lines)
    status = daemon.wait_events(200)
    assert status["events"]["learned"] == 100 and status["events"]["skipped"] == {"duplicate": 100}


def test_accepted_means_durable(make_rankd):
    daemon = make_rankd(checkpoint__min_interval="1h", checkpoint__max_interval="1h").start()
    daemon.send(shop("--events", 700))
    daemon.kill9()
    daemon.start()
    assert daemon.wait_learned(700)["sequence"] == 700


def test_operators_types_pass_by_the_admin_socket(rankd):
    body = "\n".join(['{"type":"item","item":"i1","available":true}', '{"type":"user","user":"u1"}', '{"type":"delete","user":"u9"}'])
    answer = rankd.admin("POST", "/v1/events", body, NDJSON)
    assert answer["accepted"] == 3 and answer["rejected"] == []


def test_an_erased_user_is_forgotten(rankd):
    rankd.send([click(1, user="gone"), click(2, user="stays"), click(3, user="stays")])
    rankd.wait_learned(3)
    assert rankd.recommend("gone")["basis"] == "personal"
    rankd.admin("POST", "/v1/events", {"type": "delete", "user": "gone"})
    poll("gone is forgotten", lambda: rankd.recommend("gone")["basis"] == "popular")
    assert rankd.recommend("stays")["basis"] == "personal"


def test_bad_events_in_the_log_are_kept_for_inspection(make_rankd):
    """Intake refuses what the decoder would; a followed file is where bad lines get as far as the ring."""
    daemon = make_rankd()
    path = f"{daemon.dir}/followed"
    with open(path, "w") as f:
        f.write(json.dumps(click(1)) + "\n" + '{"type":"click","user":"u1","ts":1700000000}\n' + "no json\n" + json.dumps(click(2)) + "\n")
    daemon.write_config(f"[file.old]\npath = {path}\n").start()
    status = daemon.wait_events(4)
    assert status["events"]["learned"] == 2 and status["events"]["skipped"] == {"no_item": 1, "not_json": 1}
    daemon.admin("POST", "/admin/checkpoint")
    kept = poll("both are kept", lambda: [x for x in [daemon.admin("GET", "/admin/bad-events")] if x["kept"] == 2])[0]
    text = json.dumps(kept["bad_events"])
    assert "no_item" in text and "not_json" in text and "file:old" in text


def test_when_every_line_is_bad_the_answer_is_400_and_still_lists_them(rankd):
    answer = rankd.post("/v1/events", '{}\n{"type":"clack"}\n', NDJSON)
    assert answer.status == 400 and answer.error()
    assert answer.json["accepted"] == 0 and [x["index"] for x in answer.json["rejected"]] == [0, 1]


@pytest.mark.parametrize("body, content_type, status", [
    ("{}", "text/plain", 415),
    ("", "application/json", 400),
    ("[1,2", "application/json", 400),
])
def test_bodies_that_are_no_events_are_refused(rankd, body, content_type, status):
    answer = rankd.post("/v1/events", body, content_type)
    assert answer.status == status, answer
    answer.error()


def test_limits_of_body_and_batch(make_rankd):
    daemon = make_rankd(http__max_body="64KiB", intake__max_batch=10).start()
    answer = daemon.post("/v1/events", "x" * 70000, NDJSON)
    assert answer.status == 413, answer
    bomb = gzip.compress(b"\n" * 1000000)
    answer = daemon.post("/v1/events", bomb, NDJSON, headers={"Content-Encoding": "gzip"})
    assert answer.status == 413, answer
    answer = daemon.post("/v1/events", "\n".join(json.dumps(click(n)) for n in range(11)), NDJSON)
    assert answer.status in (400, 413) and "10" in answer.body.decode(), answer
    assert daemon.send([click(n) for n in range(10)])["accepted"] == 10


def test_wrong_method_and_path(rankd):
    answer = rankd.get("/v1/events")
    assert answer.status == 405 and "POST" in answer.headers["Allow"], answer
    assert rankd.get("/v1/nothing").status == 404
    assert rankd.get("/admin/status").status == 404


def test_a_full_log_is_507_and_the_daemon_goes_on(make_rankd):
    daemon = make_rankd(log__max_bytes="1MiB", log__segment_bytes="64KiB").start()
    lines, status = shop("--events", 20000), 200
    for start in range(0, len(lines), 500):
        answer = daemon.post("/v1/events", "\n".join(lines[start:start + 500]), NDJSON)
        status = answer.status
        if status != 200:
            break
    assert status == 507, answer
    assert answer.error()
    assert daemon.get("/readyz").status == 200


def test_head_has_no_body_and_the_connection_stays_in_step(rankd):
    import http.client
    connection = http.client.HTTPConnection(rankd.http, timeout=10)
    connection.request("HEAD", "/v1/popular")
    head = connection.getresponse()
    assert head.status == 200 and head.read() == b"" and int(head.headers["Content-Length"]) > 0
    connection.request("GET", "/v1/popular")
    assert connection.getresponse().status == 200
    connection.close()


def test_host_header_is_checked(rankd):
    assert http_request(rankd.http, "GET", "/v1/popular", headers={"Host": "evil.example"}).status in (400, 403, 421)


def test_a_followed_file_that_is_not_there_is_named_and_read_once_it_is(make_rankd, tmp_path):
    path = tmp_path / "later.jsonl"
    daemon = make_rankd().write_config(f"[file.later]\npath = {path}\n[file.folder]\npath = {tmp_path}\n").start()
    assert f"{path}: no such file yet" in daemon.wait_log("event=file_unreadable", "source=file:later")
    assert f"{tmp_path}: not a file" in daemon.wait_log("event=file_unreadable", "source=file:folder")
    path.write_text('{"type":"click","user":"ann","item":"i1","ts":1700000000}\n')
    assert daemon.wait_learned(1)["events"]["learned"] == 1
    assert len([line for line in daemon.lines if "event=file_unreadable" in line]) == 2
