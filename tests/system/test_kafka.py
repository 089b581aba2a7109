"""Learning from a real Apache Kafka broker: where reading begins, what must stop it, and what must not."""
import json
import os
import random
import shutil
import signal
import tempfile
import threading
import time

import pytest

from rankd import PATIENCE, Kafka, http_request, logfmt, poll, run

OLD_MS = 1600000000000


def clicks(n, start=0, **more):
    return [{"id": f"e{i}", "user": f"u{i % 17}", "item": f"i{i % 29}", "ts": 1700000000000 + i, **more}
            for i in range(start, start + n)]


@pytest.fixture
def from_kafka(make_rankd):
    """from_kafka(broker, [topic[:type] ...], option=value) makes a daemon on these topics that looks for changes often."""
    def make(broker, topics, name="a", **options):
        options = {"kafka.rdkafka.topic.metadata.refresh.interval.ms": 300, **options}
        return make_rankd(name, **{"kafka__brokers": broker.bootstrap, "kafka__topics": ",".join(topics),
                                   "kafka__intake_topic": topics[0].split(":")[0], **options})
    return make


@pytest.fixture(scope="module")
def spare_broker():
    path = tempfile.mkdtemp(prefix="rankd-kafka-")
    broker = Kafka(path)
    try:
        yield broker
    finally:
        broker.script("kill", check=False)
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def own_broker(spare_broker):
    """A running broker that this test may stop, freeze and kill."""
    yield spare_broker.start()
    freeze(spare_broker, signal.SIGCONT)


def freeze(broker, number):
    if broker.script("status", check=False).returncode != 0:
        return
    with open(os.path.join(broker.dir, "state.json")) as f:
        os.kill(json.load(f)["pid"], number)


def source(daemon, topic, partition=0):
    return next(s for s in daemon.status()["sources"] if s["name"] == f"kafka:{topic}" and s["partition"] in (partition, None))


def recreate(kafka, topic, partitions=1):
    kafka.delete(topic)
    poll(f"{topic} is made again", lambda: kafka.script("create", topic, partitions, check=False).returncode == 0)


def gap_lines(daemon):
    return [line for line in list(daemon.lines) if "event=kafka_gap" in line]


def check_still_serving(daemon, learned):
    status = daemon.status()
    assert status["events"]["learned"] == learned
    assert daemon.recommend("u1")["basis"] == "personal"
    assert daemon.get("/healthz").status == 200
    return status


def check_stopped(daemon, topic, learned):
    """Learning has stopped and said so in one line that tells what to do; the answers go on."""
    daemon.wait_log("event=kafka_gap")
    poll("the status says stopped", lambda: daemon.status()["state"] == "stopped")
    status = check_still_serving(daemon, learned)
    assert len(gap_lines(daemon)) == 1, gap_lines(daemon)
    line = logfmt(gap_lines(daemon)[0])
    assert line["level"] == "error" and line["topic"] == topic and line["action"] == "stop"
    assert line["expected"] and line["found"] and "on_gap" in line["do"]
    stopped = [s for s in status["sources"] if s["name"] == f"kafka:{topic}"]
    assert stopped and all(s["state"] == "stopped" and topic in s["stop_reason"] for s in stopped)
    metrics = daemon.metrics()
    assert metrics.value("rankd_source_breaks_total", source=f"kafka:{topic}") == 1
    assert metrics.value("rankd_source_up", source=f"kafka:{topic}") == 0


def test_topics_imply_types_and_all_partitions_are_learned(kafka, topic, from_kafka):
    seen, bought = topic("clicks", 3), topic("purchases", 2)
    daemon = from_kafka(kafka, [f"{seen}:click", f"{bought}:purchase"])
    kafka.produce_events(seen, clicks(300))
    kafka.produce_events(bought, [{**e, "id": "p" + e["id"]} for e in clicks(100)])
    kafka.produce_events(bought, [{**e, "type": "view"} for e in clicks(10, 1000)])
    daemon.start()
    status = daemon.wait_events(410)
    assert status["events"]["learned"] == 410 and status["events"]["skipped"] == {}
    assert {t: n for t, n in status["events"]["types"].items() if n} == {"click": 300, "purchase": 100, "view": 10}
    assert sorted(s["partition"] for s in status["sources"] if s["name"] == f"kafka:{seen}") == [0, 1, 2]
    assert {s["unit"] for s in status["sources"]} == {"events"}
    daemon.wait_caught_up()
    digest, sequence = daemon.digest()
    daemon.stop()
    again = daemon.replay("again", "--journal", daemon.data_dir, "--kafka", seen, bought)
    assert again["digest"] == digest and again["learned"] == 410 and sequence == 410


