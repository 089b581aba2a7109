"""Side features: an item that was described and never touched is ranked for those who like what it is."""
import pytest

from rankd import click, describe, items_of, poll

TASTES = ("red", "green", "blue")


def item_event(item, taste, **more):
    return {"type": "item", "item": item, "ts": 1700000000, "categories": [f"shoes/{taste}"],
            "features": {"title": f"A {taste} shoe", "price": 20}, **more}


@pytest.fixture
def tastes(make_rankd):
    """Thirty users, each with a taste; thirty items, each of one taste."""
    daemon = make_rankd().start()
    describe(daemon, *[item_event(f"{t}-{n}", t) for t in TASTES for n in range(10)])
    daemon.send([click(n, f"u-{TASTES[n % 3]}-{n % 10}", f"{TASTES[n % 3]}-{n // 3 * 7 % 9}") for n in range(600)])
    daemon.wait_learned(630)
    return daemon


def test_an_untouched_item_is_ranked_once_it_is_described(tastes):
    user = "u-green-1"
    assert "new-green" not in items_of(tastes.recommend(user, k=100))
    describe(tastes, item_event("new-green", "green"), item_event("new-blue", "blue"))
    answer = tastes.recommend(user, k=100, explain=1)
    names = items_of(answer)
    assert names.index("new-green") < names.index("new-blue")
    assert names.index("new-green") < names.index("red-9")  # untouched like it, of another taste
    terms = answer["items"][names.index("new-green")]["terms"]
    assert terms["affinity"] > 0
    assert terms["affinity"] > answer["items"][names.index("new-blue")]["terms"]["affinity"]
    assert "new-green" not in [x["item"] for x in tastes.get("/v1/popular", k=100).ok()["items"]]
    by_history = tastes.post("/v1/recommend", {"history": ["blue-1", "blue-2"], "k": 100}).ok()
    assert items_of(by_history).index("new-blue") < items_of(by_history).index("new-green")


def test_availability_expiry_and_erasure_hold_for_untouched_items(tastes):
    user = "u-red-1"
    describe(tastes, item_event("gone", "red", available=False), item_event("past", "red", expires="2001-01-01T00:00:00Z"),
             item_event("here", "red"), item_event("erased", "red"), {"type": "delete", "item": "erased"})
    names = items_of(tastes.recommend(user, k=100))
    assert "here" in names and not {"gone", "past", "erased"} & set(names)
    describe(tastes, item_event("gone", "red", available=True), {"type": "item", "item": "here", "ts": 1700000000})
    names = items_of(tastes.recommend(user, k=100))
    assert "gone" in names and "here" not in names  # the last description says nothing of it


def test_features_survive_a_restart_and_a_replay(tastes):
    describe(tastes, item_event("new-green", "green"), item_event("other", "violet"), {"type": "delete", "item": "other"})
    before = tastes.recommend("u-green-1", k=100, explain=1)["items"]
    digest = tastes.digest()[0]
    counts = {name: tastes.metrics().value(name) for name in ("rankd_features", "rankd_described_items")}
    assert counts == {"rankd_features": 9, "rankd_described_items": 31}
    tastes.restart()
    assert tastes.recommend("u-green-1", k=100, explain=1)["items"] == before
    assert tastes.digest()[0] == digest
    for name, value in counts.items():
        assert tastes.metrics().value(name) == value
    tastes.stop()
    again = tastes.replay("again", "--journal", tastes.data_dir, "--log", tastes.log_dir, learner__feature_cache="64KiB")
    assert again["digest"] == digest


def test_bounds_of_features_are_counted(make_rankd):
    daemon = make_rankd(model__max_features=16, model__item_features=4).start()
    describe(daemon, *[{"type": "item", "item": f"i{n}", "ts": 1700000000, "features": {"tags": [f"t{n}-{k}" for k in range(6)]}}
                       for n in range(5)])
    metrics = daemon.metrics()
    assert metrics.value("rankd_features") == 16 and metrics.value("rankd_max_features") == 16
    assert metrics.value("rankd_features_left_out_total") == 10  # two of each item
    assert metrics.value("rankd_features_full_total") == 4       # of the last one
    assert metrics.value("rankd_described_items") == 4


def test_pairs_of_features_that_answers_miss_come_into_the_cache(tastes):
    """Of a daemon that learns nothing after its start: else each answer would ask the data file for ever."""
    tastes.restart()

    def reads():
        tastes.recommend("u-green-1", k=10)
        return tastes.metrics().value("rankd_feature_reads_total")

    assert tastes.metrics().value("rankd_feature_cache_rows") == 0 < reads()
    poll("answers without reads", lambda: reads() == reads())
    assert tastes.metrics().value("rankd_feature_admitted_total") == tastes.metrics().value("rankd_feature_cache_rows") > 0


def test_fewer_features_an_item_hold_for_descriptions_from_then_on(make_rankd):
    """Items keep what they had: the answers to a user of theirs must have room for it."""
    daemon = make_rankd(model__neighbours=1).start()
    describe(daemon, *[{"type": "item", "item": f"i{n}", "ts": 1700000000, "features": {"tags": [f"t{n}-{k}" for k in range(64)]}}
                       for n in range(20)])
    daemon.send([click(n, "u", f"i{n}") for n in range(20)])
    daemon.wait_learned(40)
    for most in (1, 0):
        daemon.restart(model__item_features=most)
        assert daemon.recommend("u", k=5, keep_used=1)["basis"] == "personal"
        assert daemon.metrics().value("rankd_features") == 20 * 64
    describe(daemon, {"type": "item", "item": "i0", "ts": 1700000000, "features": {"tags": ["t0-0"]}})
    assert daemon.metrics().value("rankd_features") == 19 * 64


def test_no_words_and_no_bands_where_none_are_named(make_rankd):
    daemon = make_rankd(events__word_features="", events__band_features="").start()
    describe(daemon, {"type": "item", "item": "a", "ts": 1700000000, "features": {"title": "A red shoe", "price": 20}},
             {"type": "item", "item": "b", "ts": 1700000000, "features": {"title": "A red hat", "price": 21}})
    assert daemon.metrics().value("rankd_features") == 4  # each value as it came
