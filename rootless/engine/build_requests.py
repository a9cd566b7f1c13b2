"""What ``build`` is asked: one field a flag, under the flag's name; and what it answers.

As for ``engine.requests``: relative paths are absolute, sizes are bytes, files of pairs are pairs.
Texts with a grammar of their own (secrets, outputs, caches, contexts) stay text; ``build.grammar`` reads them.
"""

from rootless.typed import NamedTuple

Texts = tuple[str, ...]


class BuildRequest(NamedTuple):
    """An image to build.  ``None`` means: as the Dockerfile or the host says.

    ``context`` is an absolute directory, "-" (standard input: a Dockerfile or a tar), a web address or a git
    address.  ``file`` is an absolute path, "-" for standard input, or for a remote context a path in it.
    """

    context: str
    file: str | None = None
    tag: Texts = ()
    target: str = ""
    build_arg: Texts = ()  # K=V
    build_context: Texts = ()  # NAME=docker-image://..., oci-layout://..., directory, address
    ignorefile: str | None = None
    base: str | None = None  # --from: instead of the image of the first FROM
    # the image
    platform: Texts = ()  # os/arch[/variant]; several make an index
    label: Texts = ()  # K=V
    annotation: Texts = ()  # K=V
    env: Texts = ()  # K=V
    unsetenv: Texts = ()
    unsetlabel: Texts = ()
    format: str = "oci"  # oci, docker
    squash: bool = False  # the new layers become one
    squash_all: bool = False  # all layers become one
    timestamp: int | None = None  # seconds since the epoch: --timestamp, --source-date-epoch
    compression_format: str = "gzip"
    # cache
    no_cache: bool = False
    no_cache_filter: Texts = ()  # names of stages
    cache_from: Texts = ()
    cache_to: Texts = ()
    cache_ttl: float | None = None  # seconds
    # base images
    pull: str = "missing"  # always, missing, never, newer
    authfile: str | None = None
    creds: str | None = None
    tls_verify: bool | None = None
    cert_dir: str | None = None
    retry: int | None = None
    retry_delay: float | None = None
    # RUN
    secret: Texts = ()  # id=NAME[,src=FILE|,env=VARIABLE]
    ssh: Texts = ()  # default | NAME[=SOCKET|KEY[,KEY]]
    network: str = "default"  # default, none, host, pasta, slirp4netns
    add_host: Texts = ()
    dns: Texts = ()
    dns_option: Texts = ()
    dns_search: Texts = ()
    http_proxy: Texts = ()  # K=V: the caller's proxy variables
    volume: Texts = ()  # SOURCE:TARGET[:OPTIONS], for every RUN
    cap_add: Texts = ()
    cap_drop: Texts = ()
    device: Texts = ()
    security_opt: Texts = ()
    ulimit: Texts = ()
    shm_size: int | None = None
    memory: int | None = None
    memory_swap: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    allow: Texts = ()  # security.insecure, network.host
    userns: str | None = None
    require: str | None = None  # the weakest tier that will do
    # results
    output: Texts = ()  # type=local|tar|oci|docker|image,dest=...,push=true
    push: bool = False
    manifest: str | None = None  # add the image to this index
    iidfile: str | None = None
    metadata_file: str | None = None
    # how
    jobs: int = 0  # 0: as many as there are processors
    quiet: bool = False
    check: bool = False  # only lint
    explain: bool = False  # only plan
    on_error: str = "stop"  # stop, shell


class BuildResult(NamedTuple):
    """The image that was built; with ``--check`` or ``--explain`` only ``lines`` to print."""

    image_id: str = ""
    digest: str = ""
    names: Texts = ()
    lines: Texts = ()
    warnings: int = 0