def test_key_and_time_of_a_record_stand_in_for_absent_fields(kafka, topic, from_kafka):
    name = topic()
    kafka.produce(name, ['u5\t{"item":"i1"}', 'u5\t{"user":"u6","item":"i2"}'], keys=True, ts_ms=OLD_MS)
    kafka.produce(name, ['{"item":"i1"}', '{"type":"delete","user":"u5"}'])
    daemon = from_kafka(kafka, [f"{name}:click"]).start()
    status = daemon.wait_events(4)
    assert status["events"]["learned"] == 2
    assert status["events"]["skipped"] == {"no_user": 1, "type_denied": 1}
    assert status["as_of"] == "2020-09-13T12:26:40.000Z"
    assert daemon.recommend("u5")["basis"] == daemon.recommend("u6")["basis"] == "personal"


def test_partitions_added_while_running_are_read_from_their_beginning(kafka, topic, from_kafka):
    name = topic()
    kafka.produce_events(name, clicks(20))
    daemon = from_kafka(kafka, [f"{name}:click"]).start()
    daemon.wait_learned(20)
    kafka.add_partitions(name, 3)
    kafka.produce(name, [json.dumps(e) for e in clicks(30, 100)], partition=2)
    status = daemon.wait_learned(50)
    assert status["events"]["learned"] == 50
    assert len(status["sources"]) == 3 and not gap_lines(daemon)


def test_a_topic_created_later_is_waited_for(kafka, topic, from_kafka):
    name = topic("there")
    late = name + ".late"
    daemon = from_kafka(kafka, [f"{name}:click", f"{late}:purchase"]).start()
    daemon.wait_log("event=kafka_topic_missing", f"topic={late}")
    kafka.create(late, 2)
    try:
        kafka.produce_events(late, clicks(10))
        assert daemon.wait_learned(10)["events"]["types"]["purchase"] == 10
    finally:
        daemon.stop()
        kafka.delete(late)


def test_aborted_and_open_transactions_are_not_learned(kafka, topic, from_kafka):
    name = topic()
    daemon = from_kafka(kafka, [f"{name}:click"]).start()
    kafka.produce_events(name, clicks(10, 0), partition=0, txn="commit")
    kafka.produce_events(name, clicks(50, 100), partition=0, txn="abort")
    kafka.produce_events(name, clicks(5, 200), partition=0)
    status = daemon.wait_learned(15)
    assert status["events"]["learned"] == 15 and status["events"]["skipped"] == {}
    kafka.produce_events(name, clicks(50, 300), partition=0, txn="abort")
    daemon.wait_caught_up()
    assert daemon.status()["events"]["learned"] == 15 and not gap_lines(daemon)
    digest, _ = daemon.digest()
    daemon.restart()
    daemon.wait_caught_up()
    assert daemon.digest()[0] == digest and not gap_lines(daemon)
    daemon.stop()
    assert daemon.replay("again", "--journal", daemon.data_dir, "--kafka", name)["digest"] == digest


@pytest.mark.broker
def test_serving_goes_on_without_the_broker_and_learning_when_it_is_back(own_broker, from_kafka):
    name = own_broker.create("away")
    own_broker.produce_events(name, clicks(100))
    daemon = from_kafka(own_broker, [f"{name}:click"]).start()
    daemon.wait_learned(100)
    own_broker.stop()
    daemon.wait_log("event=kafka_away")
    poll("the status says away", lambda: source(daemon, name)["state"] == "away")
    check_still_serving(daemon, 100)
    assert daemon.metrics().value("rankd_source_up", source=f"kafka:{name}") == 0

    own_broker.start()
    own_broker.produce_events(name, clicks(50, 100))
    daemon.wait_learned(150, timeout_s=60)
    assert source(daemon, name)["state"] == "running" and not gap_lines(daemon)
    assert daemon.metrics().value("rankd_source_reconnects_total", source=f"kafka:{name}") >= 1

    daemon.stop()
    own_broker.kill9()
    daemon.start()  # the broker need not be there to start and serve
    check_still_serving(daemon, 150)
    own_broker.start()
    own_broker.produce_events(name, clicks(50, 150))
    assert daemon.wait_learned(200, timeout_s=60)["events"]["learned"] == 200
    assert not gap_lines(daemon)


