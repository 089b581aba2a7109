"""Answers against brute force, ties, every switch of a request, who may ask, and what the counters say."""
import json
import os
import re
import socket

import pytest

from rankd import http_request, poll, shop

READ, INGEST, BOTH, ADMIN = ("reader-token-0123456789", "ingest-token-0123456789", "both-token-0123456789",
                             "admin-token-0123456789")


@pytest.fixture
def paused(make_rankd):
    """A daemon with 5,000 learned events over 300 items that has stopped learning."""
    daemon = make_rankd(model__dim=32).start()
    daemon.events = [json.loads(line) for line in shop("--events", 5000, "--users", 120, "--items", 300, "--groups", 6)]
    daemon.send([json.dumps(e) for e in daemon.events])
    daemon.wait_learned(5000)
    daemon.admin("POST", "/admin/pause")
    daemon.live = list(dict.fromkeys(e["item"] for e in daemon.events))  # in the order of first sight: that of ties
    return daemon


def used_by(daemon, user):
    return {e["item"] for e in daemon.events if e["user"] == user}


def pairs(answer):
    return [(x["item"], x["score"]) for x in answer["items"]]


def brute_force(daemon, k, without=(), **who):
    """Every live item scored by itself, sorted here."""
    scores = pairs(daemon.post("/v1/score", {**who, "items": daemon.live}).ok())
    assert [item for item, _ in scores] == daemon.live
    ranked = sorted((-score, n, item) for n, (item, score) in enumerate(scores) if item not in without)
    return [(item, -score) for score, _, item in ranked[:k]]


def test_recommend_equals_brute_force_to_the_bit(paused):
    for user in [f"u{n}" for n in range(0, 120, 7)]:
        for k in (1, 20, 300):
            answer = paused.recommend(user, k=k)
            assert answer["basis"] == "personal"
            assert pairs(answer) == brute_force(paused, k, used_by(paused, user), user=user), (user, k)


def test_history_answers_equal_brute_force_to_the_bit(paused):
    for start in range(0, 60, 11):
        history = paused.live[start:start + 5]
        answer = paused.post("/v1/recommend", {"history": history, "k": 50}).ok()
        assert answer["basis"] == "history"
        assert pairs(answer) == brute_force(paused, 50, history, history=history)


def test_every_way_to_ask_gives_the_same_answer(paused):
    history, exclude = paused.live[:3], paused.live[5:9]
    by_get = paused.get("/v1/recommend", history=",".join(history), exclude=",".join(exclude), k=30).ok()
    by_post = paused.post("/v1/recommend", {"history": history, "exclude": exclude, "k": 30}).ok()
    assert by_get == by_post and not {i for i, _ in pairs(by_get)} & {*history, *exclude}
    assert http_request(paused.admin_address, "GET", "/v1/recommend?user=u3&k=30").ok() == paused.recommend("u3", k=30)


def test_equal_scores_keep_the_order_of_first_sight(make_rankd):
    daemon = make_rankd().start()
    names = [f"n{(n * 7919) % 1000:03d}" for n in range(200)]
    daemon.send([{"type": "click", "user": f"u{n}", "item": item, "ts": 1700000000} for n, item in enumerate(names)])
    daemon.wait_learned(200)
    answer = daemon.get("/v1/popular", k=1000).ok()
    assert [item for item, _ in pairs(answer)] == names and len({score for _, score in pairs(answer)}) == 1
    for k in (1, 50, 199):
        assert pairs(daemon.get("/v1/popular", k=k).ok()) == pairs(answer)[:k]
    daemon.restart()
    assert pairs(daemon.get("/v1/popular", k=1000).ok()) == pairs(answer)


