"""build: a Dockerfile and a context become an image."""

from __future__ import annotations

import os
import time

from rootless import events, files
from rootless.build import grammar
from rootless.build.cache import Cache
from rootless.build.context import open_context
from rootless.build.fingerprint import ContentDigests
from rootless.build.plan import plan_build
from rootless.build.stage_run import StageRun
from rootless.build.stage_run import explain as explain_runs
from rootless.build.stages import Choices, context_name, images_of, outline
from rootless.build.steps import CONTEXT, RunStep, Tree
from rootless.build.workshop import Settings, Workshop
from rootless.dockerfile.arguments import unused_arguments
from rootless.dockerfile.parser import parse
from rootless.engine import build_check, tiers
from rootless.engine.build_deferred import ImportedCaches, Launcher
from rootless.engine.build_requests import BuildResult
from rootless.engine.build_results import Built, deliver
from rootless.engine.build_sources import open_directory, open_source
from rootless.engine.images import ensure, find
from rootless.errors import InvalidRequest, NotFound, RootlessError
from rootless.image.digest import digest_of, encoded
from rootless.image.platforms import parse_platform, platform_of_machine, platform_text
from rootless.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.build.context import Context
    from rootless.build.plan import BuildPlan
    from rootless.build.stages import Outline
    from rootless.dockerfile.instructions import Dockerfile
    from rootless.engine import Engine
    from rootless.engine.build_requests import BuildRequest
    from rootless.engine.build_sources import Source
    from rootless.events import Report
    from rootless.image.digest import ChainID
    from rootless.image.documents import Image


def build(engine: Engine, request: BuildRequest, report: Report = events.ignore) -> BuildResult:
    """Build an image, name it and hand it out as the request says.

    Raises BuildFailed for an instruction that failed, InvalidRequest for a Dockerfile that makes no sense.
    Whatever happens, only finished things stay: layers in the cache, or the whole image.
    """
    build_check.check_supported(request)
    if request.require:
        tiers.demand(engine.host, request.require)
    engine.tell_loss(report)
    # Until the image has its name nothing refers to its layers: prune has to wait.
    with engine.use_store(), files.scratch(engine.paths.scratch, "build") as scratch:
        try:
            return _Build(engine, request, report, scratch).run()
        finally:
            for name in os.listdir(scratch):
                engine.layers.remove(f"{scratch}/{name}")


class _Prepared(NamedTuple):
    """One platform's build before anything is done."""

    platform: str
    plan: BuildPlan
    runs: list[StageRun]
    built: dict[str, tuple[ChainID, ...]]
    images: dict[Tree, Image]
    launcher: Launcher


