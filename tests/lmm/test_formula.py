"""Formulas are parsed as lme4 does (`findbars`, `nobars`, `expandDoubleVerts`)."""

import pytest

from rparity.errors import FormulaError
from rparity.lmm.language.expression import deparse, expression, names, number_label
from rparity.lmm.language.formula import Bar, parse, terms
from rparity.lmm.lme4 import Lme4


@pytest.mark.parametrize(
    ("text", "response", "fixed", "offsets"),
    [
        ("y ~ x + (1 | p)", "y", "x", ()),
        ("y ~ (1 | p)", "y", "1", ()),
        ("y~0+(1|p)", "y", "0", ()),
        ("y ~ -1 + x", "y", "-1 + x", ()),
        ("y ~ x + -1 + (x | p)", "y", "x + -1", ()),
        ("log( y+1 ) ~ a*b - a:b + (1|p) + I(x^2)", "log(y + 1)", "a * b - a:b + I(x^2)", ()),
        ("y ~ x + (z + (1 | g)) + w", "y", "x + (z) + w", ()),
        (
            "y ~ offset(2*z) + x + offset(w) + (1|g)",
            "y",
            "offset(2 * z) + x + offset(w)",
            ("2 * z", "w"),
        ),
        ("y ~ (a + b)^2 + I(a | b)", "y", "(a + b)^2 + I(a | b)", ()),
        ("y ~\n  x + (1 | p)", "y", "x", ()),
        ("`my y` ~ `my x` + (1 | p)", "`my y`", "`my x`", ()),
    ],
)
def test_fixed_part(text, response, fixed, offsets):
    found = parse(text)
    assert (found.response, found.fixed, found.offsets) == (response, fixed, offsets)


@pytest.mark.parametrize(
    ("term", "bars"),
    [
        ("(1 | g)", [Bar("1", ("g",), "g")]),
        ("((x + z | g))", [Bar("x + z", ("g",), "g")]),
        ("(1 | a:b)", [Bar("1", ("a", "b"), "a:b")]),
        ("(1 | (a:b))", [Bar("1", ("a", "b"), "a:b")]),
        ("(1 | a/b)", [Bar("1", ("b", "a"), "b:a"), Bar("1", ("a",), "a")]),
        (
            "(x | a/b/c)",
            [
                Bar("x", ("c", "b", "a"), "c:b:a"),
                Bar("x", ("b", "a"), "b:a"),
                Bar("x", ("a",), "a"),
            ],
        ),
        ("(1 | a/b:c)", [Bar("1", ("c", "b", "a"), "c:b:a"), Bar("1", ("a",), "a")]),
        ("(1 | (a:b)/c)", [Bar("1", ("c", "b", "a"), "c:b:a"), Bar("1", ("b", "a"), "b:a")]),
        ("(x || g)", [Bar("1", ("g",), "g"), Bar("0 + x", ("g",), "g")]),
        ("(0 + x || g)", [Bar("0 + x", ("g",), "g")]),
        ("(1 || g)", [Bar("1", ("g",), "g")]),
        (
            "(x * z || g)",
            [Bar(lhs, ("g",), "g") for lhs in ("1", "0 + x", "0 + z", "0 + x:z")],
        ),
        (
            "(x || a/b)",
            [
                Bar("1", ("b", "a"), "b:a"),
                Bar("1", ("a",), "a"),
                Bar("0 + x", ("b", "a"), "b:a"),
                Bar("0 + x", ("a",), "a"),
            ],
        ),
        ("(1 | `my g`)", [Bar("1", ("my g",), "my g")]),
    ],
)
def test_bars(term, bars):
    assert list(parse(f"y ~ x + {term}").bars) == bars


@pytest.mark.parametrize(
    ("term", "names"),
    [
        ("(1 | (a:b))", ["(a:b)"]),
        ("(1 | a/b/c)", ["c:(b:a)", "b:a", "a"]),
        ("(1 | a/b:c)", ["b:c:a", "a"]),
    ],
)
def test_names_of_groups_before_lme4_1_1_36(term, names):
    assert [bar.name for bar in parse(f"y ~ x + {term}", Lme4("1.1-35.5")).bars] == names
    assert [bar.name for bar in parse(f"y ~ x + {term}", Lme4("1.1-36")).bars] != names


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("y ~ x + (1 | p", "is not closed", "("),
        ("y ~ x + 1 | p)", "no opening one", ")"),
        ("y x", "operator is missing", "x"),
        ("y", "one `~`", "y"),
        ("~ x", "The response is missing", "~"),
        ("y ~ a ~ b", "one `~`", None),
        ("y ~ x + + * z", "term is missing", "*"),
        ("y ~ (| g)", "term is missing", "|"),
        ("y ~ (1 | )", "term is missing", ")"),
        ("y ~ x * (1 | g)", "must be added with `+`", "*"),
        ("y ~ x + !l + (1 | g)", "must be added with `+`", "!"),
        ("y ~ x - (1 | g)", "cannot be subtracted", "-"),
        ("y ~ (1 | a | b)", "only one `|`", None),
        ("y ~ (1 | a + b)", "grouping factor must be", "+"),
        ("y ~ (1 | factor(a))", "grouping factor must be", None),
        ("y ~ x ; z", "not allowed here", ";"),
        ("y ~ x z", "operator is missing", "z"),
        ("y ~ f(x, ) + z", "term is missing", ")"),
        ("y ~ x[1", "is not closed", "["),
    ],
)
def test_a_caret_marks_the_error(text, message, place):
    with pytest.raises(FormulaError, match=message.replace("|", r"\|").replace("+", r"\+")) as e:
        parse(text)
    _, shown, caret = str(e.value).split("\n")
    assert shown.strip() == text
    if place is not None:
        assert shown[caret.index("^")] == place