def test_exclude_items_and_keep_used(paused):
    user = max((f"u{n}" for n in range(120)), key=lambda u: len(used_by(paused, u)))
    used = used_by(paused, user)
    whole = brute_force(paused, 300, user=user)
    assert pairs(paused.recommend(user, k=300, keep_used=1)) == whole
    assert pairs(paused.recommend(user, k=300, keep_used="true")) == whole
    unused = [x for x in whole if x[0] not in used]
    assert pairs(paused.recommend(user, k=300, keep_used=0)) == unused
    exclude = [item for item, _ in unused[:10:2]] + ["no-such-item"]
    answer = paused.post("/v1/recommend", {"user": user, "k": 300, "exclude": exclude}).ok()
    assert pairs(answer) == [x for x in unused if x[0] not in exclude]
    only = [item for item, _ in whole[::3]] + ["no-such-item", whole[0][0]]
    answer = paused.post("/v1/recommend", {"user": user, "k": 300, "items": only}).ok()
    assert pairs(answer) == [x for x in unused if x[0] in only] and answer["unknown_items"] == 1
    answer = paused.post("/v1/recommend", {"user": user, "k": 300, "items": only, "exclude": only[:5], "keep_used": True}).ok()
    assert pairs(answer) == [x for x in whole if x[0] in only and x[0] not in only[:5]]
    assert pairs(paused.post("/v1/recommend", {"user": user, "items": []}).ok()) == []
    assert pairs(paused.post("/v1/recommend", {"user": user, "items": ["no-such-item"]}).ok()) == []


def test_a_history_of_ones_own_wins_over_that_of_the_request(paused):
    user = "u3"
    assert used_by(paused, user)
    alone = paused.recommend(user, k=300)
    both = paused.post("/v1/recommend", {"user": user, "k": 300, "history": paused.live[:2]}).ok()
    assert both["basis"] == "personal"
    assert pairs(both) == [x for x in pairs(alone) if x[0] not in paused.live[:2]]
    stranger = paused.post("/v1/recommend", {"user": "nobody", "k": 10, "history": paused.live[:2]}).ok()
    assert stranger["basis"] == "history" and stranger["user"] == "nobody"
    assert pairs(stranger) == pairs(paused.post("/v1/recommend", {"k": 10, "history": paused.live[:2]}).ok())
    unknown = paused.post("/v1/recommend", {"k": 10, "history": ["no-such-item"]}).ok()
    assert unknown["basis"] == "popular" and unknown["unknown_items"] == 1


def test_the_newest_of_a_history_counts_most(paused):
    a, b = paused.live[0], paused.live[1]
    forwards = paused.post("/v1/score", {"history": [a, b], "items": paused.live}).ok()
    backwards = paused.post("/v1/score", {"history": [b, a], "items": paused.live}).ok()
    assert pairs(forwards) != pairs(backwards)
    assert pairs(paused.post("/v1/score", {"history": [b, a, b], "items": paused.live}).ok()) == pairs(forwards)


def test_strangers_equal_brute_force_to_the_bit(paused):
    want = brute_force(paused, 300)
    for answer in (paused.recommend("nobody", k=300), paused.get("/v1/recommend", k=300).ok(),
                   paused.post("/v1/recommend", {"user": None, "history": None, "k": 300}).ok()):
        assert answer["basis"] == "popular" and pairs(answer) == want
    popular = [score for _, score in pairs(paused.get("/v1/popular", k=300).ok())]
    assert popular == sorted(popular, reverse=True)
    rate = [e["item"] for e in paused.events[-600:]]
    assert paused.get("/v1/popular", k=1).ok()["items"][0]["item"] in rate


def test_explained_answers_add_up(paused):
    user = "u7"
    answer = paused.recommend(user, k=50, explain=1)
    assert pairs(answer) == pairs(paused.recommend(user, k=50))
    used = set(used_by(paused, user))
    reasons = 0
    for hit in answer["items"]:
        assert set(hit["terms"]) == {"forward", "backward", "successor", "segment", "together", "lately", "embedding", "trend_short",
                                     "trend_middle", "trend_long", "affinity", "succession", "feature_trend", "untouched"}
        assert abs(sum(hit["terms"].values()) - hit["score"]) < 1e-4
        shares = [b["share"] for b in hit["because"]]
        assert all(b["item"] in used for b in hit["because"]) and shares == sorted(shares, reverse=True)
        reasons += len(shares)
    assert reasons > 0
    assert paused.post("/v1/recommend", {"user": user, "k": 50, "explain": True}).ok()["items"] == answer["items"]


