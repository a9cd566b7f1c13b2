"""The messages between launcher and stage, over a SOCK_SEQPACKET pair; one byte, then fields.

::

    stage (child)                                              launcher (host)
    ─────────────────────────────────────────────────────────────────────────────────────────────
    forker: unshare or join namespaces, fork init
      PID + pids       "init is this pid", forker exits    ->  cgroup, newuidmap, newgidmap
    init: waits                                            <-  MAPPED
      become 0:0, apply the operations                         beside it: start the network helper
      READY [terminal]  "the container is created"         ->  state := created
    init: waits                                            <-  START
      TRACED or UNTRACED                                   ->  traced: wait for the stop of execve
      drop privileges, load the filter, execve
      end of file, because the socket is close-on-exec         look at the program, let it go:
                                                           ->  running

    FAILED + (step, errno) at any point, then _exit        ->  the launcher looks the step up in its
                                                               own copy of the plan
"""

from __future__ import annotations

import struct

PID = b"P"
MAPPED = b"M"
READY = b"R"
START = b"S"
TRACED = b"T"
UNTRACED = b"U"
FAILED = b"F"

# Init, and 0 or: the supervisor of its ids, and who shows its network where init may not be looked at;
# last, whether init was born in its cgroup.
PID_MESSAGE = struct.Struct("=ciii?")
FAILED_MESSAGE = struct.Struct("=cii")

# Steps before the operations are negative; those after them count from their end.
STEP_JOIN = -5
STEP_USER_NAMESPACE = -4
STEP_NAMESPACES = -3
STEP_FORK = -2
STEP_BECOME_ROOT = -1
FINAL_STEPS = (
    "start a session",
    "set resource limits",
    "drop capabilities from the bounding set",
    "become the user of the container",
    "leave the caller's session keyring",
    "enter the working directory",
    "forbid new privileges",
    "restrict file access to the container's root",
    "emulate owners and ids",
    "close descriptors",
    "drop capabilities",
    "load the seccomp filter",
    "execute the program",
)
