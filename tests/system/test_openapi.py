"""proto/openapi.yaml against the running daemon: every operation, its parameters, answers and errors."""
import os
import re

import jsonschema
import pytest
import yaml

from rankd import ROOT, http_request, query, shop

with open(os.path.join(ROOT, "proto", "openapi.yaml"), encoding="utf-8") as f:
    SPEC = yaml.safe_load(f)
METHODS = ("get", "post", "put", "delete")
OPERATIONS = {o["operationId"]: (path, method, o) for path, item in SPEC["paths"].items()
              for method, o in item.items() if method in METHODS}
JSON = {"Content-Type": "application/json"}


def resolve(node):
    while "$ref" in node:
        ref = node["$ref"]
        node = SPEC
        for part in ref[2:].split("/"):
            node = node[part]
    return node


def address(daemon, path):
    if path.startswith("/admin"):
        return daemon.admin_address
    return daemon.metrics_address if path == "/metrics" else daemon.http


def ask(daemon, name, body=None, headers=None, **parameters):
    path, method, _ = OPERATIONS[name]
    headers = headers if headers is not None else JSON if body is not None else {}
    return http_request(address(daemon, path), method.upper(), query(path, parameters), body, headers)


def check(name, answer):
    """The answer is one that the specification promises."""
    operation = OPERATIONS[name][2]
    responses = operation["responses"]
    promised = resolve(responses.get(str(answer.status)) or responses["default"])
    kind = answer.headers["Content-Type"].split(";")[0]
    assert kind in promised["content"], f"{name} {answer.status}: {kind} is not documented"
    if kind == "application/json":
        schema = {**promised["content"][kind]["schema"], "components": SPEC["components"]}
        if answer.status == 200:
            schema["unevaluatedProperties"] = False
        jsonschema.Draft202012Validator(schema).validate(answer.json)
    for header in promised.get("headers", {}):
        assert answer.headers[header], f"{name} {answer.status}: no {header}"
    return answer


@pytest.fixture
def trained(rankd):
    rankd.send(shop("--events", 400) + ['{"type":"clack","user":"u","item":"i"}'])
    rankd.wait_learned(400)
    return rankd