def test_limits_of_k_and_lists(make_rankd):
    daemon = make_rankd(http__max_k=50, http__max_items=5).start()
    daemon.send(shop("--events", 500, "--items", 80))
    daemon.wait_learned(500)
    assert len(daemon.get("/v1/popular", k=50).ok()["items"]) == 50
    refused = [daemon.get("/v1/popular", k=51), daemon.post("/v1/recommend", {"k": 51}), daemon.get("/v1/similar", item="i1", k=51)]
    six = [f"i{n}" for n in range(6)]
    refused += [daemon.post("/v1/recommend", {"exclude": six}), daemon.post("/v1/recommend", {"history": six}),
                daemon.post("/v1/recommend", {"items": six}), daemon.post("/v1/score", {"items": six}),
                daemon.get("/v1/recommend", exclude=",".join(six)), daemon.get("/v1/recommend", history=",".join(six))]
    for answer in refused:
        assert answer.status == 400 and answer.error() == "out_of_range", answer
        assert answer.json["error"]["field"] in ("k", "exclude", "history", "items") and answer.json["error"]["limit"] in ("50", "5")
    assert daemon.post("/v1/recommend", {"exclude": six[:5], "history": six[:5], "items": six[:5]}).status == 200
    for body in ('{"k":1.0}', '{"k":true}', '{"k":99999999999999999999}', '{"k":-1}', '{"k":[1]}'):
        assert daemon.post("/v1/recommend", body).status == 400, body


def test_ids_of_any_form_are_asked_for_as_they_were_sent(rankd):
    names = ["sku 9", "a+b", "ü-ключ-鍵", "%41", 'quote"\\', "a&b=c", "x" * 256, "-17", "comma,comma"]
    rankd.send([{"type": "click", "user": name, "item": name} for name in names] + [{"type": "click", "user": 17, "item": 18}])
    rankd.wait_learned(len(names) + 1)
    for name in names + ["17"]:
        assert rankd.recommend(name, keep_used=1)["basis"] == "personal", name
        assert rankd.recommend(name)["user"] == name
    assert rankd.post("/v1/recommend", {"user": 17}).ok()["basis"] == "personal"
    assert pairs(rankd.post("/v1/score", {"items": [18, "18"]}).ok())[0][1] is not None
    answered = {x["item"] for x in rankd.get("/v1/popular", k=100).ok()["items"]}
    assert answered == set(names) | {"18"}
    assert rankd.get("/v1/similar", item="sku 9").status == 200
    bad = http_request(rankd.http, "GET", "/v1/recommend?user=%ff")
    assert bad.status == 400 and bad.error() in ("bad_parameter", "out_of_range")


# --- who may ask ---

@pytest.fixture
def guarded(make_rankd):
    daemon = make_rankd(admin__listen="127.0.0.1:0")
    files = {"tokens": f"# who\n{READ} read\n{INGEST}  ingest\n{BOTH}\tread,ingest\n", "admin": f"{ADMIN} admin,read\n"}
    for name, text in files.items():
        with open(os.path.join(daemon.dir, name), "w") as f:
            f.write(text)
        os.chmod(f.name, 0o600)
    daemon.set(http__tokens_file=os.path.join(daemon.dir, "tokens"), admin__token_file=os.path.join(daemon.dir, "admin"))
    return daemon.start()


def test_tokens_open_what_their_scopes_say(guarded):
    event = {"type": "click", "user": "u1", "item": "i1"}
    asked = {
        "read": lambda h: [guarded.get("/v1/popular", headers=h), guarded.get("/v1/recommend", headers=h, user="u1"),
                           guarded.get("/v1/recommend", headers=h), guarded.post("/v1/score", {"items": ["i1"]}, headers=h)],
        "ingest": lambda h: [guarded.post("/v1/events", event, headers=h)],
    }
    allowed = {READ: {"read"}, INGEST: {"ingest"}, BOTH: {"read", "ingest"}}
    for token, scopes in allowed.items():
        for scope, ask in asked.items():
            for answer in ask({"Authorization": f"Bearer {token}"}):
                if scope in scopes:
                    assert answer.status == 200, (token, scope, answer)
                else:
                    assert (answer.status, answer.error()) == (403, "insufficient_scope"), (token, scope, answer)
    wrong = [None, "Bearer ", f"Bearer {READ}x", f"Bearer {READ[:-1]}", f"Basic {READ}", READ, f"Bearer {ADMIN}", f"Bearer {READ} x"]
    for value in wrong:
        for answer in asked["read"]({"Authorization": value} if value else {}):
            assert (answer.status, answer.error()) == (401, "unauthorized"), value
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert guarded.get("/v1/popular", headers={"Authorization": f"bearer {READ}"}).status == 200  # the scheme has no case
    assert guarded.get("/healthz").status == guarded.get("/readyz").status == 200
    assert guarded.get("/v1/nothing").status == 404
    assert not any(token in guarded.log() for token in (READ, INGEST, BOTH, ADMIN))


