"""The broker that the other tests rely on does what they ask of it."""


def test_topics_partitions_and_watermarks(kafka, topic):
    name = topic(partitions=2)
    assert kafka.watermarks(name) == [(0, 0), (0, 0)]
    kafka.produce(name, ["a", "b", "c"], partition=1)
    kafka.add_partitions(name, 3)
    kafka.delete_records(name, 1, 2)
    assert kafka.watermarks(name) == [(0, 0), (2, 3), (0, 0)]


def test_an_aborted_transaction_leaves_its_marker(kafka, topic):
    name = topic()
    kafka.produce(name, [f"x{n}" for n in range(5)], partition=0, txn="abort")
    kafka.produce(name, ["kept"], partition=0, txn="commit")
    assert kafka.watermarks(name) == [(0, 8)]


def test_keys_choose_the_partition(kafka, topic):
    name = topic(partitions=4)
    kafka.produce_events(name, [{"user": f"u{n}", "n": n} for n in range(200)])
    counts = [high for _, high in kafka.watermarks(name)]
    assert sum(counts) == 200 and min(counts) > 20
    assert kafka.script("create", name, 1, check=False).returncode != 0