def test_the_document_is_well_formed():
    assert SPEC["openapi"].startswith("3.1")
    for schema in SPEC["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)

    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                assert resolve(node)
            for child in node.values():
                references(child)
        elif isinstance(node, list):
            for child in node:
                references(child)
    references(SPEC)


def test_examples_follow_their_schemas():
    count = 0
    for name, (_, _, operation) in OPERATIONS.items():
        places = [resolve(r) for r in operation["responses"].values()] + [operation.get("requestBody", {})]
        for content in (c for place in places for c in place.get("content", {}).values() if "example" in c):
            schema = {**content["schema"], "components": SPEC["components"]}
            jsonschema.Draft202012Validator(schema).validate(content["example"])
            count += 1
    assert count >= 8


def test_every_operation_answers_as_documented(trained):
    item = trained.recommend("nobody")["items"][0]["item"]
    event = '{"id":"x1","type":"click","user":"u","item":"i"}'
    asked = {
        "getRecommend": [{"user": "u1"}, {"k": 3, "history": item, "exclude": "a,b", "keep_used": 1}, {"history": "a,b"}],
        "postRecommend": [{"body": "{}"}, {"body": '{"user":5,"history":["a"],"items":["%s"],"k":1,"keep_used":true}' % item},
                          {"body": '{"items":[]}'}],
        "postScore": [{"body": '{"user":"u1","items":["%s","no such"]}' % item}],
        "getSimilar": [{"item": item, "k": 2}],
        "getPopular": [{"k": 2}],
        "getFactors": [{}, {"k": 2}],
        "postEvents": [{"body": event}, {"body": "[%s]" % event},
                       {"body": event + "\n{}\n", "headers": {"Content-Type": "application/x-ndjson"}}],
        "getHealthz": [{}], "getReadyz": [{}], "getMetrics": [{}], "getStatus": [{}], "getDigest": [{}],
        "postCheckpoint": [{}], "postPause": [{}], "postResume": [{}], "getBadEvents": [{}, {"n": 1}], "getConfig": [{}],
    }
    assert set(asked) == set(OPERATIONS)
    for name, requests in asked.items():
        for request in requests:
            answer = check(name, ask(trained, name, **request))
            assert answer.status == 200, (name, request, answer)


@pytest.mark.parametrize("name, request_, status, code", [
    ("getRecommend", {"k": 0}, 400, "out_of_range"),
    ("getRecommend", {"k": "x"}, 400, "bad_parameter"),
    ("getRecommend", {"user": ""}, 400, "out_of_range"),
    ("getRecommend", {"exclude": "a,,b"}, 400, "out_of_range"),
    ("getRecommend", {"keep_used": "yes"}, 400, "bad_parameter"),
    ("postRecommend", {"body": "[]"}, 400, "bad_body"),
    ("postRecommend", {"body": '{"k":"5"}'}, 400, "bad_field"),
    ("postRecommend", {"body": '{"exlude":[]}'}, 400, "unknown_field"),
    ("postRecommend", {"body": "{}", "headers": {"Content-Type": "text/html"}}, 415, "unsupported_type"),
    ("postScore", {"body": '{"user":"u"}'}, 400, "bad_field"),
    ("getSimilar", {}, 400, "missing_parameter"),
    ("getFactors", {"k": 101}, 400, "out_of_range"),
    ("getFactors", {"dimension": 1}, 400, "unknown_parameter"),
    ("getSimilar", {"item": "nobody touched it"}, 404, "unknown_item"),
    ("postEvents", {"body": '"x"'}, 400, "bad_body"),
    ("postEvents", {"body": '{"type":"clack"}'}, 400, "all_rejected"),
    ("getBadEvents", {"n": 1001}, 400, "out_of_range"),
])
def test_errors_are_documented(rankd, name, request_, status, code):
    answer = check(name, ask(rankd, name, **request_))
    assert (answer.status, answer.error()) == (status, code)


def test_too_many_events_and_a_full_queue_are_documented(make_rankd):
    daemon = make_rankd(intake__max_batch=2).start()
    event = '{"type":"click","user":"u","item":"i"}\n'
    answer = check("postEvents", ask(daemon, "postEvents", body=event * 3))
    assert (answer.status, answer.error()) == (413, "too_many_events")
    assert daemon.status()["sequence"] == 0


def test_parameters_are_the_documented_ones(rankd):
    for name, (path, method, operation) in OPERATIONS.items():
        documented = {resolve(p)["name"] for p in operation.get("parameters", [])}
        body = None if method == "get" or not operation.get("requestBody") else "{}"
        answer = check(name, ask(rankd, name, body=body, no_such_parameter=1))
        assert (answer.status, answer.error()) == (400, "unknown_parameter"), (name, answer)
        known = re.search(r"known: (.*)$", answer.json["error"]["message"])
        assert set(known[1].split(",") if known else []) == documented, name


def test_methods_are_the_documented_ones(rankd):
    for path, item in SPEC["paths"].items():
        documented = {m.upper() for m in item if m in METHODS}
        documented |= {"HEAD"} if "GET" in documented else set()
        answer = http_request(address(rankd, path), "DELETE", path)
        assert (answer.status, answer.error()) == (405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == documented


def test_public_listener_has_no_admin_paths(rankd):
    for path in SPEC["paths"]:
        if path.startswith("/admin") or path == "/metrics":
            assert http_request(rankd.http, "GET", path).error() == "not_found"
        elif path != "/metrics":
            assert http_request(rankd.metrics_address, "GET", path).error() == "not_found"


def test_every_metric_of_the_table_is_served(rankd):
    with open(os.path.join(ROOT, "daemon", "metrics.def"), encoding="utf-8") as f:
        table = dict(re.findall(r'^METRIC(?:_SET)?\((\w+), (\w+),', f.read(), re.M))
    text = http_request(rankd.metrics_address, "GET", "/metrics").body.decode()
    served = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    assert {n: t for n, t in served.items() if n in table} == table
    assert set(served) - set(table) == {"rankd_freshness_seconds", "rankd_checkpoint_duration_seconds"}
    assert len(re.findall(r"^# HELP ", text, re.M)) == len(served)
    names = {re.sub(r"_(bucket|sum|count)$", "", m) if served.get(m) is None else m
             for m in re.findall(r"^(rankd_\w+)", text, re.M)}
    assert names <= set(served)
