"""docs/events.md and proto/event.schema.json against the running daemon: every example is judged as the page says."""
import json
import os
import re
import time

import jsonschema
import pytest

from rankd import ROOT, http_request

with open(os.path.join(ROOT, "docs", "events.md"), encoding="utf-8") as f:
    PAGE = f.read()
with open(os.path.join(ROOT, "proto", "event.schema.json"), encoding="utf-8") as f:
    SCHEMA = json.load(f)
GOOD = [line for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
REASONS = re.findall(r"^\| `(\w+)` \| (.*?) \| (?:`(.*)`)? ?\|$", PAGE[PAGE.index("## What is refused"):], re.M)
BAD = [(reason, example) for reason, _, example in REASONS if example]


def in_schema(event):
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(event)


def judge(daemon, line):
    """The admin intake's verdict: None or the reason."""
    answer = daemon.admin_post(line)
    return answer["rejected"][0]["reason"] if answer["rejected"] else None


@pytest.fixture
def rankd(make_rankd):
    daemon = make_rankd().start()

    def post(body):
        body = body.encode() if isinstance(body, str) else body
        return http_request(daemon.admin_address, "POST", "/v1/events", body, {"Content-Type": "application/json"}).json

    daemon.admin_post = post
    return daemon


def test_the_schema_is_one_and_the_page_has_examples():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert len(GOOD) >= 7 and len(BAD) >= 12


@pytest.mark.parametrize("line", GOOD, ids=range(len(GOOD)))
def test_good_examples_are_accepted_and_follow_the_schema(rankd, line):
    assert in_schema(json.loads(line))
    assert judge(rankd, line) is None
    rankd.wait_events(1)
    assert rankd.status()["events"]["skipped"] == {}


@pytest.mark.parametrize("reason, line", BAD, ids=[reason for reason, _ in BAD])
def test_bad_examples_are_refused_with_their_reason(rankd, reason, line):
    if reason == "no_time":  # HTTP has a time of its own, a followed file has none
        path = os.path.join(rankd.dir, "followed")
        with open(path, "w") as out:
            out.write(line + "\n")
        rankd.write_config(f"[file.x]\npath = {path}\n").restart()
        assert rankd.wait_events(1)["events"]["skipped"] == {"no_time": 1}
        return
    assert judge(rankd, line) == reason
    try:
        event = json.loads(line)
    except ValueError:
        return
    assert reason in ("duplicate_key", "unknown_type") or not in_schema(event)


@pytest.mark.parametrize("about", ("user", "item"))
def test_users_and_items_are_described_in_the_same_way(rankd, about):
    good = {"type": about, about: "x", "ts": 1700000000, "categories": ["gold/annual", 7], "features": {"since": 2019}}
    assert in_schema(good) and judge(rankd, json.dumps(good)) is None
    for bad in ({"categories": "gold"}, {"categories": [["gold"]]}, {"features": ["gold"]}, {"features": {"a": {"b": 1}}}):
        assert not in_schema({**good, **bad}) and judge(rankd, json.dumps({**good, **bad})) == "bad_field"


def test_the_page_names_every_reason_of_the_metrics(rankd):
    served = {dict(series)["reason"] for series in rankd.metrics()["rankd_events_skipped_total"]}
    named = {reason for reason, _, _ in REASONS} | {"no_memory"}
    assert served <= named, served - named
    with open(os.path.join(ROOT, "proto", "event.h"), encoding="utf-8") as f:
        known = re.search(r"enum event_reason \{(.*?)EVENT_REASONS", f.read(), re.S)[1]
    assert len(named) == len(re.findall(r"^    EVENT_(?!OK\b)", known, re.M))


@pytest.mark.parametrize("event, good", [
    ({"user": 17, "item": "17"}, True), ({"user": -9223372036854775808, "item": 9223372036854775807}, True),
    ({"user": "u", "item": "i", "value": -1e300}, True), ({"user": "u", "item": "i", "quantity": 1e12}, True),
    ({"user": "u", "item": "i", "quantity": 1e13}, False), ({"user": "u", "item": "i", "value": "12"}, False),
    ({"user": "u", "item": "i", "id": None, "session": None}, True), ({"user": "u", "item": None}, False),
    ({"user": "u", "item": "i", "ts": None}, False), ({"user": "u", "item": "i", "ts": "1700000000"}, True),
    ({"user": "u", "item": "i", "ts": -1}, False), ({"user": "u", "item": "i", "ts": 253402300800000}, False),
    ({"user": "u", "item": "i", "ts": "2023-11-14 22:13:20"}, False), ({"user": "u", "items": ["i"], "item": "i"}, False),
    ({"user": "u", "items": ["a", {"id": "b", "price": 1}, 3]}, True), ({"user": "u", "items": [["a"]]}, False),
    ({"user": "u", "items": [{"item": "a", "quantity": -1}]}, False), ({"user": ["u"], "item": "i"}, False),
    ({"user": "u", "item": "i", "anything": {"deep": [1, {"er": None}]}}, True), ({"user": True, "item": "i"}, False),
    ({"user_id": "u", "item_id": "i", "event_id": "e", "timestamp": 1700000000}, True),
    ({"user": "u", "item": "i", "session": ""}, False), ({"user": "u", "item": "a\nb"}, False),
], ids=range(23))
def test_daemon_and_schema_agree(rankd, event, good):
    event = {"type": "click", **event}
    assert in_schema(event) == good
    assert (judge(rankd, json.dumps(event)) is None) == good


def test_limits_of_the_page(make_rankd, rankd):
    assert judge(rankd, json.dumps({"type": "click", "user": "u" * 256, "item": "i"})) is None
    assert judge(rankd, json.dumps({"type": "click", "user": "ü" * 129, "item": "i"}, ensure_ascii=False)) == "bad_id"
    basket = {"type": "purchase", "user": "u", "items": [f"i{n}" for n in range(1000)]}
    assert judge(rankd, json.dumps(basket)) is None
    basket["items"].append("one-more")
    assert judge(rankd, json.dumps(basket)) == "bad_items"
    assert judge(rankd, '{"type":"click","user":"u","item":"i","x":' + "[" * 15 + "]" * 15 + "}") is None
    assert judge(rankd, '{"type":"click","user":"u","item":"i","x":' + "[" * 16 + "]" * 16 + "}") == "not_json"
    fill = 65536 - len('{"type":"click","user":"u","item":"i","x":""}')
    assert judge(rankd, '{"type":"click","user":"u","item":"i","x":"%s"}' % ("a" * fill)) is None
    assert judge(rankd, '{"type":"click","user":"u","item":"i","x":"%s"}' % ("a" * (fill + 1))) == "too_long"
    assert judge(rankd, b'{"type":"click","user":"\xff","item":"i"}') == "not_utf8"
    assert judge(rankd, b'{"type":"click","user":"\xed\xa0\x80","item":"i"}') == "not_utf8"
    assert judge(rankd, r'{"type":"click","user":"\ud800","item":"i"}') in ("not_utf8", "not_json")
    assert rankd.wait_events(4)["events"]["skipped"] == {}


def test_an_array_with_something_left_over_has_one_bad_record_more(rankd):
    event = '{"type":"click","user":"u","item":"i"}'
    for body in (f"[{event}]x", f"[{event}", f"[{event},]"):
        answer = rankd.admin_post(body)
        assert (answer["accepted"], answer["rejected_total"]) == (1, 1), body
    assert rankd.admin_post(f"\n\n{event}\r\n\n  {event}  \n")["accepted"] == 2


def test_names_of_fields_can_be_chosen(make_rankd):
    daemon = make_rankd(events__user="userId,visitor", events__item="sku", events__type="what", events__ts="at", events__id="key").start()
    daemon.send(['{"what":"click","userId":"u1","sku":"i1","at":1700000000,"key":"k1","user":7,"id":[]}',
                 '{"what":"click","visitor":"u2","sku":"i2","at":1700000001,"key":"k1"}'])
    status = daemon.wait_events(2)
    assert status["events"]["learned"] == 1 and status["events"]["skipped"] == {"duplicate": 1}
    assert daemon.recommend("u1")["basis"] == "personal"
    for bad in ('{"what":"click","user":"u","sku":"i"}', '{"type":"click","userId":"u","sku":"i"}',
                '{"what":"click","userId":"u","visitor":"u","sku":"i"}'):
        assert daemon.post("/v1/events", bad).status == 400


def test_types_can_be_added_weighed_and_taken_away(make_rankd):
    daemon = make_rankd().write_config("[type.like]\nweight = 2\n[type.cart]\nenabled = no\n[type.view]\nweight = 0\n").start()
    status = {kind: daemon.post("/v1/events", {"type": kind, "user": "u1", "item": f"i-{kind}"}).status
              for kind in ("like", "cart", "view", "click", "Like")}
    assert status == {"like": 200, "cart": 400, "view": 200, "click": 200, "Like": 400}
    status = daemon.wait_learned(3)
    assert {t: n for t, n in status["events"]["types"].items() if n} == {"like": 1, "view": 1, "click": 1}


def test_time_of_arrival_stands_in_over_http(rankd):
    before = time.time()
    rankd.send(['{"type":"click","user":"u","item":"i"}'])
    rankd.wait_learned(1)
    assert before - 1 <= rankd.metrics().value("rankd_model_clock_seconds") <= time.time() + 1
