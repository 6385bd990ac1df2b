"""The same process as reader-child.ts, for readers that live in Python. It knows nothing of the swaps."""

import json
import os
import random
import re
import select
import sys
import time


def main():
    job = json.loads(sys.argv[1])
    layout = job["layout"]
    rows = layout["sources"] * layout["rowsPerSource"]
    version, list_dir, read_dir = READERS[job["reader"]](layout)
    dirs = job["dirs"]
    if job["timing"] is not None:
        return measure(job["timing"], dirs[0], version, list_dir, read_dir)
    for path in dirs:
        read_once(read_dir, path, rows)
    answer({"kind": "ready", "version": version, "nowUs": now_us()})
    while not stdin_ended():
        index = random.randrange(len(dirs))
        start = now_us()
        seen = read_once(read_dir, dirs[index], rows)
        answer({"kind": "read", "dir": index, "startUs": start, "endUs": now_us(), **seen})


def read_once(read_dir, path, rows):
    try:
        ids = read_dir(path)
    except Exception as error:
        text = f"{type(error).__name__}: {error}".replace(path, "")
        return {"missing": 0, "repeated": 0, "error": text[:200]}
    times = [0] * rows
    for row in ids:
        if row < rows:
            times[row] += 1
    return {"missing": times.count(0), "repeated": sum(count > 1 for count in times), "error": None}


def measure(timing, path, version, list_dir, read_dir):
    list_dir(path)
    answer({"kind": "ready", "version": version, "nowUs": now_us()})
    for what, work, rounds in (("list", list_dir, timing["lists"]), ("read", read_dir, timing["reads"])):
        for _ in range(rounds):
            start = now_us()
            work(path)
            answer({"kind": "timing", "what": what, "us": now_us() - start})


def answer(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def now_us():
    return time.monotonic_ns() // 1000


def stdin_ended():
    ready, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(ready)


def pyarrow_dataset(_layout):
    import pyarrow
    import pyarrow.dataset as ds

    def read(path):
        return ds.dataset(path, format="parquet").to_table(columns=["id"])["id"].to_pylist()

    return pyarrow.__version__, arrow_list, read


def pyarrow_selector(layout):
    """Lists and opens nothing: a file's name says which rows it would have read."""
    import pyarrow

    per_file = {"part": layout["rowsPerSource"]}
    per_file["compacted"] = layout["rowsPerSource"] * layout["sources"] // layout["outputs"]

    def read(path):
        ids = []
        for name in arrow_list(path):
            match = re.match(r"(part|compacted)-(?:.*-)?(\d+)\.parquet$", os.path.basename(name))
            if match:
                count = per_file[match.group(1)]
                first = (int(match.group(2)) - 1) * count
                ids.extend(range(first, first + count))
        return ids

    return pyarrow.__version__, arrow_list, read


def arrow_list(path):
    from pyarrow import fs

    return [found.path for found in fs.LocalFileSystem().get_file_info(fs.FileSelector(path))]


def polars_scan(_layout):
    import polars

    def read(path):
        return polars.scan_parquet(path).select("id").collect()["id"].to_list()

    # Polars has no listing of its own to call: this one reads the first footer as well.
    return polars.__version__, lambda path: polars.scan_parquet(path).collect_schema(), read


READERS = {"pyarrow": pyarrow_dataset, "pyarrow-list": pyarrow_selector, "polars": polars_scan}

if __name__ == "__main__":
    main()