def test_the_admin_listener_on_tcp_wants_its_own_token(guarded):
    address = guarded.status()["addresses"]["admin"]
    bearer = {"Authorization": f"Bearer {ADMIN}"}
    assert http_request(address, "GET", "/admin/status", headers=bearer).status == 200
    assert http_request(address, "GET", "/v1/popular", headers=bearer).status == 200
    assert http_request(address, "GET", "/admin/status").status == 401
    assert http_request(address, "GET", "/admin/status", headers={"Authorization": f"Bearer {BOTH}"}).status == 401
    headers = {**bearer, "Content-Type": "application/json"}
    assert http_request(address, "POST", "/v1/events", '{"type":"click","user":"u","item":"i"}', headers).status == 403


def test_socket_and_data_are_for_their_owner_alone(make_rankd):
    daemon = make_rankd()
    os.rmdir(daemon.data_dir)  # it makes its own
    daemon.start()
    daemon.send([{"type": "click", "user": "u1", "item": "i1"}])
    assert os.stat(daemon.data_dir).st_mode & 0o777 == 0o700
    assert os.stat(daemon.admin_address).st_mode & 0o777 == 0o600
    assert os.stat(os.path.join(daemon.data_dir, "model.mdb")).st_mode & 0o007 == 0


@pytest.mark.parametrize("text, why", [
    ("short read\n", "16"), (f"{READ}\n", "scope"), (f"{READ} write\n", "scope"), (f"{READ} read,\n", "scope"), ("", "token"),
])
def test_bad_token_files_stop_the_start_with_line_and_without_the_token(make_rankd, text, why):
    daemon = make_rankd()
    path = os.path.join(daemon.dir, "tokens")
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o600)
    daemon.set(http__tokens_file=path).launch()
    assert daemon.wait_exit() in (1, 2)
    assert "tokens" in daemon.log() and READ not in daemon.log() and why in daemon.log(), daemon.log()


def test_a_token_file_that_others_can_read_stops_the_start(make_rankd):
    daemon = make_rankd()
    path = os.path.join(daemon.dir, "tokens")
    with open(path, "w") as f:
        f.write(f"{READ} read\n")
    os.chmod(path, 0o644)
    daemon.set(http__tokens_file=path).launch()
    assert daemon.wait_exit() in (1, 2) and "chmod" in daemon.log()


@pytest.mark.parametrize("hosts, allowed, refused", [
    ("", ["localhost", "localhost:1", "127.0.0.1", "[::1]", "LOCALHOST"], ["evil.example", "127.0.0.2", "localhost.evil.example", "[::2]"]),
    ("shop.example,api.example:8443", ["shop.example", "shop.example:99", "api.example:8443"], ["localhost", "api.example", "127.0.0.1"]),
    ("*", ["anything.example"], []),
])
def test_host_headers_are_those_of_the_list(make_rankd, hosts, allowed, refused):
    daemon = make_rankd(http__hosts=hosts).start()
    for host in allowed:
        assert daemon.get("/v1/popular", headers={"Host": host}).status == 200, host
    for host in refused:
        answer = daemon.get("/v1/popular", headers={"Host": host})
        assert (answer.status, answer.error()) == (403, "host_not_allowed"), host


