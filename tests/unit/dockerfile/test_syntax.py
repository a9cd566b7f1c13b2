"""Lines, comments, continuations, heredocs and directives."""

from __future__ import annotations

import pytest

from rootless.dockerfile.instructions import Copy, Heredoc, InlineFile, LintWarning, Onbuild, Run
from rootless.dockerfile.parser import parse
from rootless.dockerfile.syntax import read_document
from rootless.errors import InvalidRequest


def sources(text: str) -> list[str]:
    return [each.origin.source for each in read_document(text, name="Dockerfile").statements]


def one(text: str):
    return parse(f"FROM scratch\n{text}").stages[0].instructions[0]


def refusal(text: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    return caught.value.message


def test_a_continuation_joins_lines_and_keeps_the_indentation_of_the_second():
    assert sources("RUN a \\\n  && b\n") == ["RUN a   && b"]


def test_spaces_behind_the_escape_character_still_continue_the_line():
    assert sources("RUN a \\ \t\nb") == ["RUN a b"]


def test_an_escaped_escape_character_does_not_continue_the_line():
    assert sources("RUN a \\\\\nRUN b") == ["RUN a \\\\", "RUN b"]


def test_comments_between_continued_lines_vanish():
    assert sources("RUN a \\\n# no\n   # neither\nb") == ["RUN a b"]


def test_a_number_sign_inside_a_line_is_no_comment():
    assert sources("RUN echo a # b") == ["RUN echo a # b"]


def test_an_empty_line_inside_an_instruction_is_skipped_and_remarked_on():
    document = read_document("RUN a \\\n\n  b\nRUN c", name="Dockerfile")
    assert [each.origin.source for each in document.statements] == ["RUN a   b", "RUN c"]
    assert document.warnings == (LintWarning("NoEmptyContinuation", "Empty continuation line", 3),)


def test_a_continuation_at_the_end_of_the_file_ends_there():
    assert sources("RUN a \\") == ["RUN a"]
    assert sources("RUN a \\\n") == ["RUN a"]


def test_windows_line_ends_and_a_byte_order_mark_do_not_matter():
    assert sources("\ufeffFROM a\r\nRUN b \\\r\n c\r\n") == ["FROM a", "RUN b  c"]


def test_unusual_line_separators_do_not_end_a_line():
    assert sources("RUN echo a\u2028b\x0cc") == ["RUN echo a\u2028b\x0cc"]


def test_the_escape_directive_makes_backslashes_ordinary():
    assert sources("# escape=`\nRUN dir c:\\ `\n  d:\\\n") == ["RUN dir c:\\   d:\\"]


def test_directives_are_read_in_any_case_with_any_spaces():
    text = "#Syntax = docker/dockerfile:1 remark\n#  ESCAPE=`\n# check=skip=all;error=true\nFROM a"
    directives = parse(text).directives
    assert directives.syntax == "docker/dockerfile:1"
    assert directives.escape == "`"
    assert directives.check == "skip=all;error=true"


@pytest.mark.parametrize(
    "before", ["# just a comment\n", "\n", "# unknown=directive\n", "FROM a\n"]
)
def test_directives_stand_at_the_very_top_or_are_comments(before):
    assert parse(f"{before}# escape=`\nFROM a").directives.escape == "\\"


def test_a_shebang_may_stand_before_the_directives():
    directives = parse("#!/usr/bin/env build\n# check=skip=all\n# escape=`\nFROM a").directives
    assert (directives.check, directives.escape) == ("skip=all", "\\")


def test_a_directive_can_be_given_once():
    text = "# escape=`\n# escape=`\nFROM a"
    assert refusal(text) == "Dockerfile:2:1: only one escape parser directive can be used"


def test_only_backslash_and_backtick_can_be_the_escape_character():
    assert refusal("# escape=x\nFROM a").startswith("Dockerfile:1:1: invalid escape token 'x'")


def test_a_comment_belongs_to_the_next_instruction_unless_an_empty_one_ends_it():
    document = read_document("# a\nARG a\n# b\n#\nARG b\n# c\n# d\nARG c", name="x")
    assert [each.origin.comments for each in document.statements] == [("a",), (), ("c", "d")]


def test_positions_count_lines_and_columns_of_the_file():
    origin = read_document("\n  RUN a \\\n # c\n    b", name="x").statements[0].origin
    assert (origin.line, origin.end_line) == (2, 4)
    assert origin.at(origin.source.index("a")) == (2, 7)
    assert origin.at(origin.source.index("b")) == (4, 5)


def test_a_run_keeps_its_heredoc_as_it_was_written():
    run = one("RUN <<EOF\n  echo $a\n\n# not a comment \\\nEOF\n")
    assert isinstance(run, Run)
    assert run.command == ("<<EOF",)
    assert run.heredocs == (Heredoc("EOF", "  echo $a\n\n# not a comment \\\n"),)
    assert run.origin.end_line == 6


def test_the_terminator_of_a_heredoc_stands_alone_without_spaces():
    run = one("RUN <<EOF\n EOF\nEOF \nEOFX\nEOF\n")
    assert run.heredocs[0].content == " EOF\nEOF \nEOFX\n"


def test_a_dash_allows_tabs_before_the_terminator_and_removes_those_of_the_text():
    run = one("RUN <<-EOF\n\techo a\n\t\tb\n  \tc\n\tEOF\n")
    assert run.heredocs[0].content == "\techo a\n\t\tb\n  \tc\n"
    assert run.heredocs[0].text == "echo a\nb\n  \tc\n"


@pytest.mark.parametrize(
    ("word", "name", "expand"),
    [
        ("<<EOF", "EOF", True),
        ("3<<EOF", "EOF", True),
        ("<<'EOF'", "EOF", False),
        ('<<"EOF"', "EOF", False),
        ("<<E'O'F", "EOF", False),
        ("<<$NAME", "$NAME", True),
        ("<<it\\'s", "it's", True),
        ("<<'two words'", "two words", False),
        ("<< EOF", "EOF", True),
        ("<<file.txt", "file.txt", True),
    ],
)
def test_any_quote_in_its_name_makes_a_heredoc_literal(word, name, expand):
    heredoc = one(f"RUN {word}\n{name}\n").heredocs[0]
    assert (heredoc.name, heredoc.expand) == (name, expand)


@pytest.mark.parametrize(
    "command",
    ['RUN "<<EOF"', 'RUN ["cat", "<<EOF"]', "RUN echo $((1<<2<<3))'", "CMD <<EOF", "RUN <<<x"],
)
def test_what_is_quoted_or_no_heredoc_announces_none(command):
    instruction = one(command)
    assert getattr(instruction, "heredocs", ()) == ()


def test_several_heredocs_follow_one_another():
    copy = one("COPY <<A <<B /x/\nB\nA\nA\nB\n")
    assert isinstance(copy, Copy)
    assert copy.inline == (InlineFile("A", "B\n"), InlineFile("B", "A\n"))


def test_a_heredoc_that_does_not_end_is_refused_where_it_begins():
    text = "FROM a\nRUN cat \\\n  <<EOF\nx"
    assert refusal(text) == "Dockerfile:3:3: unterminated heredoc EOF"


def test_a_heredoc_behind_a_continued_line_begins_after_its_end():
    run = one("RUN <<EOF \\\n  cat\nhello\nEOF\n")
    assert run.command == ("<<EOF   cat",)
    assert run.heredocs[0].content == "hello\n"


def test_onbuild_keeps_the_heredoc_of_its_instruction():
    onbuild = one("ONBUILD RUN <<EOF cat\nhello\nEOF\n")
    assert isinstance(onbuild, Onbuild)
    assert onbuild.expression == "RUN <<EOF cat\nhello\nEOF"


def test_a_file_without_instructions_is_refused():
    for text in ("", "\n\n", "# escape=`\n", "\\\n"):
        assert refusal(text) == "Dockerfile: file with no instructions"
