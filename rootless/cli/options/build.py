"""Flags of ``build``."""

from __future__ import annotations

from rootless.cli.options.container import PULL as POLICIES
from rootless.cli.options.registries import PLATFORM, REGISTRY
from rootless.cli.options.table import Argument, Command, Group, Option
from rootless.cli.values import natural, pair, seconds, size

_OTHERS = Group(
    "Known from others",
    (),
    (
        *(
            Option(name, "MODE", refused="a RUN has namespaces of its own, as run gives them")
            for name in ("cgroupns", "ipc", "pid", "uts")
        ),
        *(
            Option(f"userns-{name}", "MAP", refused="a build has the id map of the store")
            for name in ("uid-map", "uid-map-user", "gid-map", "gid-map-group")
        ),
        *(
            Option(f"sbom-{name}", "VALUE", refused="attestations are not made")
            for name in (
                *("image-output", "image-purl-output", "merge-strategy", "output", "purl-output"),
                *("scanner-command", "scanner-image"),
            )
        ),
        *(
            Option(name, refused="the image has what the Dockerfile says, no more and no less")
            for name in ("inherit-annotations", "inherit-labels", "omit-history", "stage-labels")
        ),
        Option("compat-volumes", ignored="changes below a VOLUME are kept, as BuildKit does"),
        Option("created-annotation", ignored="--annotation sets one"),
        Option("group-add", "GROUP", refused="RUN has the groups of its USER", many=True),
        Option("identity-label", ignored="--label sets one"),
        Option("iidfile-raw", "FILE", refused="--iidfile writes the id"),
        Option("layer-label", "K=V", refused="layers have no labels", many=True),
        Option("logsplit", refused="redirect standard error"),
        Option("os-feature", "NAME", refused="means something on Windows only", many=True),
        Option("os-version", "VERSION", refused="means something on Windows only"),
        Option("save-stages", refused="--target builds a stage"),
        Option("force-compression", "", ignored="new layers always are"),
        Option("compression-level", "N", ignored="the usual one"),
        Option("disable-compression", "", ignored="layers are kept unpacked as well", short="D"),
        Option("disable-content-trust", "", ignored="signatures are checked by policy.json"),
        Option("compress", "", ignored="there is no service to send the context to"),
        Option("no-hosts", "", ignored="/etc/hosts is never part of an image"),
        Option("no-hostname", "", ignored="/etc/hostname is never part of an image"),
        Option("unsetannotation", "K", refused="annotations of a base image are not kept", many=True),
        Option("cgroup-parent", "PATH", refused="a build runs in the cgroup that it was started in"),
        Option("cpp-flag", "FLAG", refused="Dockerfile.in is not run through cpp", many=True),
        Option("cw", "OPTIONS", refused="confidential workloads are not made"),
        Option("decryption-key", "KEY", refused="encrypted images cannot be read", many=True),
        Option("hooks-dir", "DIR", refused="there are no hooks", many=True),
        Option("runtime", "NAME", refused="there is one, built in"),
        Option("runtime-flag", "FLAG", refused="there is one, built in", many=True),
        Option("sign-by", "KEY", refused="rootless push signs"),
        Option("source-policy-file", "FILE", refused="policy.json says what may be used"),
        Option("stdin", "", refused="RUN has no standard input"),
        Option("logfile", "FILE", refused="redirect standard error"),
    ),
)  # fmt: skip


