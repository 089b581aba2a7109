"""What a frontend gets: recommend, score, similar, popular."""
import json

import pytest

from rankd import poll, shop


@pytest.fixture
def learned(rankd):
    """A daemon that has learned 4,000 events of a small shop and has stopped learning, so that answers stay."""
    rankd.events = [json.loads(line) for line in shop("--events", 4000, "--users", 100, "--items", 200, "--groups", 5)]
    rankd.send([json.dumps(e) for e in rankd.events])
    rankd.wait_learned(4000)
    rankd.admin("POST", "/admin/pause")
    return rankd


def items_of(answer):
    return [x["item"] for x in answer["items"]]


def used_by(daemon, user):
    return {e["item"] for e in daemon.events if e["user"] == user}


def check_list(answer, k):
    scores = [x["score"] for x in answer["items"]]
    assert len(scores) == k and scores == sorted(scores, reverse=True)
    assert len(set(items_of(answer))) == k


def test_known_user_gets_a_personal_list_without_used_items(learned):
    answer = learned.recommend("u1", k=20)
    assert answer["user"] == "u1" and answer["basis"] == "personal"
    assert answer["sequence"] == 4000 and answer["durable_sequence"] <= 4000 and answer["generation"] >= 0
    assert answer["as_of"]
    check_list(answer, 20)
    assert not set(items_of(answer)) & used_by(learned, "u1")


def test_users_whom_answers_miss_come_into_the_cache(learned):
    """Of a daemon that learns nothing after its start: else each answer would ask the data file for ever."""
    learned.restart()
    learned.admin("POST", "/admin/pause")

    def admitted():
        return learned.metrics().value("rankd_user_admitted_total")

    assert learned.metrics().value("rankd_user_cache_users") == admitted() == 0
    before = learned.recommend("u1", k=20)
    assert learned.recommend("nobody-ever", k=20)["basis"] == "popular"
    poll("the user comes", lambda: admitted() == 1)
    assert learned.recommend("u1", k=20)["items"] == before["items"]
    learned.recommend("u2", k=20)
    poll("another one comes", lambda: admitted() == 2)
    metrics = learned.metrics()
    assert metrics.value("rankd_user_cache_users") == 2  # and not the one whom nobody knows
    assert metrics.value("rankd_user_cache_hits_total") == metrics.value("rankd_user_cache_misses_total") == 0


def test_default_k_is_20(learned):
    check_list(learned.recommend("u1"), 20)


def test_unknown_users_get_one_list_and_are_told(learned):
    answer = learned.recommend("nobody-ever", k=10)
    assert answer["basis"] == "popular"
    check_list(answer, 10)
    assert learned.recommend("nobody-else", k=10)["items"] == answer["items"]


def test_without_a_user_the_answer_is_that_for_unknown_users(learned):
    answer = learned.get("/v1/recommend", k=7).ok()
    assert answer["user"] is None and answer["basis"] == "popular"
    check_list(answer, 7)
    assert answer["items"] == learned.recommend("nobody-ever", k=7)["items"]
    assert learned.post("/v1/recommend", {"k": 7}).ok()["items"] == answer["items"]


def test_an_empty_model_answers_with_an_empty_list(rankd):
    answer = rankd.recommend("u1")
    assert answer["items"] == [] and answer["basis"] == "popular" and answer["sequence"] == 0


def test_lists_of_different_lengths_agree(learned):
    """Exact top-k: a shorter list is the beginning of a longer one, up to every live item."""
    live = {e["item"] for e in learned.events}
    left = live - used_by(learned, "u2")
    whole = learned.recommend("u2", k=1000)
    assert set(items_of(whole)) == left
    for k in (1, 2, 7, 50):
        assert learned.recommend("u2", k=k)["items"] == whole["items"][:k]


def test_a_click_changes_the_answer(rankd):
    rankd.send(shop("--events", 2000, "--users", 50, "--items", 100))
    rankd.wait_learned(2000)
    before = rankd.recommend("u1", k=10)
    chosen = before["items"][0]["item"]
    rankd.send([{"id": "the-click", "type": "click", "user": "u1", "item": chosen}])
    rankd.wait_learned(2001)
    after = rankd.recommend("u1", k=10)
    assert after["sequence"] == 2001
    assert chosen not in items_of(after) and after["items"] != before["items"]


