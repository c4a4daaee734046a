"""The one way to run a child process, and to say how it ended.

A `Worker` is a child process that is handed a function and a task, again and again. What comes back
is an `Answer`, an error that was `Raised`, or how the process `Ended`: killed, crashed, or stopped
at one of its `Limits`. Whatever happens to the child, the caller hears of it and goes on.

    outcomes.py  limits of a task; an answer, an error, an end
    worker.py    the parent's side: ask, enforce the limits, say how it ended
    starting.py  how a process is started: a fresh interpreter, "spawn" or "forkserver"
    child.py     the child's side: run what is asked, die with who asks
    guardian.py  what stands between the two, and is hit by code that kills its parent
"""

from blockzoo.core.processes.outcomes import Answer, Ended, Limits, Outcome, Raised
from blockzoo.core.processes.starting import child_environment
from blockzoo.core.processes.worker import Send, Worker

__all__ = [
    "Answer",
    "Ended",
    "Limits",
    "Outcome",
    "Raised",
    "Send",
    "Worker",
    "child_environment",
]
