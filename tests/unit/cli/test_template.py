"""``--format`` understands the Go templates that people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.cli.template_run import Fields, render
from rootless.errors import InvalidRequest

VALUE = Fields(
    ID="0123abcd", Names=["web", "db"], Size=12, Ratio=1.5, On=True, Off=False, None_=None, Empty=[],
    Labels={"b": "2", "a": "1"}, State={"Status": "running", "Health": {"Log": [{"Exit": 0}, {"Exit": 1}]}},
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain", "plain"),
        ("{{.ID}}", "0123abcd"),
        ("{{ .ID }}:{{.Size}}", "0123abcd:12"),
        ("{{json .Names}}", '["web","db"]'),
        ("{{.Labels | json}}", '{"b":"2","a":"1"}'),
        ("{{json .State.Health.Log}}", '[{"Exit":0},{"Exit":1}]'),
        ("{{range .Names}}<{{.}}>{{end}}", "<web><db>"),
        ("{{range $i, $n := .Names}}{{if $i}},{{end}}{{$i}}={{$n}}{{end}}", "0=web,1=db"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Names}}{{$.ID}} {{end}}", "0123abcd 0123abcd "),
        ("{{range .Names}}{{if eq . \"db\"}}{{continue}}{{end}}{{.}}{{end}}", "web"),
        ("{{range .State.Health.Log}}{{.Exit}}{{break}}{{end}}", "0"),
        ("{{if .On}}yes{{else}}no{{end}}", "yes"),
        ("{{if .Off}}a{{else if .Empty}}b{{else}}c{{end}}", "c"),
        ("{{if and .On (eq .State.Status \"running\")}}up{{end}}", "up"),
        ("{{if or .Off .None_}}x{{end}}", ""),
        ("{{if not .Off}}x{{end}}", "x"),
        ("{{with .State}}{{.Status}}{{end}}", "running"),
        ("{{with .None_}}x{{else}}y{{end}}", "y"),
        ("{{$x := .Size}}{{$x = 13}}{{$x}}", "13"),
        ("{{join .Names \", \"}}", "web, db"),
        ("{{.ID | printf \"%.4s\" | upper}}", "0123"),
        ("{{printf \"%-10s|%5d|%05.2f|%t|%q|%x|%v|%%\" .ID .Size .Ratio .On .ID 255 .Names}}",
         '0123abcd  |   12|01.50|true|"0123abcd"|ff|[web db]|%'),
        ("{{len .Names}} {{len .ID}}", "2 8"),
        ("{{index .Names 1}} {{index .Labels \"a\"}} {{index .State.Health.Log 1}}", "db 1 map[Exit:1]"),
        ("{{(index .State.Health.Log 1).Exit}}", "1"),
        ("{{slice .ID 0 4}} {{truncate .ID 2}}", "0123 01"),
        ("{{split \"a:b\" \":\" | json}}", '["a","b"]'),
        ("{{title \"abc\"}} {{lower \"ABC\"}} {{pad \"x\" 1 2}}|", "Abc abc  x  |"),
        ("{{.Labels.missing}}", "<no value>"),
        ("{{.Labels}} {{.On}} {{.Ratio}}", "map[a:1 b:2] true 1.5"),
        ("a  {{- .Size -}}  b", "a12b"),
        ("{{/* a }} comment */}}x", "x"),
        ("{{\"a\\tb\"}}{{`c\\td`}}", "a\tbc\\td"),
        ("{{print .Size .Size}} {{print \"a\" 1}}", "12 12 a1"),
        ("{{eq .Size 1 12}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2 2}}", "true true true true false true"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{-3}}", "-3"),
        ("{{urlquery \"a b&c\"}}", "a+b%26c"),
    ],
)  # fmt: skip
def test_templates(source, text):
    assert render(source, VALUE) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{.Nope}}", "there is no .Nope; there are .ID"),
        ("{{.ID.x}}", "has no .x"),
        ("{{.ID", "no }}"),
        ("{{end}}", "end without"),
        ("{{if .On}}", "if has no end"),
        ("{{range .Names}}{{else}}{{else}}{{end}}", "range has no end"),
        ("{{nope .ID}}", "no function 'nope'"),
        ("{{index .Names 7}}", "no element 7"),
        ("{{len .Size}}", "len cannot be used like that"),
        ('{{printf "%d"}}', "%d has no value"),
        ('{{printf "%d" "x"}}', "%d cannot print 'x'"),
        ('{{"open}}', "no }}"),
        ("{{(.ID}}", "ends too early"),
        ("{{.ID .ID}}", "unexpected '.ID'"),
        ("{{.ID | .Size}}", "only a function"),
        ('{{template "x"}}', "template is not supported"),
        ("{{break}}", "without range"),
        ("{{$x}}", "no variable \\$x"),
        ("{{range .ID}}{{end}}", "cannot range over"),
        ("{{}}", "ends too early"),
        ("{{@}}", "unexpected '@'"),
    ],
)
def test_a_template_that_is_wrong_says_why(source, message):
    with pytest.raises(InvalidRequest, match=message):
        render(source, VALUE)


@given(st.text(alphabet='{}.-|()$:=,"`\\ \n%AIDNamesifendrangewithelseprintf01/*', max_size=60))
def test_any_text_is_rendered_or_refused(source):
    try:
        render(source, VALUE)
    except InvalidRequest:
        pass


@given(st.lists(st.sampled_from(
    ["{{if .On}}", "{{end}}", "{{else}}", "{{range .Names}}", "{{.}}", "{{with .State}}", "x", "{{break}}", "{{$x := .}}", "{{$x}}", "{{else if .Off}}"]
), max_size=12))  # fmt: skip
def test_any_nesting_is_rendered_or_refused(pieces):
    try:
        render("".join(pieces), VALUE)
    except InvalidRequest:
        pass
