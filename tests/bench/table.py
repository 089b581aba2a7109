"""The table of docs/benchmarks.md from the figures of scripts/bench."""
import os
import re

MARK = ("<!-- table: written by scripts/bench --write -->", "<!-- end of table -->")

# what, must reach, measured: {name} is a figure, {name:FORMAT} in a format of Python; {name:k} in thousands.
ROWS = [
    ("Learning, end to end from Kafka, 100 k items, 1 M users, 64 negatives, durable",
     "50 k events/s",
     "{kafka_events_per_s:k} k events/s; the learner had {kafka_learner_share_of_core:.2f} of a core and does "
     "{kafka_learner_cpu_events_per_s:k} k in a second of its own",
     "raw consume by kcat {kafka_raw_events_per_s:k} k/s: ratio {kafka_of_raw:.3f}"),
    ("Learning steps, 1 M items x 1 M users, one core (processor time)",
     "4 M pairwise steps/s",
     "{steps_1m_per_s:m} M/s; 100 k items {steps_100k_per_s:m} M/s",
     "plain scalar C {steps_scalar_per_s:m} M/s: {steps_of_scalar:.1f} x; three rows read and written "
     "{steps_floor_per_s:m} M/s: {steps_of_floor:.2f} x; implicit, batch: 1.87 M/s"),
    ("Decode of the flat form", "5 x jansson", "{decode_ratio:.1f} x",
     "{decode_events_per_s:m} M events/s beside {decode_jansson_events_per_s:m} M"),
    ("Checkpoints, 100 k items, 50 k events/s offered", "longest pause 20 ms",
     "{checkpoint_100k_longest_pause_ms:.2f} ms; {checkpoint_100k_count:.0f} checkpoints of {checkpoint_100k_mib:.0f} MiB, "
     "{checkpoint_100k_seconds:.1f} s each; learned {checkpoint_100k_learned_events_per_s:k} k/s",
     "written {checkpoint_100k_written_mib_per_s:.0f} MiB/s, budget {checkpoint_100k_budget_mib_per_s:.0f}; after kill -9 "
     "{checkpoint_100k_replayed_events:k} k events again in {checkpoint_100k_replay_seconds:.1f} s"),
    ("Checkpoints, 1 M items, 50 k events/s offered", "longest pause 20 ms",
     "{checkpoint_1m_longest_pause_ms:.2f} ms; {checkpoint_1m_count:.0f} checkpoints, the last of {checkpoint_1m_mib:.0f} MiB in "
     "{checkpoint_1m_seconds:.1f} s; learned {checkpoint_1m_learned_events_per_s:k} k/s",
     "written {checkpoint_1m_written_mib_per_s:.0f} MiB/s, budget {checkpoint_1m_budget_mib_per_s:.0f}; after kill -9 "
     "{checkpoint_1m_replayed_events:k} k events again in {checkpoint_1m_replay_seconds:.1f} s"),
    ("File size over 100 checkpoints, 100 k items", "flat after the first 10",
     "after 100 it is {file_growth_after_10:.2f} x that after 10",
     "MiB after 1, 10, 50, 100: {file_after_1_mib:.0f}, {file_after_10_mib:.0f}, {file_after_50_mib:.0f}, "
     "{file_after_100_mib:.0f}; in use {file_used_mib:.0f}"),
    ("Exact top-100 of 1 M items, one query", "1/4 of a scalar scan with a heap", "{topk_ratio:.3f} of it",
     "{topk_ms:.2f} ms beside {topk_scalar_ms:.1f} ms; faiss flat 9.1 ms, hnswlib 5.9 ms at recall 0.99"),
    ("HTTP intake, batches of 100, durable", "100 k events/s", "{intake_events_per_s:k} k events/s, p99 {intake_p99_ms:.0f} ms; "
     "{intake_not_learning_events_per_s:k} k/s with learning paused",
     "{intake_fdatasync_per_s:.0f} appends with fdatasync a second on this disk, one for each batch of 100 would be "
     "{intake_sync_each_events_per_s:k} k/s: {intake_of_sync_each:.2f} x; Gorse 0.5.11: 15.6 k/s"),
    ("GET /v1/recommend, k = 20, one worker, 1,682 items", "20 k/s", "{recommend_1k7_per_s:k} k/s, p99 {recommend_1k7_p99_ms:.1f} ms; "
     "{recommend_1k7_per_worker_cpu_s:k} k in a second of the worker's own",
     "while 10 k events/s are learned {recommend_1k7_learning_per_s:k} k/s; without HTTP {recommend_1k7_library_us:.0f} us, "
     "scoring every item exactly {recommend_1k7_exact_us:.0f}; Gorse from ready-made lists: 541/s"),
    ("GET /v1/recommend, k = 20, one worker, 100 k items", "2 k/s", "{recommend_100k_per_s:k} k/s, p99 {recommend_100k_p99_ms:.1f} ms; "
     "{recommend_100k_per_worker_cpu_s:k} k in a second of the worker's own",
     "while 10 k events/s are learned {recommend_100k_learning_per_s:k} k/s; without HTTP {recommend_100k_library_us:.0f} us, "
     "scoring every item exactly {recommend_100k_exact_us:.0f}"),
    ("Start with 1 M items and 1 M users, warm", "under 1 s", "{start_ready_s:.2f} s from exec to ready",
     "loading the model {start_load_s:.2f} s"),
    ("Memory (RssAnon), 1 M items, 1 M users in the cache, d = 64, highest seen", "2 GB", "{memory_highest_mib:.0f} MiB",
     "{memory_users_cached:k} k users in {memory_user_cache_mib:.0f} MiB"),
    ("Arrival to visible at 10 k events/s, serving and checkpointing, 100 k items", "p99 50 ms",
     "p50 {fresh_p50_ms:.1f} ms, p99 {fresh_p99_ms:.1f} ms, p99.9 {fresh_p999_ms:.1f} ms",
     "{fresh_events_per_s:k} k events/s, {fresh_answers_per_s:k} k answers/s, {fresh_checkpoints:.0f} checkpoints; the learner needs "
     "{fresh_learner_us_per_event:.0f} us an event"),
]