def test_lag_is_shown_while_learning_waits(kafka, topic, from_kafka):
    name = topic()
    kafka.produce_events(name, clicks(10))
    daemon = from_kafka(kafka, [f"{name}:click"], http__ready_max_lag="200ms", learner__queue_bytes="256KiB").start()
    daemon.wait_learned(10)
    daemon.admin("POST", "/admin/pause")
    kafka.produce_events(name, clicks(500, 10, note="x" * 2000))
    poll("lag is shown", lambda: source(daemon, name)["lag_events"] > 0 and daemon.status()["lag_seconds"] > 0.2)
    assert daemon.metrics().value("rankd_lag_events", source=f"kafka:{name}") > 0
    late = poll("readyz says lagging", lambda: [r for r in [daemon.get("/readyz")] if r.status == 503])[0]
    assert late.error() == "lagging" and late.headers["Retry-After"]
    assert daemon.status()["queue_bytes"] <= 2 * 256 * 1024
    daemon.admin("POST", "/admin/resume")
    daemon.wait_learned(510)
    daemon.wait_caught_up()
    poll("readyz is well again", lambda: daemon.get("/readyz").status == 200)


def test_lag_of_every_partition_grows_while_the_queue_is_full(kafka, topic, from_kafka):
    name, other = topic("a", 3), topic("b")
    daemon = from_kafka(kafka, [f"{name}:click", f"{other}:click"], learner__queue_bytes="256KiB").start()
    daemon.wait_caught_up()
    daemon.admin("POST", "/admin/pause")
    for n in (1, 2):
        kafka.produce_events(name, clicks(600, 600 * n, note="x" * 2000))
        kafka.produce_events(other, clicks(50, 50 * n))
        poll("all that waits is shown", lambda: sum(s["lag_events"] for s in daemon.status()["sources"]) == 650 * n)
    daemon.admin("POST", "/admin/resume")
    daemon.wait_events(1300)


def test_recreated_topic_stops_learning_while_running(kafka, topic, from_kafka):
    name = topic()
    kafka.produce_events(name, clicks(30))
    daemon = from_kafka(kafka, [f"{name}:click"]).start()
    daemon.wait_learned(30)
    recreate(kafka, name)
    kafka.produce_events(name, clicks(5, 1000))
    check_stopped(daemon, name, 30)


def test_recreated_topic_that_has_grown_as_long_is_noticed_at_the_next_start(kafka, topic, from_kafka):
    name = topic()
    kafka.produce_events(name, clicks(30))
    daemon = from_kafka(kafka, [f"{name}:click"]).start()
    daemon.wait_learned(30)
    daemon.stop()
    recreate(kafka, name)
    kafka.produce_events(name, clicks(60, 1000))
    daemon.start()
    check_stopped(daemon, name, 30)
    assert "CRC" in gap_lines(daemon)[0]


def test_deleted_topic_stops_learning(kafka, topic, from_kafka):
    name, other = topic("gone"), topic("other")
    kafka.produce_events(name, clicks(30))
    daemon = from_kafka(kafka, [f"{name}:click", f"{other}:click"]).start()
    daemon.wait_learned(30)
    kafka.delete(name)
    check_stopped(daemon, name, 30)


def test_records_deleted_unread_stop_learning_and_continue_goes_on(kafka, topic, from_kafka):
    name = topic()
    kafka.produce_events(name, clicks(30))
    daemon = from_kafka(kafka, [f"{name}:click"]).start()
    daemon.wait_learned(30)
    daemon.stop()
    kafka.produce_events(name, clicks(30, 30))
    kafka.delete_records(name, 0, 45)
    daemon.start()
    check_stopped(daemon, name, 30)
    assert "45" in gap_lines(daemon)[0] and "15 offsets" in gap_lines(daemon)[0]

    daemon.restart(kafka__on_gap="continue")
    status = daemon.wait_learned(45)
    assert status["events"]["learned"] == 45 and status["state"] == "running"
    assert [logfmt(line)["action"] for line in gap_lines(daemon)] == ["continue"]
    daemon.restart(kafka__on_gap="stop")  # accepted once, the loss is no loss any more
    kafka.produce_events(name, clicks(5, 60))
    daemon.wait_learned(50)
    assert not gap_lines(daemon)


def test_records_deleted_behind_the_position_are_no_loss(kafka, topic, from_kafka):
    name = topic()
    kafka.produce_events(name, clicks(30))
    daemon = from_kafka(kafka, [f"{name}:click"]).start()
    daemon.wait_learned(30)
    kafka.delete_records(name, 0, -1)
    daemon.restart()
    kafka.produce_events(name, clicks(5, 30))
    assert daemon.wait_learned(35)["state"] == "running" and not gap_lines(daemon)