def test_beyond_loopback_only_with_tokens_or_when_said(make_rankd):
    daemon = make_rankd("a", http__listen="0.0.0.0:0").launch()
    assert daemon.wait_exit() == 2 and "http.tokens_file" in daemon.log()
    open_to_all = make_rankd("b", http__listen="0.0.0.0:0", http__public_without_token="yes").start()
    port = open_to_all.http.rsplit(":", 1)[1]
    assert http_request(f"127.0.0.1:{port}", "GET", "/v1/popular").status == 200


# --- health and figures ---

def test_readyz_follows_the_lag_that_is_allowed(make_rankd):
    daemon = make_rankd(http__ready_max_lag="300ms").start()
    assert daemon.get("/readyz").ok() == {"status": "ready"}
    daemon.admin("POST", "/admin/pause")
    daemon.send(shop("--events", 50))
    late = poll("lagging", lambda: [r for r in [daemon.get("/readyz")] if r.status == 503])[0]
    assert late.error() == "lagging" and int(late.headers["Retry-After"]) >= 1
    assert daemon.get("/healthz").status == 200 and daemon.get("/v1/popular").status == 200
    daemon.admin("POST", "/admin/resume")
    poll("ready again", lambda: daemon.get("/readyz").status == 200)


def test_every_metric_is_explained_and_typed_once(rankd):
    rankd.send(shop("--events", 300))
    rankd.wait_learned(300)
    rankd.recommend("u1")
    text = http_request(rankd.metrics_address, "GET", "/metrics").body.decode()
    helps = re.findall(r"^# HELP (\S+) \S.*$", text, re.M)
    types = dict(re.findall(r"^# TYPE (\S+) (counter|gauge|histogram)$", text, re.M))
    assert len(helps) == len(set(helps)) and set(helps) == set(types)
    metrics = rankd.metrics()
    for name in metrics:
        stem = name if name in types else re.sub(r"_(bucket|sum|count)$", "", name)
        assert stem in types, name
        assert stem.startswith("rankd_")
        for value in metrics[name].values():
            assert value == value and value not in (float("inf"), float("-inf")), name
            assert value >= 0 or name in ("rankd_model_clock_seconds", "rankd_quality"), name  # one is a difference
    for name, kind in types.items():
        assert (kind == "counter") == name.endswith("_total"), name
        if kind != "histogram" or f"{name}_count" not in metrics:
            continue
        for series in metrics[f"{name}_count"]:
            buckets = sorted((float(dict(s)["le"]), v) for s, v in metrics[f"{name}_bucket"].items() if series <= s)
            counts = [v for _, v in buckets]
            assert buckets[-1][0] == float("inf") and counts == sorted(counts), name
            assert counts[-1] == metrics[f"{name}_count"][series], name