def fill(text, figures):
    def one(match):
        name, style = match[1], match[2] or "g"
        if name not in figures:
            return "-"
        value = figures[name]
        if style in ("k", "m"):
            value /= 1e3 if style == "k" else 1e6
            return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
        return format(value, style)
    return re.sub(r"\{(\w+)(?::([^}]*))?\}", one, text)


def machine():
    with open("/proc/cpuinfo") as f:
        text = f.read()
    model = re.search(r"model name\s*:\s*(.*)", text)
    flags = re.search(r"flags\s*:\s*(.*)", text)[1].split()
    vectors = "AVX-512" if "avx512_vnni" in flags else "AVX2" if "avx2" in flags else "SSE"
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    system = f"{os.uname().sysname} {os.uname().release.split('-')[0]}"
    return f"{model[1] if model else 'unknown processor'}, {os.cpu_count()} cores, {vectors}, {gib:.0f} GiB of memory, {system}"


def render(figures, busy):
    lines = [f"Machine: {machine()}.", "", "| what | must reach | measured | beside it | others' load |", "| --- | --- | --- | --- | --- |"]
    for what, target, measured, beside in ROWS:
        first = re.search(r"\{(\w+)", measured)[1]
        load = busy.get(first)
        lines.append(f"| {what} | {target} | {fill(measured, figures)} | {fill(beside, figures)} | "
                     f"{'-' if load is None else format(load, '.1f')} |")
    return "\n".join(lines) + "\n"


def write(path, table):
    with open(path) as f:
        text = f.read()
    before, _, rest = text.partition(MARK[0])
    _, _, after = rest.partition(MARK[1])
    with open(path + ".new", "w") as f:
        f.write(f"{before}{MARK[0]}\n\n{table}\n{MARK[1]}{after}")
    os.replace(path + ".new", path)