def test_a_missing_term_is_marked_at_the_end():
    with pytest.raises(FormulaError) as e:
        parse("y ~ x +")
    assert str(e.value).split("\n")[2] == " " * 11 + "^"


@pytest.mark.parametrize(
    ("right", "intercept", "found"),
    [
        ("x", True, [("x",)]),
        ("0 + x", False, [("x",)]),
        ("x - 1", False, [("x",)]),
        ("x + 0 + 1", True, [("x",)]),
        ("1", True, []),
        ("-1", False, []),
        ("a * b", True, [("a",), ("b",), ("a", "b")]),
        ("a:b + b", True, [("b",), ("a", "b")]),
        ("b + a:b", True, [("b",), ("b", "a")]),
        ("(a + b)/c", True, [("a",), ("b",), ("a", "b", "c")]),
        ("(a + b + c)^2 - a:b", True, [("a",), ("b",), ("c",), ("a", "c"), ("b", "c")]),
        ("x:x + x", True, [("x",)]),
        ("log(x+1,2):a.b", True, [("log(x + 1, 2)", "a.b")]),
        ("I( x**2/2.50 )", True, [("I(x^2/2.5)",)]),
        ("I(100000*x)", True, [("I(1e+05 * x)",)]),
        ("I(f=='1')", True, [('I(f == "1")',)]),
        ("`x` + `my var`", True, [("x",), ("`my var`",)]),
    ],
)
def test_terms_have_the_labels_and_order_of_r(right, intercept, found):
    made = terms(right)
    assert made.intercept is intercept
    assert list(made.terms) == found


@pytest.mark.parametrize(
    ("right", "message"),
    [
        (".", "`.` for all other columns"),
        ("2:x", "Numbers other than 0 and 1"),
        ("x + 'a'", "Text is allowed only inside"),
        ("x^z", "The power of a term is a whole number"),
        ("(x+1.5)*a", "Numbers other than 0 and 1"),
    ],
)
def test_terms_that_r_does_not_allow_are_refused(right, message):
    with pytest.raises(FormulaError, match=message):
        terms(right)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("log(size.x^2+1L,base=`my var`)", "log(size.x^2 + 1, base = `my var`)"),
        ("x %in% c('a',\"b\")", 'x %in% c("a", "b")'),
        ("x%%2+x%/%3", "x%%2 + x%/%3"),
        ("-x^-2:(a|b)&!c", "-x^-2:(a | b) & !c"),
        ("stats::poly( x ,2 )[ ,1]", None),
        ("x[1:3]+df$z", "x[1:3] + df$z"),
        ("f('a\\n\\\\', 1e5, 0x10, TRUE, NULL, NA)", 'f("a\\n\\\\", 1e+05, 16, TRUE, NULL, NA)'),
        ("!a == b | c<d", "!a == b | c < d"),
        ("2^3^-x", "2^3^-x"),
    ],
)
def test_expressions_are_written_as_by_deparse(text, label):
    if label is not None:
        assert deparse(expression(text)) == label


@pytest.mark.parametrize(
    ("tight", "loose"),
    [
        ("-(x^2)", "-x^2"),
        ("(-x):y", "-x:y"),
        ("!(x == y)", "!x == y"),
        ("(!x) | y", "!x | y"),
        ("2^(3^x)", "2^3^x"),
        ("(x %% 2) * y", "x %% 2 * y"),
        ("x + (y %in% z)", "x + y %in% z"),
        ("(x & y) | z", "x & y | z"),
        ("x^(-1)", "x^-1"),
        ("(a - b) - c", "a - b - c"),
    ],
)
def test_operators_bind_as_in_r(tight, loose):
    def shape(node):
        if not hasattr(node, "operands"):
            return node
        inside = tuple(map(shape, node.operands))
        return inside[0] if node.function == "(" else (node.function, inside)

    assert shape(expression(tight)) == shape(expression(loose))


def test_variables_of_an_expression_are_named_once():
    assert names(expression("log(size.x + `my var`, base = size.x) + d$z")) == (
        "size.x",
        "my var",
        "z",
    )


def test_a_formula_is_text():
    with pytest.raises(FormulaError, match="The formula is a NoneType"):
        parse(None)


@pytest.mark.parametrize(
    ("text", "lhs"), [("y ~ 1 | g", "1"), ("y ~ x + 1 | g", "x + 1"), ("y ~ (x | g)", "x")]
)
def test_a_single_random_term_needs_no_parentheses(text, lhs):
    assert parse(text).bars == (Bar(lhs, ("g",), "g"),)
    assert parse(text).fixed == "1"


@pytest.mark.parametrize(
    ("term", "names", "newer"),
    [
        ("(1 | `a b`/`c d`)", ["`c d`:`a b`", "a b"], ["`c d`:`a b`", "a b"]),
        ("(1 | `a b`/c/d)", ["d:(c:`a b`)", "c:`a b`", "a b"], ["d:c:`a b`", "c:`a b`", "a b"]),
    ],
)
def test_names_of_groups_keep_backticks_inside_a_colon(term, names, newer):
    assert [bar.name for bar in parse(f"y ~ x + {term}", Lme4("1.1-31")).bars] == names
    assert [bar.name for bar in parse(f"y ~ x + {term}").bars] == newer


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (1.0, "1"),
        (100000.0, "1e+05"),
        (123456.0, "123456"),
        (1e-4, "1e-04"),
        (0.1 + 0.2, "0.3"),
        (-2.5, "-2.5"),
        (1e15, "1e+15"),
        (123456789012.0, "123456789012"),
        (1 / 3, "0.333333333333333"),
        (0.0, "0"),
    ],
)
def test_numbers_are_written_as_in_r(value, label):
    assert number_label(value) == label