class _Build:
    def __init__(self, engine: Engine, request: BuildRequest, report: Report, scratch: str):
        self._engine = engine
        self._request = request
        self._report = report
        self._scratch = scratch
        self._build_args = grammar.pairs(request.build_arg, "--build-arg")
        self._contexts: dict[Tree, Context] = {}
        self._names: dict[str, Tree] = {}
        self._layouts: dict[str, str] = {}
        self._steps = 0
        here = platform_of_machine(os.uname().machine)
        self._build_platform = platform_text(here)
        self._digests = ContentDigests(self._digests_path())

    def run(self) -> BuildResult:
        source = open_source(self._request, self._engine.paths, self._scratch)
        dockerfile = parse(source.text, name=source.name)
        strict = build_check.is_strict(dockerfile, self._build_args)
        if self._request.check or strict:
            choices = self._choices(self._platforms()[0])
            checked = build_check.check(self._engine, dockerfile, source, self._request, choices)
            if self._request.check:
                return checked
        self._warn(dockerfile)
        self._imported = ImportedCaches(self._engine, self._request, self._report, self._scratch)
        self._name_contexts(source)
        prepared = [self._prepare(dockerfile, source, each) for each in self._platforms()]
        if self._request.explain:
            return BuildResult(
                lines=tuple(line for each in prepared for line in explain_runs(each.runs))
            )
        # A look into the cache stays one: whoever built it has read the remarks.
        is_new = any(not run.finished for each in prepared for run in each.runs)
        builds = [self._finish(each) for each in prepared]
        if self._request.cache_to:
            self._export_cache(prepared)
        result = deliver(
            self._engine, self._request, builds, report=self._report, scratch=self._scratch
        )
        if is_new and not strict:
            build_check.remark(
                self._engine,
                dockerfile,
                source,
                self._request,
                self._choices(prepared[0].platform),
                report=self._report,
            )
        return result

    def _export_cache(self, prepared: list[_Prepared]) -> None:
        from rootless.engine import build_cache
        from rootless.engine.registries import access_of

        for text in self._request.cache_to:
            place = grammar.parse_cache(text, "--cache-to")
            runs = [run for each in prepared for run in each.runs]
            if place.mode == "min":
                runs = [each.runs[-1] for each in prepared]
            build_cache.export(
                self._engine,
                place,
                {key: record for run in runs for key, record in run.used.items()},
                self._cache_ids(prepared),
                scratch=self._scratch,
                access=access_of(self._request),
                report=self._report,
            )

    def _cache_ids(self, prepared: list[_Prepared]) -> list[str]:
        """The cache mounts that the build uses."""
        from rootless.build import cache_mounts

        namespace = self._build_args.get("BUILDKIT_CACHE_MOUNT_NS", "")
        found: dict[str, None] = {}
        for each in prepared:
            for stage in each.plan.stages:
                for step in stage.steps:
                    for mount in step.mounts if isinstance(step, RunStep) else ():
                        if mount.type == "cache":
                            found[cache_mounts.full_id(namespace, mount.id)] = None
        return list(found)

    def _platforms(self) -> list[str]:
        texts = self._request.platform or (self._build_platform,)
        split = [each for text in texts for each in text.split(",") if each]
        return [platform_text(parse_platform(each)) for each in dict.fromkeys(split)]

    def _warn(self, dockerfile: Dockerfile) -> None:
        unused = unused_arguments(dockerfile, self._build_args)
        if unused:
            text = f"no ARG of the Dockerfile takes the build arguments {', '.join(unused)}"
            self._report(events.Notice(text, "warning"))

    def _name_contexts(self, source: Source) -> None:
        """What ``--build-context`` puts in the place of images and stages."""
        if source.context.directory is not None:
            self._contexts[CONTEXT] = source.context
        for text in self._request.build_context:
            named = grammar.parse_context(text)
            name = context_name(named.name)
            if named.kind == "image":
                self._names[name] = Tree("image", named.value)
            elif named.kind == "layout":
                self._names[name] = Tree("image", f"layout:{name}")
                self._layouts[f"layout:{name}"] = named.value
            else:
                tree = Tree("named", name)
                directory = open_directory(
                    named.value, named.kind, self._engine.paths, self._scratch
                )
                self._contexts[tree] = open_context(directory, None)._replace(
                    name=f"build context {named.name}"
                )
                self._names[name] = tree

    def _prepare(self, dockerfile: Dockerfile, source: Source, platform: str) -> _Prepared:
        """Plan, and go as far as the cache leads without doing anything."""
        choices = self._choices(platform)
        images = self._resolve(dockerfile, choices)
        plan = plan_build(dockerfile, choices, {tree: each.config for tree, each in images.items()})
        launcher = Launcher(self._engine, self._request, self._report)
        workshop = self._workshop(source, images, launcher)
        built: dict[str, tuple[ChainID, ...]] = {}
        runs = []
        for stage in plan.stages:
            alone = len(plan.stages) == 1 and not stage.name
            title = "" if alone else f"{stage.label} "
            if len(self._request.platform) > 1:
                title = f"{stage.platform} {title}"
            run = StageRun(stage, workshop, built, first_step=self._steps, title=title)
            self._steps += len(stage.steps) + 1
            runs.append(run)
            self._look_up(run, runs, built, images)
        self._digests.save()
        return _Prepared(platform, plan, runs, built, images, launcher)

    def _choices(self, platform: str) -> Choices:
        return Choices(
            target=self._request.target,
            build_args=self._build_args,
            platform=platform,
            build_platform=self._build_platform,
            contexts=self._names,
            base=self._request.base or "",
        )

    def _look_up(
        self,
        run: StageRun,
        runs: list[StageRun],
        built: dict[str, tuple[ChainID, ...]],
        images: dict[Tree, Image],
    ) -> None:
        base = run.plan.base
        if base.kind == "stage":
            if base.name not in built:
                return
            below = next(each for each in runs if str(each.plan.number) == base.name)
            run.begin(built[base.name], below.records)
        else:
            run.begin(images[base].chain if base.kind == "image" else (), ())
        if run.advance(self._report, execute=False):
            built[str(run.plan.number)] = run.chain

    def _resolve(self, dockerfile: Dockerfile, choices: Choices) -> dict[Tree, Image]:
        """Every image that the target needs; a base image's ONBUILD may add more."""
        images: dict[Tree, Image] = {}
        while True:
            known = {tree: each.config for tree, each in images.items()}
            outlines = outline(dockerfile, choices, known)
            missing = [tree for tree in images_of(outlines) if tree not in images]
            if not missing:
                return images
            for tree in missing:
                images[tree] = self._image(tree, outlines, dockerfile.name)

    def _image(self, tree: Tree, outlines: tuple[Outline, ...], name: str) -> Image:
        request = self._request
        platform = None if tree.platform == self._build_platform else tree.platform
        try:
            if tree.name in self._layouts:
                from rootless.engine.layouts import import_image

                return import_image(self._engine, self._layouts[tree.name], platform, self._report)
            stored = self._stored(tree.name, platform)
            if stored is not None:
                return stored
            from rootless.engine.registries import access_of

            return ensure(
                self._engine,
                tree.name,
                policy=request.pull,
                platform=platform,
                report=self._report,
                access=access_of(request),
            )
        except RootlessError as error:
            line = next((each.line for each in outlines if each.base == tree), 0)
            where = f"{name}:{line}: " if line else ""
            error.message = f"{where}{error.message}"
            raise

    def _stored(self, name: str, platform: str | None) -> Image | None:
        """A complete image of the store, where that is enough."""
        if self._request.pull not in ("missing", "never"):
            return None
        try:
            image = find(self._engine, name, platform)
        except NotFound:
            return None
        return image if all(map(self._engine.layers.has, image.chain)) else None

    def _workshop(self, source: Source, images: dict[Tree, Image], launcher: Launcher) -> Workshop:
        engine, request = self._engine, self._request
        oldest = None if request.cache_ttl is None else time.time() - request.cache_ttl
        settings = Settings(
            dockerfile=source.name,
            timestamp=self._timestamp(),
            limits=self._limits(),
            no_cache=request.no_cache,
            no_cache_stages=frozenset(each.lower() for each in request.no_cache_filter),
            cache_namespace=self._build_args.get("BUILDKIT_CACHE_MOUNT_NS", ""),
            compression=request.compression_format,
            secrets=grammar.parse_secrets(request.secret, os.environ),
            ssh=grammar.parse_ssh(request.ssh),
            on_error=request.on_error,
        )
        return Workshop(
            paths=engine.paths,
            id_map=engine.id_map,
            driver=engine.driver,
            layers=engine.layers,
            layout=engine.layout,
            cache=Cache(
                engine.paths.steps,
                [each.contents.records for each in self._imported.opened],
                oldest_s=oldest,
            ),
            launcher=launcher,
            contexts=self._contexts,
            chains={tree: each.chain for tree, each in images.items()},
            scratch=self._scratch,
            digests=self._digests,
            fetch=self._imported.fetch,
            settings=settings,
        )

    def _limits(self) -> tuple[str, ...]:
        size = self._request.shm_size
        memory = () if size is None else (f"--shm-size={size}",)
        return (*memory, *(f"--ulimit={each}" for each in sorted(self._request.ulimit)))

    def _timestamp(self) -> int | None:
        if self._request.timestamp is not None:
            return self._request.timestamp
        text = self._build_args.get("SOURCE_DATE_EPOCH", "")
        if not text:
            return None
        if not text.isdecimal():
            raise InvalidRequest(f"SOURCE_DATE_EPOCH={text} is not a number of seconds")
        return int(text)

    def _finish(self, prepared: _Prepared) -> Built:
        """Do what is not in the cache."""
        request = self._request
        left = [run for run in prepared.runs if not run.finished]
        if left:
            steps = [step for run in left for step in run.plan.steps[run.position :]]
            self._imported.restore_mounts(self._cache_ids([prepared]))
            prepared.launcher.check(tuple(each for each in steps if isinstance(each, RunStep)))
            from rootless.build.workers import build_stages

            shell = request.on_error == "shell"
            build_stages(
                prepared.runs,
                prepared.built,
                self._report,
                jobs=1 if shell else request.jobs or os.cpu_count() or 1,
                interactive=shell,
            )
            self._engine.layers.sync()
        target = prepared.plan.target
        base = target
        while base.base.kind == "stage":
            base = prepared.plan.stage(int(base.base.name))
        last = prepared.runs[-1]
        built = Built(
            platform=target.platform if base.base.kind != "image" else prepared.platform,
            plan=target,
            base=prepared.images.get(base.base),
            records=last.records,
            chain=last.chain,
            timestamp=self._timestamp(),
        )
        if request.squash or request.squash_all:
            from rootless.engine.build_squash import squash

            built = squash(last.workshop, built, base_too=request.squash_all)
        return built

    def _digests_path(self) -> str:
        name = encoded(digest_of(self._request.context.encode()))
        return f"{self._engine.paths.cache}/contexts/{name}.json"
