"""Every Dockerfile of the corpus is understood, explained and laid out."""

from __future__ import annotations

import os
import stat

import pytest

from rootless.dockerfile.ignore import Ignore, read_ignore_file
from rootless.dockerfile.lint import Facts, lint
from rootless.dockerfile.parser import parse
from tests.support import corpus

CASES = corpus.cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_understood_and_stands_on_its_base(case):
    dockerfile = parse(case.text, name=case.file)
    assert lint(dockerfile, Facts()).failure is None
    images = {stage.base.image for stage in dockerfile.stages}
    assert images & {case.base, "scratch", "${BASE}"}


def test_the_readme_explains_every_case():
    with open(os.path.join(corpus.DIRECTORY, "README.md"), encoding="utf-8") as file:
        text = file.read()
    assert [case.name for case in CASES if f"| {case.name} | " not in text] == []


def test_the_context_is_laid_out_with_its_links_modes_and_archives(tmp_path):
    case = next(case for case in CASES if case.archives)
    directory = corpus.lay_out(case, str(tmp_path / "context"))
    names = os.listdir(directory)
    assert set(case.archives) <= set(names)
    assert not {"case.json", *case.archives.values()} & set(names)
    links = next(case for case in CASES if case.name == "copy-links")
    assert os.path.islink(corpus.lay_out(links, str(tmp_path / "links")) + "/tree/broken")
    web = next(case for case in CASES if case.name == "web-server")
    script = corpus.lay_out(web, str(tmp_path / "web")) + "/docker-entrypoint.sh"
    assert stat.S_IMODE(os.stat(script).st_mode) & 0o111


def test_ignore_files_say_what_their_dockerfiles_test():
    case = next(case for case in CASES if case.name == "ignore-file")
    with open(os.path.join(case.directory, ".dockerignore"), encoding="utf-8") as file:
        ignore = Ignore(read_ignore_file(file.read()))
    assert ignore.excludes("secret/public/draft")
    assert not ignore.excludes("secret/public/key.pub")
