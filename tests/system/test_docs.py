"""docs/operations.md and docs/http.md against the sources: every metric, log line, error code and option that they name or must name."""
import glob
import os
import re

from rankd import ROOT


def read(*parts):
    with open(os.path.join(ROOT, *parts), encoding="utf-8") as f:
        return f.read()


OPERATIONS = read("docs", "operations.md")
SOURCES = "\n".join(read(path) for path in sorted(glob.glob(os.path.join(ROOT, "daemon", "*.c"))))


def test_the_table_of_metrics_repeats_the_definition():
    definition = read("daemon", "metrics.def")
    wanted = {}
    for kind, name, rest in re.findall(r"^METRIC(_SET|_HISTOGRAM|)\((\w+), (.*)\)$", definition, re.M):
        fields = re.fullmatch(r'(?:(\w+), )?([\w-]+), "([^"]*)"(?:, "([^"]*)", \w+|, .*)', rest)
        wanted[name] = ("histogram" if kind == "_HISTOGRAM" else fields[1], fields[4] or "" if kind == "_SET" else "", fields[3])
    table = {name: (kind, labels.strip(), text) for name, kind, labels, text in re.findall(
        r"^\| `(rankd_\w+)` \| (\w+) \|([^|]*)\| (.*) \|$", OPERATIONS, re.M)}
    assert len(wanted) > 100 and table == wanted


def test_every_log_line_is_explained():
    """What is a warning or an error stands in the table of those that ask for action, all others in the list behind it."""
    said = re.findall(r'log_(?:line|limited|err)\(\s*(?:&[\w>.-]+, )?([^"]*?)"(\w+)"', SOURCES)
    action, information = re.split(r"^For information: ", OPERATIONS[OPERATIONS.index("## Log lines"):], maxsplit=1, flags=re.M)
    rows = set()
    for names in re.findall(r"^\| (`[^|]*) \| (?:error|warn)", action, re.M):
        rows |= set(re.findall(r"`(\w+)`", names))
    listed = set(re.findall(r"`(\w+)`", information[:information.index("\n## ")]))
    assert len(said) > 30
    for level, event in said:
        where = rows if "WARN" in level or "ERROR" in level else rows | listed
        assert event in where, (level, event)
    assert rows <= {event for _, event in said}, rows - {event for _, event in said}


def test_metrics_and_options_that_pages_name_exist():
    metrics = set(re.findall(r"^METRIC\w*\((\w+),", read("daemon", "metrics.def"), re.M))
    options = {f"{s}.{k}" for s, k in re.findall(r"^OPT_\w+\((\w+), (\w+),", read("daemon", "options.def"), re.M)}
    sections = {o.split(".")[0] for o in options}
    for page in sorted(glob.glob(os.path.join(ROOT, "docs", "*.md"))) + [os.path.join(ROOT, "README.md")]:
        text = read(page)
        for name in set(re.findall(r"\brankd_[a-z0-9_]+[a-z0-9]\b", text)):
            assert name in metrics or any(m.startswith(name) for m in metrics), (page, name)
        for section, key in set(re.findall(r"`([a-z]+)\.([a-z][a-z0-9_]+)(?: = [^`]*)?`", text)):
            if section in sections and key not in ("conf", "service", "mdb", "sock", "jsonl"):
                assert f"{section}.{key}" in options, (page, section, key)


def test_error_codes_are_those_of_the_page():
    page = read("docs", "http.md")
    rows = re.findall(r"^\| [\d, ]+ \| (.*) \|$", page[page.index("## Errors"):], re.M)
    named = {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)}
    counted = set(re.findall(r'"(\w+)"', re.search(r"http_error_codes\[HTTP_ERROR_CODES\] = \{(.*?)\};", SOURCES, re.S)[1]))
    assert len(named) > 40 and named - {"all_rejected"} == counted - {"other"}  # the former is an outcome of intake