BUILD = Command(
    "build",
    (
        Group(
            "Image",
            (
                Option("file", "PATH", "The Dockerfile; - is standard input", short="f", complete="file"),
                Option("tag", "NAME[:TAG]", "Name of the image", short="t", many=True, complete="image"),
                Option("target", "STAGE", "Build this stage and stop"),
                Option("build-arg", "NAME[=VALUE]", "Value of an ARG", many=True),
                Option("label", "K=V", "Label of the image", pair, many=True),
                Option("platform", "OS/ARCH", "What to build for; several make an index", many=True),
                Option("format", "FORMAT", "oci or docker", choices=("oci", "docker"), default="oci"),
            ),
            (
                Option("build-arg-file", "FILE", "Build arguments, one a line", many=True, complete="file"),
                Option("build-context", "NAME=SOURCE", "What NAME means in FROM and --from: an image, layout, directory, git, URL", many=True),
                Option("from", "IMAGE", "Instead of the image of the first FROM", field="base", complete="image"),
                Option("ignorefile", "FILE", "Instead of .dockerignore", complete="file"),
                Option("annotation", "K=V", "Annotation of the image", pair, many=True),
                Option("env", "K=V", "Variable of the image", pair, many=True),
                Option("unsetenv", "NAME", "Without this variable", many=True),
                Option("unsetlabel", "NAME", "Without this label", many=True),
                Option("squash", "", "The new layers become one"),
                Option("squash-all", "", "All layers become one"),
                Option("timestamp", "SECONDS", "When everything was made, for reproducible images", natural, aliases=("source-date-epoch",)),
                Option("compression-format", "FORMAT", "gzip or zstd", choices=("gzip", "zstd"), default="gzip"),
                *(option for option in PLATFORM if option.name != "platform"),
                Option("rewrite-timestamp", "", ignored="--timestamp always does"),
                Option("layers", "", ignored="every instruction that changes files makes a layer"),
                Option("manifest", "NAME", "Add the image to this index, one of each platform", complete="image"),
                Option("all-platforms", "", refused="give several to --platform"),
            ),
        ),
        Group(
            "Cache",
            (
                Option("no-cache", "", "Do everything again"),
                Option("no-cache-filter", "STAGE", "Do these stages again", many=True),
                Option("cache-from", "PLACE", "Take steps from type=local,src=, type=tar,src= or type=registry,ref=", many=True),
                Option("cache-to", "PLACE", "Keep steps and cache mounts in type=local, tar or registry", many=True),
                Option("pull", "POLICY", "always, missing, never or newer", choices=(*POLICIES, "true", "false"), bare="newer", default="missing"),
            ),
            (Option("cache-ttl", "TIME", "Older steps are done again", seconds),),
        ),
        Group(
            "RUN",
            (
                Option("secret", "id=NAME[,src=FILE|,env=NAME]", "A secret for RUN --mount=type=secret", many=True),
                Option("ssh", "default|NAME=SOCKET|KEY", "An ssh agent for RUN --mount=type=ssh", many=True),
                Option("network", "MODE", "default, none, host, pasta or slirp4netns", default="default"),
                Option("volume", "SOURCE:TARGET[:OPTIONS]", "Show a directory to every RUN", short="v", many=True),
                Option("add-host", "NAME:IP", "Line of /etc/hosts", many=True),
            ),
            (
                Option("dns", "IP", "Name server", many=True),
                Option("dns-option", "OPTION", "Resolver option", many=True),
                Option("dns-search", "DOMAIN", "Search domain", many=True),
                Option("http-proxy", "", "Give RUN the caller's proxy variables", default="true"),
                Option("cap-add", "CAP", "Further capability", many=True),
                Option("cap-drop", "CAP", "Without this capability", many=True),
                Option("device", "PATH", "Host device", many=True),
                Option("security-opt", "OPTION", "Loosen or tighten the sandbox", many=True),
                Option("ulimit", "TYPE=SOFT[:HARD]", "Resource limit", many=True),
                Option("shm-size", "SIZE", "Size of /dev/shm", size),
                Option("memory", "SIZE", "Limit of memory", size, short="m"),
                Option("memory-swap", "SIZE", "Limit of memory and swap", size),
                Option("cpu-period", "N", "Period of the CPU quota", natural),
                Option("cpu-quota", "N", "CPU time a period", natural),
                Option("cpu-shares", "N", "Weight of CPU time", natural, short="c"),
                Option("cpuset-cpus", "LIST", "CPUs to use"),
                Option("cpuset-mems", "LIST", "Memory nodes to use"),
                Option("allow", "RIGHT", "security.insecure or network.host", many=True),
                Option("userns", "MODE", "auto, private or host: every RUN has its own, with all ids"),
                Option("require", "TIER", "Fail rather than build with less than this"),
                Option("isolation", "KIND", ignored="every RUN has the sandbox of run"),
                Option("mount", "MOUNT", refused="use --volume, or RUN --mount"),
            ),
        ),
        Group(
            "Result",
            (
                Option("output", "type=T,dest=PATH", "Also local, tar, oci, docker or image", short="o", many=True),
                Option("iidfile", "FILE", "Write the image's id here", complete="file"),
                Option("metadata-file", "FILE", "Write digests and names here", complete="file"),
                Option("push", "", "Push the image under its names"),
                Option("load", "", ignored="the image is stored unless --output says otherwise"),
            ),
            (
                Option("attest", "WHAT", refused="attestations are not made"),
                Option("provenance", "MODE", bare="true", ignored="attestations are not made"),
                Option("sbom", "MODE", bare="true", refused="attestations are not made"),
            ),
        ),
        Group(
            "How",
            (
                Option("quiet", "", "Only the id, and the output of what fails", short="q"),
                Option("progress", "STYLE", "auto, plain, tty, rawjson or quiet", choices=("auto", "plain", "tty", "rawjson", "json", "quiet", "none"), default="auto"),
                Option("jobs", "N", "Stages at a time", natural),
                Option("check", "", "Only look for mistakes in the Dockerfile"),
                Option("explain", "", "Only show the steps, and which are in the cache"),
                Option("on-error", "WHAT", "stop, or shell: open one where a RUN failed", choices=("stop", "shell"), default="stop"),
            ),
            (
                Option("call", "METHOD", "build or check", choices=("build", "check")),
                Option("rm", "", ignored="nothing is left of a step"),
                Option("force-rm", "", ignored="nothing is left of a step"),
                Option("skip-unused-stages", "", ignored="only what the target needs is built"),
                Option("builder", "NAME", ignored="there is only one"),
                Option("debug", "", ignored="use --on-error=shell"),
            ),
        ),
        REGISTRY,
        _OTHERS,
    ),
    (Argument("context", "CONTEXT", "Directory, -, web address or git address", required=False, complete="directory"),),
    details="The context is where COPY and ADD take files from; . if none is named.",
)  # fmt: skip