def test_a_new_user_is_personal_after_one_event(rankd):
    rankd.send(shop("--events", 1000, "--users", 50, "--items", 100))
    rankd.wait_learned(1000)
    assert rankd.recommend("fresh")["basis"] == "popular"
    rankd.send([{"type": "click", "user": "fresh", "item": "i3"}])
    rankd.wait_learned(1001)
    assert rankd.recommend("fresh")["basis"] == "personal"


def test_anonymous_history(learned):
    answer = learned.post("/v1/recommend", {"history": ["i1", "i6", "i11"], "k": 15}).ok()
    assert answer["basis"] == "history"
    check_list(answer, 15)
    assert not set(items_of(answer)) & {"i1", "i6", "i11"}
    other = learned.post("/v1/recommend", {"history": ["i2", "i7", "i12"], "k": 15}).ok()
    assert items_of(other) != items_of(answer)


def test_a_cart_brings_what_baskets_had_beside_it(rankd):
    pairs = [("bread", "butter"), ("nuts", "bolts"), ("pen", "ink"), ("cup", "tea")]
    events = []
    for n in range(400):
        a, b = pairs[n % 4]
        events.append({"id": f"b{n}", "type": "purchase", "user": f"u{n}", "ts": 1700000000000 + n * 60000,
                       "items": [{"item": a}, {"item": b}] if n % 8 < 4 else [{"item": b}, {"item": a}]})
    rankd.send(events)
    rankd.wait_learned(400)
    for a, b in pairs:
        for request in ({"cart": [a]}, {"user": "nobody yet", "cart": [a]}, {"user": "u0", "cart": [a], "keep_used": True}):
            answer = rankd.post("/v1/recommend", {**request, "k": 3}).ok()
            assert items_of(answer)[0] == b and a not in items_of(answer)
        assert answer["basis"] == "personal"
    assert rankd.post("/v1/recommend", {"cart": ["bread"]}).ok()["basis"] == "history"
    assert items_of(rankd.get("/v1/recommend", cart="pen", k=1).ok()) == ["ink"]
    hit = rankd.post("/v1/recommend", {"user": "nobody", "history": ["cup"], "cart": ["nuts", "gone"], "k": 1, "explain": True}).ok()
    assert hit["unknown_items"] == 1
    assert hit["items"][0]["item"] == "bolts" and hit["items"][0]["terms"]["together"] > 0 < hit["items"][0]["terms"]["lately"]
    assert hit["items"][0]["because"][0]["item"] == "nuts"
    scores = rankd.post("/v1/score", {"items": ["bolts", "ink"], "history": ["cup"], "cart": ["nuts"]}).ok()["items"]
    assert scores[0]["score"] == hit["items"][0]["score"] > scores[1]["score"]


def test_of_a_long_cart_the_first_30_known_items_count(rankd):
    others = [f"o{n}" for n in range(40)]
    rankd.send([{"type": "purchase", "user": f"o{n}", "ts": 1700000000 + n, "item": other} for n, other in enumerate(others)])
    rankd.send([{"type": "purchase", "user": f"u{n}", "ts": 1700000100 + n, "items": ["late", "gift"]} for n in range(10)])
    rankd.wait_learned(50)

    def together(cart):
        answer = rankd.post("/v1/recommend", {"cart": cart, "k": 100, "explain": True}).ok()
        assert not set(items_of(answer)) & set(cart)
        return next(x["terms"]["together"] for x in answer["items"] if x["item"] == "gift")

    first = together(["late"])
    assert first > 0
    assert together(["late", "late", *others]) > 0
    assert together(["nobody knows"] * 30 + others[:15] * 2 + others[:29] + ["late"] + others) > 0
    assert together(others[:30] + ["late"]) == 0


def test_exclude_and_items(learned):
    first = items_of(learned.recommend("u3", k=5))
    rest = learned.post("/v1/recommend", {"user": "u3", "k": 5, "exclude": first[:2]}).ok()
    assert items_of(rest)[:3] == first[2:]
    only = learned.post("/v1/recommend", {"user": "u3", "k": 5, "items": first[::-1]}).ok()
    assert items_of(only) == first


def test_score_agrees_with_recommend_to_the_bit(learned):
    answer = learned.recommend("u4", k=30)
    scored = learned.post("/v1/score", {"user": "u4", "items": items_of(answer)}).ok()
    assert {x["item"]: x["score"] for x in scored["items"]} == {x["item"]: x["score"] for x in answer["items"]}


