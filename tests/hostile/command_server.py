"""Runs commands of `onnxbin` one after another, each in a process of its own, forked with all imports done.

Reads a JSON request a line: {"arguments": [...], "folder": "where to run"}; answers each with a line of JSON:
the exit status (negative: killed by that signal), what was written to both outputs, the seconds and the
megabytes that it took.
"""

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback

from onnxbin_cli import group  # noqa: F401  for the children
from onnxbin_cli.main import main

SECONDS, ADDRESSES = 60, 12 << 30


def child(request, outputs):
    for number, file in enumerate(outputs, 1):
        os.dup2(file.fileno(), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(request["folder"])
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    signal.alarm(SECONDS)
    status = 1
    try:
        main(request["arguments"])
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


for line in sys.stdin:
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = os.fork()
        if process == 0:
            child(json.loads(line), (out, err))
        _, status, usage = os.wait4(process, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    answer = {
        "status": os.waitstatus_to_exitcode(status),
        "out": texts[0],
        "err": texts[1],
        "seconds": time.monotonic() - started,
        "megabytes": usage.ru_maxrss / 1024,
    }
    print(json.dumps(answer), flush=True)
