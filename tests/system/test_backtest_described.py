"""rankd backtest with files that describe items and users before the log begins."""
import gzip
import json

from backtests import backtest, log, tsv, under_test
from rankd import shop


def test_items_are_known_before_the_log_begins(tsv, tmp_path):
    items = tmp_path / "items.tsv"
    items.write_text("".join(f"i{k}\tgroup={k % 8}\n" for k in range(150)) + "i900\tgroup=1\tclick\n")
    result, said = backtest("--log", tsv, "--items", items, "--every", 5, "--baselines", "none", "--cohort", "group")
    assert (result["protocol"]["items_known"], result["protocol"]["lines_rejected"]) == (150, 1)
    assert f"{items}:151: bad_record: more than the two columns" in said
    assert result["protocol"]["cohort"] == "group"
    parts = {p["part"]: p["events"] for p in under_test(result)["cohorts"]["feature"]}
    assert set(parts) == {str(k) for k in range(8)}
    assert sum(parts.values()) == under_test(result)["events"]


def test_users_are_known_before_the_log_begins(tsv, tmp_path):
    users, items = tmp_path / "users.tsv.gz", tmp_path / "items.tsv"
    known = sorted({line.split("\t")[1] for line in tsv.read_text().splitlines()})
    lines = [f"{user}\tplan={('pro', 'free')[n % 2]},number={n}\n" for n, user in enumerate(known)]
    users.write_bytes(gzip.compress("".join([*lines, "newcomer\tplan=pro\n", "\tplan=pro\n", "u1\tplan=pro\tclick\n"]).encode()))
    items.write_text("".join(f"i{k}\tgroup={k % 8}\n" for k in range(150)))
    result, said = backtest("--log", tsv, "--users", users, "--items", items, "--every", 5, "--baselines", "none", "--cohort",
                            "user.plan", "--report", tmp_path / "report")
    protocol = result["protocol"]
    assert (protocol["users_file"], protocol["items"]) == (str(users), str(items))
    assert (protocol["users"], protocol["items_known"]) == (len(known) + 1, 150)
    assert (protocol["behaviour_lines"], protocol["lines_rejected"]) == (4000, 2)
    assert protocol["lines_read"] == 4000 + 150 + len(known) + 3
    assert f"{users}:{len(known) + 2}: bad_record: no user before the first tab" in said
    assert f"{users}:{len(known) + 3}: bad_record: more than the two columns of user TAB" in said
    assert str(users) in (tmp_path / "report" / "report.html").read_text()
    parts = {p["part"]: p["events"] for p in under_test(result)["cohorts"]["feature"]}
    assert set(parts) == {"pro", "free"}
    assert sum(parts.values()) == under_test(result)["events"]
    without, _ = backtest("--log", tsv, "--items", items, "--every", 5, "--baselines", "none")
    assert without["protocol"]["log_id"] != protocol["log_id"]
    assert without["protocol"]["digest"] != protocol["digest"]


def test_what_users_say_of_themselves_serves_the_first_answers(tmp_path):
    """The shop's own descriptions beside its log: who has no history is answered better than without them."""
    users, events = tmp_path / "users.tsv", tmp_path / "log.jsonl"
    with open(users, "w") as told, open(events, "w") as log:
        for line in shop("--events", "12000", "--users", "3000", "--items", "150", "--groups", "8", "--describe-users"):
            event = json.loads(line)
            if event["type"] == "user":
                told.write(event["user"] + "\t" + ",".join(f"{k}={v}" for k, v in event["features"].items()) + "\n")
            else:
                log.write(line + "\n")
    options = ["--log", events, "--every", 2, "--baselines", "none"]
    first = []
    for more in (["--users", users], [], ["--users", users, "-o", "model.user_features=0"]):
        result, _ = backtest(*options, *more)
        part, = [p for p in under_test(result)["cohorts"]["history"] if p["part"] == "none"]
        first.append(part["ndcg@20"])
    assert first[0] > max(first[1:])


def test_ablations_of_features_run_where_there_are_any(tsv, tmp_path):
    described = {"items": [f"i{k}" for k in range(150)], "users": [f"u{k}" for k in range(400)]}
    for what, ids in described.items():
        (tmp_path / what).write_text("".join(f"{one}\tkind={n % 8}\n" for n, one in enumerate(ids)))
        (tmp_path / f"{what}.empty").write_text("".join(f"{one}\t\n" for one in ids))
    content, users = "rankd without content", "rankd without features of users"
    always = None
    for files, expected in (({}, set()), ({"items": "items"}, {content}), ({"users": "users"}, {users}),
                            ({"items": "items", "users": "users"}, {content, users}),
                            ({"items": "items.empty", "users": "users.empty"}, set())):
        given = [word for what, name in files.items() for word in (f"--{what}", tmp_path / name)]
        result, _ = backtest("--log", tsv, *given, "--every", 20, "--baselines", "none", "--ablations")
        run_names = {m["name"] for m in result["models"] if m["role"] == "ablation"}
        always = always or run_names
        assert run_names == always | expected and not always & {content, users}
        settings = {m["name"]: m["settings"] for m in result["models"]}
        assert settings.get(users, "model.user_features = 0").strip() == "model.user_features = 0"


def test_a_file_of_users_that_cannot_be_read_is_refused(tsv, tmp_path):
    _, said = backtest("--log", tsv, "--users", tmp_path / "none.tsv", code=1)
    assert said.startswith("rankd: ") and str(tmp_path / "none.tsv") in said
    broken = tmp_path / "users.tsv.gz"
    broken.write_bytes(gzip.compress(b"u1\tplan=pro\n" * 5000)[:-20])
    _, said = backtest("--log", tsv, "--users", broken, code=1)
    assert said.startswith("rankd: ") and str(broken) in said