def test_similar_items(learned):
    answer = learned.get("/v1/similar", item="i1", k=10).ok()
    check_list(answer, 10)
    assert "i1" not in items_of(answer)
    unknown = learned.get("/v1/similar", item="no-such-item")
    assert unknown.status == 404, unknown
    unknown.error()


def test_popular_keeps_its_order_over_a_quiet_spell(rankd):
    """After days without events the short trend of every item is at its floor."""
    counts = {f"i{n}": n + 1 for n in range(12)}
    old = [{"type": "click", "user": f"u{j}", "item": item, "ts": 1700000000000 + j}
           for item, count in counts.items() for j in range(count)]
    rankd.send(old)
    rankd.send([{"type": "click", "user": "late", "item": "i3", "ts": 1700000000000 + 4 * 86400000}])
    rankd.wait_learned(len(old) + 1)
    assert items_of(rankd.get("/v1/popular", k=5).ok()) == ["i3", "i11", "i10", "i9", "i8"]


def test_popular_puts_the_trend_first(rankd):
    events = [{"type": "click", "user": f"u{n}", "item": f"i{n % 10}"} for n in range(50)]
    events += [{"type": "click", "user": f"v{n}", "item": "hot"} for n in range(30)]
    rankd.send(events)
    rankd.wait_learned(80)
    assert items_of(rankd.get("/v1/popular", k=3).ok())[0] == "hot"


@pytest.mark.parametrize("path, parameters, field", [
    ("/v1/recommend", {"user": "u1", "k": "0"}, "k"),
    ("/v1/recommend", {"user": "u1", "k": "-1"}, "k"),
    ("/v1/recommend", {"user": "u1", "k": "ten"}, "k"),
    ("/v1/recommend", {"user": "u1", "k": "1001"}, "k"),
    ("/v1/recommend", {"user": "u" * 257}, "user"),
    ("/v1/recommend", {"user": "u1", "kk": "3"}, "kk"),
    ("/v1/popular", {"k": "1e3"}, "k"),
    ("/v1/similar", {}, "item"),
])
def test_wrong_parameters_name_the_field(rankd, path, parameters, field):
    answer = rankd.get(path, **parameters)
    assert answer.status == 400, answer
    answer.error()
    assert answer.json["error"]["field"] == field


@pytest.mark.parametrize("path, body", [
    ("/v1/score", {"user": "u1"}),
    ("/v1/score", {"user": "u1", "items": "i1"}),
    ("/v1/score", {"user": "u1", "items": [1.5]}),
    ("/v1/score", {"user": "u1", "items": ["i"] * 1001}),
    ("/v1/recommend", {"user": "u1", "k": 0}),
    ("/v1/recommend", {"user": "u1", "no_such_field": 1}),
    ("/v1/recommend", [1]),
])
def test_wrong_bodies_are_refused(rankd, path, body):
    answer = rankd.post(path, body)
    assert answer.status == 400, answer
    answer.error()


def test_answers_are_the_same_bytes_while_nothing_is_learned(learned):
    first = learned.get("/v1/recommend", user="u5", k=50).body
    assert all(learned.get("/v1/recommend", user="u5", k=50).body == first for _ in range(5))


def test_the_taste_of_simulated_users_is_learned(rankd, scratch):
    """The true best items of users are found far better than by popularity."""
    users, truth = range(40), f"{scratch}/truth"
    wanted = [part for u in users for part in ("--truth-user", u)]
    lines = shop("--events", 20000, "--users", 100, "--items", 400, "--groups", 10, "--truth", truth, *wanted)
    rankd.send(lines[:10000])
    rankd.send(lines[10000:])
    rankd.wait_learned(20000, timeout_s=60)
    with open(truth) as f:
        best = {t["user"]: {item for item, _ in t["top"]} for t in map(json.loads, f.readlines()[-len(users):])}
    popular = set(items_of(rankd.get("/v1/popular", k=20).ok()))
    personal_hits = sum(len(best[u] & set(items_of(rankd.recommend(u, k=20)))) for u in best)
    popular_hits = sum(len(best[u] & popular) for u in best)
    assert personal_hits > 1.5 * popular_hits, f"{personal_hits} against {popular_hits} of {20 * len(best)}"