def test_records_retained_away_unread_stop_learning(kafka, topic, from_kafka):
    name = topic(retention_bytes=1 << 20, segment_bytes=1 << 20)
    kafka.produce_events(name, clicks(10))
    daemon = from_kafka(kafka, [f"{name}:click"]).start()
    daemon.wait_learned(10)
    daemon.stop()
    noise = random.Random(1)
    kafka.produce_events(name, [{**e, "note": noise.randbytes(6000).hex()} for e in clicks(400, 10)])
    poll("retention has taken records not yet read", lambda: kafka.watermarks(name)[0][0] > 10, 30)
    daemon.start()
    check_stopped(daemon, name, 10)


def test_recreated_topic_is_read_from_its_beginning_with_continue(kafka, topic, from_kafka):
    name = topic()
    kafka.produce_events(name, clicks(30))
    daemon = from_kafka(kafka, [f"{name}:click"], kafka__on_gap="continue").start()
    daemon.wait_learned(30)
    recreate(kafka, name)
    kafka.produce_events(name, clicks(12, 1000))
    status = daemon.wait_learned(42)
    assert status["events"]["learned"] == 42 and status["state"] == "running"
    poll("the position is known", lambda: source(daemon, name)["position"] == 12)
    assert all(logfmt(line)["action"] == "continue" for line in gap_lines(daemon)) and gap_lines(daemon)


def test_start_latest_and_start_at_a_time(kafka, topic, from_kafka):
    name = topic()
    kafka.produce_events(name, clicks(10), ts_ms=OLD_MS)
    kafka.produce_events(name, clicks(10, 10), ts_ms=OLD_MS + 3600000)
    latest = from_kafka(kafka, [f"{name}:click"], "latest", kafka__start="latest").start()
    timed = from_kafka(kafka, [f"{name}:click"], "timed", kafka__start="2020-09-13T12:30:00Z").start()
    assert timed.wait_learned(10)["events"]["learned"] == 10
    latest.wait_log("event=kafka_start", "offset=20")
    timed.wait_log("event=kafka_start", "offset=10")
    kafka.produce_events(name, clicks(5, 20))
    assert latest.wait_learned(5)["events"]["learned"] == 5
    assert timed.wait_learned(15)["events"]["learned"] == 15
    latest.restart(kafka__start="earliest")  # the position that is known wins
    assert latest.wait_caught_up()["events"]["learned"] == 5


def test_broker_time_is_trusted_and_a_producers_is_not(kafka, topic, from_kafka):
    """An event dated ahead is learned at LogAppendTime; without such a time it moves the clock by one step."""
    appended, created = topic("appended", message_timestamp_type="LogAppendTime"), topic("created")
    month_ahead = int(time.time() * 1000) + 30 * 86400000
    for name in (appended, created):
        kafka.produce_events(name, [{"user": "u1", "item": "i1", "ts": month_ahead - 31 * 86400000},
                                    {"user": "u1", "item": "i2", "ts": month_ahead}])
    trusting = from_kafka(kafka, [f"{appended}:click"], "trusting").start()
    stepping = from_kafka(kafka, [f"{created}:click"], "stepping").start()
    now, step = time.time(), (month_ahead - 30 * 86400000) / 1000
    trusting.wait_learned(2)
    stepping.wait_learned(2)
    assert abs(trusting.metrics().value("rankd_model_clock_seconds") - now) < 300
    assert stepping.metrics().value("rankd_model_clock_seconds") == step


def test_options_pass_through_and_secrets_stay_secret(kafka, topic, from_kafka):
    name = topic()
    secrets = {"kafka.rdkafka.sasl.password": "hunter2-sasl", "kafka.rdkafka.ssl.key.password": "hunter2-ssl",
               "kafka.rdkafka.sasl.username": "hunter2-user"}
    daemon = from_kafka(kafka, [f"{name}:click"], **secrets, **{"kafka.rdkafka.fetch.wait.max.ms": 77}).start()
    kafka.produce_events(name, clicks(3))
    daemon.wait_learned(3)
    effective = {(x["role"], x["key"]): x["value"] for x in map(logfmt, list(daemon.lines)) if x.get("event") == "kafka_option"}
    assert effective["consumer", "fetch.wait.max.ms"] == "77"
    assert effective["consumer", "isolation.level"] == "read_committed"
    assert effective["consumer", "auto.offset.reset"] == "error"
    assert effective["consumer", "enable.auto.commit"] == "false"
    assert effective["producer", "enable.idempotence"] == "true"
    assert effective["consumer", "sasl.password"] == "(secret)"
    shown = run("rankd", "check-config", *daemon.overrides())
    assert shown.returncode == 0 and "fetch.wait.max.ms = 77" in shown.stdout
    metrics = "".join(daemon.metrics())
    for text in (daemon.log(), shown.stdout + shown.stderr, json.dumps(daemon.status()), metrics):
        assert "hunter2" not in text
    config = http_request(daemon.admin_address, "GET", "/admin/config")
    assert config.status == 200 and b"hunter2" not in config.body and b"fetch.wait.max.ms" in config.body


