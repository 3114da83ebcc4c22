"""No function is longer or more branched than the limits, but for those with a reason; and the counter counts."""
import textwrap

import pytest

import functions


def test_no_function_is_out_of_bounds():
    assert functions.faults(functions.measured()) == []


@pytest.mark.parametrize("text, expected", [
    ("int f(void)\n{\n        return 0;\n}\n", [("f", 1, 4, 0)]),
    ("static int a(int x) { return x && x > 1 ? 1 : 2; }\n", [("a", 1, 1, 2)]),
    ('void b(void)\n{\n        puts("if (x) { && }"); /* if { */\n}\n', [("b", 1, 4, 0)]),
    ("#define M(x) do { if (x) y(); } while (0)\nvoid c(void) { M(1); }\n", [("c", 2, 1, 0)]),
    ("struct s { int x; } t = { .x = (1) };\nint d(int k)\n{\n        switch (k) {\n        case 1:\n        case 2:\n"
     "                return 1;\n        case 3:\n                return 2;\n        }\n        return '{';\n}\n",
     [("d", 2, 11, 1)]),
    ("void e(json_t *o)\n{\n        json_array_foreach(o, i, v)\n                for (;;)\n                        ;\n}\n",
     [("e", 1, 6, 2)]),
    ("void g(const char *format, ...) printf_like(1, 2);\nvoid h(int x unused_arg)\n{\n}\n", [("h", 2, 3, 0)]),
])
def test_the_counter(tmp_path, monkeypatch, text, expected):
    (tmp_path / "x.c").write_text(textwrap.dedent(text))
    monkeypatch.setattr(functions, "TOP", str(tmp_path))
    assert list(functions.functions("x.c")) == expected
