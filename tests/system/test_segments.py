"""Features of users: who was described and has done nothing yet is answered what others of his kind take."""
import json

import pytest

from rankd import click, describe, items_of, run, shop

TASTES = ("red", "green", "blue")


def user_event(user, taste, **more):
    return {"type": "user", "user": user, "ts": 1700000000, "features": {"colour": taste, "newsletter": True, **more}}


def taste_of(items):
    return [item.split("-")[0] for item in items]


@pytest.fixture
def kinds(make_rankd):
    """Sixty users of three kinds, all described; each kind has items of its own."""
    daemon = make_rankd().start()
    describe(daemon, *[user_event(f"u-{t}-{n}", t) for t in TASTES for n in range(20)])
    daemon.send([click(n, f"u-{TASTES[n % 3]}-{n // 3 % 20}", f"{TASTES[n % 3]}-{n // 3 * 7 % 13}") for n in range(1500)])
    daemon.wait_learned(1560)
    return daemon


def test_a_newcomer_is_answered_what_his_kind_takes(kinds):
    for taste in TASTES:
        describe(kinds, user_event(f"new-{taste}", taste))
        answer = kinds.recommend(f"new-{taste}", k=10, explain=1)
        assert answer["basis"] == "described"
        assert set(taste_of(items_of(answer))) == {taste}
        assert all(hit["terms"]["segment"] > 0 and hit["because"] == [] for hit in answer["items"])
        assert all(abs(sum(hit["terms"].values()) - hit["score"]) < 1e-4 for hit in answer["items"])
    stranger = kinds.recommend("stranger", k=39)
    assert stranger["basis"] == "popular" and len(set(taste_of(items_of(stranger)))) == 3
    assert kinds.metrics().value("rankd_recommend_answers_total", basis="described") == 3
    assert kinds.metrics().value("rankd_segments") == 4  # three colours, and whoever reads the newsletter
    history = kinds.recommend("new-red", k=5, history="blue-1")
    assert history["basis"] == "history"


def test_a_description_replaces_the_one_before(kinds):
    describe(kinds, user_event("new", "red"))
    assert set(taste_of(items_of(kinds.recommend("new", k=10)))) == {"red"}
    describe(kinds, user_event("new", "blue"))
    assert set(taste_of(items_of(kinds.recommend("new", k=10)))) == {"blue"}
    describe(kinds, {"type": "user", "user": "new", "ts": 1700000000})
    assert kinds.recommend("new", k=10)["basis"] == "popular"
    describe(kinds, user_event("new", "violet"))  # newsletter=true, which all others have, is all that is known
    assert kinds.recommend("new", k=10)["basis"] == "described"
    describe(kinds, {"type": "user", "user": "new", "ts": 1700000000, "features": {"colour": "violet"}})
    assert kinds.recommend("new", k=10)["basis"] == "popular"
    describe(kinds, user_event("new", "green"))
    kinds.send([click(2000, "new", "green-1")])
    kinds.wait_learned(1560 + 6 + 1)
    assert kinds.recommend("new", k=5)["basis"] == "personal"
    describe(kinds, {"type": "delete", "user": "new", "ts": 1700002000})
    assert kinds.recommend("new", k=5)["basis"] == "popular"


def test_segments_survive_a_restart_and_a_replay(kinds):
    describe(kinds, user_event("new-green", "green"), user_event("gone", "red"),
             {"type": "delete", "user": "gone", "ts": 1700000000}, {"type": "delete", "item": "green-3", "ts": 1700000000})
    before, digest = kinds.recommend("new-green", k=30, explain=1), kinds.digest()[0]
    assert before["basis"] == "described" and "green-3" not in items_of(before)
    kinds.restart()
    assert kinds.metrics().value("rankd_segments") == 4
    assert kinds.recommend("new-green", k=30, explain=1)["items"] == before["items"]
    assert kinds.recommend("gone", k=5)["basis"] == "popular"
    assert kinds.digest()[0] == digest
    kinds.stop()
    again = kinds.replay("again", "--journal", kinds.data_dir, "--log", kinds.log_dir, learner__neighbour_cache="64KiB",
                         learner__user_cache="64KiB")
    assert again["digest"] == digest


def test_features_of_users_are_bounded_and_can_be_left_out(make_rankd):
    daemon = make_rankd(model__user_features=2).start()
    describe(daemon, {"type": "user", "user": "u", "ts": 1700000000, "features": {"tags": [f"t{k}" for k in range(5)]}})
    assert daemon.metrics().value("rankd_features_left_out_total") == 3
    daemon.send([click(n, "u", f"i{n}") for n in range(3)])
    daemon.wait_learned(4)
    describe(daemon, {"type": "user", "user": "v", "ts": 1700000000, "features": {"tags": ["t1"]}},
             {"type": "user", "user": "w", "ts": 1700000000, "features": {"tags": ["t2"]}})
    assert daemon.recommend("v", k=3)["basis"] == "described" and daemon.recommend("w", k=3)["basis"] == "popular"
    daemon.restart(model__user_features=0)
    assert daemon.recommend("v", k=3)["basis"] == "popular"


def test_the_newcomers_of_a_backtest(tmp_path):
    """The shop of docs/model.md, smaller: first events of described users are foreseen better than without their features."""
    log = tmp_path / "shop.jsonl"
    lines = shop("--describe-users", "--events", 30000, "--users", 6000, "--items", 200, "--groups", 10, "--seed", 4)
    log.write_text("\n".join(lines) + "\n")

    def first_events(*options):
        done = run("rankd", "backtest", "--log", str(log), "--every", "2", "--baselines", "none", "--report", str(tmp_path / "report"),
                   "--json", "--quiet", *options, timeout_s=120)
        assert done.returncode == 0, done.stderr
        cohorts = json.loads(done.stdout)["models"][0]["cohorts"]["history"]
        return next(part["ndcg@20"] for part in cohorts if part["part"] == "none")

    assert first_events() > 1.3 * first_events("-o", "model.user_features=0")