@pytest.mark.parametrize("option, why", [
    ("enable.auto.commit=true", "cannot be set"),
    ("auto.offset.reset=earliest", "cannot be set"),
    ("isolation.level=read_uncommitted", "cannot be set"),
    ("acks=1", "cannot be set"),
    ("no.such.option=1", "no such option"),
    ("fetch.wait.max.ms=soon", "fetch.wait.max.ms"),
])
def test_options_that_would_break_a_promise_are_refused(from_kafka, option, why):
    class Nowhere:
        bootstrap = "127.0.0.1:1"
    daemon = from_kafka(Nowhere, ["t:click"])
    refused = run("rankd", "run", *daemon.overrides(), "-o", f"kafka.rdkafka.{option}")
    assert refused.returncode == 2, refused.stderr
    assert why in refused.stderr and option.split("=")[0] in refused.stderr, refused.stderr


def test_intake_answers_when_the_broker_has_it(kafka, topic, from_kafka):
    name = topic("t", 2)
    daemon = from_kafka(kafka, [f"{name}:click"]).start()
    answer = daemon.send([{**e, "type": "click"} for e in clicks(50)] + ['{"type":"click"}'])
    assert (answer["accepted"], answer["rejected_total"]) == (50, 1)
    assert sum(high for _, high in kafka.watermarks(name)) == 50
    status = daemon.wait_learned(50)
    assert status["events"]["learned"] == 50 and status["intake"]["into"] == "kafka"
    assert not os.path.isdir(daemon.log_dir) or not os.listdir(daemon.log_dir)
    before = time.time()
    daemon.send([{"type": "click", "user": "u1", "item": "i1"}])  # no ts: the arrival time goes with it
    assert daemon.wait_learned(51)["as_of"] is not None
    assert abs(daemon.metrics().value("rankd_model_clock_seconds") - before) < 86400 * 36500
    daemon.wait_caught_up()
    digest, _ = daemon.digest()
    daemon.stop()
    assert daemon.replay("again", "--journal", daemon.data_dir, "--kafka", name)["digest"] == digest


@pytest.mark.broker
def test_intake_without_an_answer_of_the_broker_is_503_and_may_be_repeated(own_broker, from_kafka):
    name = own_broker.create("frozen")
    daemon = from_kafka(own_broker, [f"{name}:click"], intake__deadline="3s").start()
    first = [{**e, "type": "click"} for e in clicks(10)]
    daemon.send(first)
    daemon.wait_learned(10)
    freeze(own_broker, signal.SIGSTOP)
    second = "\n".join(json.dumps({**e, "type": "click"}) for e in clicks(10, 10))
    answers = []
    began = time.monotonic()
    asking = threading.Thread(target=lambda: answers.append(daemon.post("/v1/events", second, "application/x-ndjson")))
    asking.start()
    while asking.is_alive():
        assert daemon.recommend("u1")["basis"] == "personal"
        asking.join(0.1)
    took = time.monotonic() - began
    freeze(own_broker, signal.SIGCONT)
    answer = answers[0]
    assert answer.status == 503 and answer.error() == "outcome_unknown", answer
    assert int(answer.headers["Retry-After"]) >= 1 and 2 < took < 10 * PATIENCE
    again = poll("the repetition is taken", lambda: [r for r in [daemon.post("/v1/events", second, "application/x-ndjson")]
                                                    if r.status == 200], 30)[0]
    assert again.json["accepted"] == 10
    poll("each event is learned once", lambda: daemon.status()["events"]["learned"] == 20, 30)
    daemon.wait_caught_up()
    assert daemon.status()["events"]["learned"] == 20
    metrics = daemon.metrics()
    assert metrics.value("rankd_intake_requests_total", outcome="outcome_unknown") >= 1
    assert metrics.value("rankd_intake_requests_total", outcome="durable") == 2

    own_broker.stop()
    refused = daemon.post("/v1/events", '{"type":"click","user":"u1","item":"i1"}')
    assert refused.status == 503 and refused.error() in ("not_stored", "outcome_unknown"), refused
    check_still_serving(daemon, 20)
    daemon.stop(timeout_s=5.5)