def test_counters_match_what_was_sent(rankd):
    lines = shop("--events", 500)
    first = rankd.metrics()
    rankd.send(lines)
    rankd.send(lines[:40])
    rankd.send(['{"type":"click","user":"u1","item":"i1"}'] * 3 + ['{"type":"clack"}', "no json"])
    rankd.post("/v1/events", '{"type":"click"}')
    rankd.post("/v1/events", "")
    rankd.wait_events(543)
    for _ in range(5):
        rankd.recommend("u1")
    for _ in range(3):
        rankd.recommend("nobody")
    rankd.post("/v1/recommend", {"history": ["i1", "nothing"]})
    rankd.get("/v1/nothing")
    rankd.get("/v1/popular", k=0)
    rankd.admin("POST", "/admin/checkpoint")
    rankd.wait_caught_up()
    m = rankd.metrics()

    def grown(name, **labels):
        return m.value(name, **labels) - (first.value(name, **labels) if name in first else 0)

    assert grown("rankd_intake_requests_total", outcome="durable") == 3
    assert grown("rankd_intake_requests_total", outcome="all_rejected") == 1
    assert grown("rankd_intake_requests_total", outcome="bad_body") == 1
    assert grown("rankd_intake_accepted_total") == 543 and grown("rankd_intake_without_id_total") == 3
    assert {k: grown("rankd_intake_rejected_total", reason=k) for k in ("no_type", "unknown_type", "not_json", "no_user")} == {
        "no_type": 0, "unknown_type": 1, "not_json": 1, "no_user": 1}
    assert grown("rankd_events_learned_total") == 503 and grown("rankd_events_skipped_total", reason="duplicate") == 40
    types = {}
    for line in lines:
        kind = json.loads(line)["type"]
        types[kind] = types.get(kind, 0) + 1
    types["click"] += 3
    for kind, n in types.items():
        assert m.value("rankd_events_total", source="log", type=kind, outcome="learned") == n, kind
    assert sum(v for s, v in m["rankd_events_total"].items() if ("outcome", "duplicate") in s) == 40
    assert m.value("rankd_sequence") == 543 and m.value("rankd_durable_sequence") == 543
    assert grown("rankd_recommend_answers_total", basis="personal") == 5
    assert grown("rankd_recommend_answers_total", basis="popular") == 3
    assert grown("rankd_recommend_answers_total", basis="history") == 1
    assert grown("rankd_recommend_unknown_items_total") == 1
    assert grown("rankd_http_replies_total", listener="public", **{"class": "4xx"}) == 4
    assert grown("rankd_http_replies_total", listener="public", **{"class": "2xx"}) == 12
    assert grown("rankd_http_request_duration_seconds_count", listener="public", route="POST /v1/events") == 5
    assert grown("rankd_http_accepted_total", listener="public") == 16
    assert m.value("rankd_freshness_seconds_count") == 543
    assert m.value("rankd_freshness_seconds_sum") < 543 * 60
    assert grown("rankd_steps_total") >= grown("rankd_pairs_total") > 0
    assert m.value("rankd_items") == len({json.loads(line)["item"] for line in lines} | {"i1"})
    assert m.value("rankd_inbox_bytes") == 0 and m.value("rankd_intake_queue_bytes") == 0
    assert m.value("rankd_source_position", source="log") == m.value("rankd_source_end", source="log") > 0
    assert m.value("rankd_source_up", source="log") == 1 and m.value("rankd_up") == 1
    assert m.value("rankd_checkpoints_total") >= 1 and m.value("rankd_store_used_bytes") > 0
    assert 0 < m.value("rankd_memory_anonymous_bytes") <= m.value("rankd_memory_resident_bytes")
    status = rankd.status()
    assert status["events"]["learned"] == 503 and status["intake"]["accepted"] == 543


def test_an_answer_names_the_state_it_was_made_from(rankd):
    rankd.send(shop("--events", 100))
    status = rankd.wait_learned(100)
    rankd.admin("POST", "/admin/checkpoint")
    answer = rankd.recommend("u1")
    assert (answer["generation"], answer["sequence"], answer["durable_sequence"]) == (status["generation"], 100, 100)
    assert answer["as_of"] == rankd.status()["as_of"]
    rankd.send([{"type": "click", "user": "u1", "item": "i1"}])
    poll("the event is visible", lambda: rankd.recommend("u1")["sequence"] == 101)


def test_several_workers_share_a_port_and_answer_alike(make_rankd):
    daemon = make_rankd(http__workers=3).start()
    daemon.send(shop("--events", 300))
    daemon.wait_learned(300)
    daemon.admin("POST", "/admin/pause")
    bodies = {daemon.get("/v1/recommend", user="u1", k=20).body for _ in range(30)}
    assert len(bodies) == 1


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def test_an_address_in_use_stops_the_start(make_rankd):
    """Even one that rankd itself listens on with several sockets: two daemons must not share the requests."""
    for workers in (1, 3):
        first = make_rankd(f"first{workers}", http__workers=workers).start()
        second = make_rankd(f"second{workers}", http__listen=first.http, http__workers=workers).launch()
        assert second.wait_exit() == 1
        assert second.find_log("event=start_failed", "code=io") and first.http in second.log()
        assert first.get("/healthz").status == 200


@pytest.mark.parametrize("address", ["localhost:0", "127.0.0.2:0", "[::1]:0"])
def test_listens_where_it_is_told(make_rankd, address):
    if address.startswith("[") and not has_ipv6():
        address = "127.0.0.3:0"
    daemon = make_rankd(http__listen=address).start()
    assert daemon.get("/healthz").status == 200 and daemon.get("/v1/popular").status == 200
