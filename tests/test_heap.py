"""All threads of the running program share one heap of the C library."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.parts import ROOT

CHILD = """
import ctypes, sys, threading
from greenwarden.heap import share_one_heap
if sys.argv[1] == "shared":
    print(share_one_heap())
together = threading.Barrier(4)
def work():
    kept = [bytes(20_000) for _ in range(10)]
    together.wait()
    del kept
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives every thread a heap of its own")
def test_four_threads_use_one_heap_where_they_would_have_five() -> None:
    def heaps(how: str) -> tuple[str, int]:
        command = [sys.executable, "-c", CHILD, how]
        child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return child.stdout.strip(), child.stderr.count("Arena ")

    assert heaps("each its own") == ("", 5)
    assert heaps("shared") == ("True", 1)
