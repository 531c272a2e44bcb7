"""Formulas are parsed as lme4 does (`findbars`, `nobars`, `expandDoubleVerts`)."""

import pytest

from rparity.errors import FormulaError
from rparity.lmm.formula import Bar, expression, number_label, parse, terms
from rparity.lmm.lme4 import Lme4


@pytest.mark.parametrize(
    ("text", "response", "fixed", "offsets"),
    [
        ("y ~ x + (1 | p)", "y", "x", ()),
        ("y ~ (1 | p)", "y", "1", ()),
        ("y~0+(1|p)", "y", "0", ()),
        ("y ~ -1 + x", "y", "- 1 + x", ()),
        ("y ~ x + -1 + (x | p)", "y", "x - 1", ()),
        ("log( y+1 ) ~ a*b - a:b + (1|p) + I(x^2)", "log(y + 1)", "a*b - a:b + I(x^2)", ()),
        ("y ~ x + (z + (1 | g)) + w", "y", "x + z + w", ()),
        ("y ~ offset(2*z) + x + offset(w) + (1|g)", "y", "x", ("2 * z", "w")),
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
        ("y ~ x | g", "needs parentheses", "|"),
        ("y ~ x * (1 | g)", "must be added with `+`", "x"),
        ("y ~ x - (1 | g)", "cannot be subtracted", "-"),
        ("y ~ (1 | a | b)", "only one `|`", None),
        ("y ~ (1 | a + b)", "grouping factor must be", "+"),
        ("y ~ (1 | factor(a))", "grouping factor must be", None),
        ("y ~ x $ z", "not allowed here", "$"),
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
    "right", [".", "2:x", "x + (z - 1)", "a %in% b", "'a'", "x == z", "(x+1)*a"]
)
def test_terms_that_mean_something_else_in_formulaic_are_refused(right):
    with pytest.raises(FormulaError):
        terms(right)


def test_expressions_become_python():
    found = expression("log(size.x^2 + 1L, base = `my var`)")
    assert found.code == "log ( c0 ** 2 + 1 , base = c1 )"
    assert found.columns == ("size.x", "my var")
    assert found.functions == ("log",)


@pytest.mark.parametrize("label", ["I(a & b)", "I(!a)", "I(x %% 2)", "I(x:z)"])
def test_operators_that_bind_differently_in_python_are_refused(label):
    with pytest.raises(FormulaError, match="compute a column first"):
        expression(label)


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
