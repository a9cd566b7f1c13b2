"""Random users, seccomp profiles, references, documents and challenges: understood or refused, never a crash.

python3 -m tests.fuzz.fuzz_texts --seconds 3600 [--seed N]
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rootless.image.documents import check_layers, parse_config, parse_document, parse_manifest
from rootless.image.reference import parse_reference
from rootless.registry.auth import check_realm, parse_challenges
from rootless.runtime.seccomp import compile_filter, resolved
from rootless.runtime.users import MAX_GROUPS, MAX_ID, find_group, find_user
from tests.fuzz.harness import expect, main, mutated, refused
from tests.support.cli import CHECKOUT

if TYPE_CHECKING:
    import random

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\nx:x:4294967295:0::/:\n"
)
GROUP = b"root:x:0:\nwheel:x:10:user,root\nuser:x:1000:\nbig:x:99999999999:user\n"
DIGEST = "sha256:" + "a" * 64
with open(f"{CHECKOUT}/rootless/runtime/syscalls.json", encoding="ascii") as _file:
    NUMBERS = json.load(_file)
CALLS = (*list(NUMBERS["x86_64"])[:40], "clone3", "openat2", "nothing", "")
ODD = (
    None,
    True,
    -1,
    1 << 64,
    1.5,
    "",
    "x",
    [],
    {},
    ["x"],
    {"x": 1},
    [None],
    "a" * 5000,
    "\x00",
    "é",
)


def text(random: random.Random, content: bytes) -> str:
    return mutated(random, content).decode("utf-8", random.choice(("replace", "ignore")))


def spoiled(random: random.Random, value: Any, chance: float = 0.05) -> Any:
    """The JSON value with parts of it replaced, dropped or doubled."""
    if random.random() < chance:
        return random.choice(ODD)
    if isinstance(value, dict):
        kept = {k: spoiled(random, v, chance) for k, v in value.items() if random.random() > chance}
        if random.random() < chance:
            kept[random.choice(("manifests", "layers", "config", "x", ""))] = random.choice(ODD)
        return kept
    if isinstance(value, list):
        return [
            spoiled(random, each, chance)
            for each in value
            for _ in range(random.choice((1, 1, 1, 2)))
        ]
    return value


def check_users(random: random.Random) -> None:
    passwd, group = text(random, PASSWD), text(random, GROUP)
    spec = text(
        random,
        random.choice(
            (b"user", b"user:wheel", b"1000:10", b"0", b"", b":", b"-1:x", b"4294967296")
        ),
    )
    user: Any = refused(lambda: find_user(spec, passwd, group))
    if user is not None:
        expect(0 <= user.uid <= MAX_ID and 0 <= user.gid <= MAX_ID, f"ids of {spec!r}: {user}")
        expect(len(user.groups) <= MAX_GROUPS, "too many groups")
        expect(all(0 <= each <= MAX_ID for each in user.groups), f"groups {user.groups}")
        expect(user.home.startswith("/") and "\0" not in user.home, f"home {user.home!r}")
    gid: Any = refused(lambda: find_group(spec, group))
    expect(gid is None or 0 <= gid <= MAX_ID, f"gid {gid}")


def rule(random: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {
        "names": random.choices(CALLS, k=random.randrange(4)),
        "action": random.choice(
            ("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY")
        ),
    }
    if random.random() < 0.5:
        made["args"] = [
            {
                "index": random.randrange(7),
                "value": random.choice((0, 1, 0xFFFFFFFF, (1 << 64) - 1)),
                "valueTwo": random.randrange(3),
                "op": "SCMP_CMP_"
                + random.choice(("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ")),
            }
            for _ in range(random.randrange(4))
        ]
    if random.random() < 0.3:
        made["errnoRet"] = random.choice((1, 38, 4096, -1))
    for key in ("includes", "excludes"):
        if random.random() < 0.2:
            made[key] = {
                "caps": ["CAP_SYS_ADMIN"],
                "minKernel": random.choice(("4.8", "99.0", "x")),
            }
    return made


def check_seccomp(random: random.Random) -> None:
    profile = {
        "defaultAction": random.choice(
            ("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS")
        ),
        "archMap": [
            {
                "architecture": "SCMP_ARCH_X86_64",
                "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            }
        ],
        "syscalls": [rule(random) for _ in range(random.randrange(12))],
    }
    document = spoiled(random, profile, random.choice((0.0, 0.02, 0.1)))
    if not isinstance(document, dict):
        return
    facts: dict[str, Any] = {
        "architecture": random.choice(("x86_64", "aarch64", "s390x", "vax")),
        "capabilities": random.choice((frozenset[str](), frozenset({"CAP_SYS_ADMIN"}))),
        "kernel": (6, 1),
    }
    program: Any = refused(
        lambda: compile_filter(document, **facts, numbers=NUMBERS, terminal=random.random() < 0.5)
    )
    if program is not None:
        expect(len(program) % 8 == 0 and 0 < len(program) // 8 <= 4096, "not a program")
        refused(lambda: resolved(document, **facts))


def check_reference(random: random.Random) -> None:
    start = random.choice(
        (
            b"alpine",
            b"docker.io/library/alpine:latest",
            b"localhost:5000/a/b@" + DIGEST.encode(),
            b"[::1]:5000/x:y",
            b"quay.io/a__b/c.d-e:v1",
        )
    )
    given = text(random, start)
    found: Any = refused(lambda: parse_reference(given))
    if found is not None:
        expect(refused(lambda: parse_reference(str(found))) == found, f"{given!r} is not stable")
        path = str(found)
        expect("/../" not in path and "//" not in path and "\0" not in path, f"a path of {given!r}")
        expect(path.isascii() and path.isprintable(), f"odd characters of {given!r}")


DESCRIPTOR = {
    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
    "digest": DIGEST,
    "size": 7,
}
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {**DESCRIPTOR, "mediaType": "application/vnd.oci.image.config.v1+json"},
    "layers": [DESCRIPTOR, DESCRIPTOR],
    "annotations": {"a": "b"},
}
CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2020-01-01T00:00:00Z",
    "config": {
        "Env": ["A=b"], "Cmd": ["sh"], "Entrypoint": None, "User": "0", "WorkingDir": "/",
        "Volumes": {"/v": {}}, "ExposedPorts": {"80/tcp": {}}, "Labels": {"a": "b"},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1, "Retries": 3}, "StopSignal": "TERM",
    },
    "rootfs": {"type": "layers", "diff_ids": [DIGEST, DIGEST]},
    "history": [{"created_by": "x", "empty_layer": True}],
}  # fmt: skip


def check_documents(random: random.Random) -> None:
    chance = random.choice((0.0, 0.03, 0.1))
    content = json.dumps(spoiled(random, random.choice((MANIFEST, CONFIG)), chance)).encode()
    if random.random() < 0.3:
        content = mutated(random, content)
    if random.random() < 0.02:
        content = b"[" * 100_000
    refused(
        lambda: parse_document(
            content, media_type=random.choice(("", MANIFEST["mediaType"])), name="x"
        )
    )  # type: ignore[arg-type]
    manifest: Any = refused(lambda: parse_manifest(content))
    config: Any = refused(
        lambda: parse_config(json.dumps(spoiled(random, CONFIG, chance)).encode())
    )
    if manifest is not None and config is not None:
        refused(lambda: check_layers(manifest, config, name="x"))
    if manifest is not None:
        for each in manifest["layers"]:
            expect(
                each["digest"].startswith("sha256:") or each["digest"].startswith("sha512:"),
                "digest",
            )
            expect("/" not in each["digest"] and each["size"] >= 0, "a descriptor")


def check_challenges(random: random.Random) -> None:
    header = text(
        random,
        b'Bearer realm="https://auth.example.org/token",service="s",scope="repository:a:pull", Basic realm="x"',
    )
    for each in parse_challenges(header):
        expect(each.scheme == each.scheme.lower(), "case")
        realm = each.parameters.get("realm")
        if realm is not None:
            from rootless.registry.config import Source

            source = Source(host="registry.example.org", repository="a", insecure=False)
            refused(lambda realm=realm, source=source: check_realm(realm, source))  # type: ignore[misc]


CHECKS = (check_users, check_seccomp, check_reference, check_documents, check_challenges)


def check(random: random.Random) -> None:
    """One of them."""
    random.choice(CHECKS)(random)


if __name__ == "__main__":
    main(check, __doc__.partition("\n")[0])
