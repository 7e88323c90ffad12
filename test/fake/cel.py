"""As much of CEL as the rules of this project's CRDs and policies need.  An expression becomes a
function of its variables, compiled once.

Values are those of JSON; a duration is a Duration.  What a server would call an error raises
CelError, which || and && absorb as there."""
import functools
import re

TOKEN = re.compile(r"""\s*(?:
    (?P<number>\d+\.\d+|\d+)|
    (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|
    (?P<name>[A-Za-z_]\w*)|
    (?P<op>\|\||&&|==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}]))""", re.X)
ESCAPE = re.compile(r"\\(.)")
SPECIAL = {"n": "\n", "t": "\t", "r": "\r"}
PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|ms|s|m|h)")
WHOLE = re.compile(r"[-+]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|ms|s|m|h))+$|[-+]?0$")
NS = {"ns": 1, "us": 10 ** 3, "ms": 10 ** 6, "s": 10 ** 9, "m": 60 * 10 ** 9, "h": 3600 * 10 ** 9}


class CelError(Exception):
    pass


class Duration(int):
    """Nanoseconds."""


class Type(str):
    pass


class Patch(dict):
    """JSONPatch{…}"""


# --- values

def equal(a, b):
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    return a == b


def type_of(v):
    for kind, name in ((bool, "bool"), (Duration, "duration"), (int, "int"), (float, "double"),
                       (str, "string"), (list, "list"), (dict, "map")):
        if isinstance(v, kind):
            return Type(name)
    return Type("null_type")


def duration(text):
    if not isinstance(text, str) or not WHOLE.match(text):
        raise CelError("not a duration: %r" % text)
    ns = sum(float(n) * NS[unit] for n, unit in PART.findall(text))
    return Duration(round(-ns if text.startswith("-") else ns))


def integer(v):
    try:
        return int(v)
    except (TypeError, ValueError):
        raise CelError("not an int: %r" % (v,)) from None


def double(v):
    try:
        return float(v)
    except (TypeError, ValueError):
        raise CelError("not a double: %r" % (v,)) from None


def text_of(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (int, float, str)):
        return str(v)
    raise CelError("no string of %r" % (v,))


def formatted(template, values):
    found = iter(values)
    return re.sub(r"%[ds]", lambda m: text_of(next(found)), template)


def last_index(values, v):
    return max((i for i, w in enumerate(values) if equal(v, w)), default=-1)


FUNCTIONS = {"size": len, "int": integer, "double": double, "string": text_of,
             "duration": duration, "type": type_of}
METHODS = {
    (str, "matches"): lambda s, p: re.search(p, s) is not None,
    (str, "startsWith"): lambda s, p: s.startswith(p),
    (str, "endsWith"): lambda s, p: s.endswith(p),
    (str, "contains"): lambda s, p: p in s,
    (str, "lowerAscii"): lambda s: s.lower(),
    (str, "size"): len,
    (str, "format"): formatted,
    (list, "size"): len,
    (list, "sum"): sum,
    (list, "indexOf"): lambda v, x: next((i for i, w in enumerate(v) if equal(x, w)), -1),
    (list, "lastIndexOf"): last_index,
    (dict, "size"): len,
    (Duration, "getSeconds"): lambda d: int(d / NS["s"]),
}


def find(value, name):
    if not isinstance(value, dict) or name not in value:
        raise CelError("no such key: " + name)
    return value[name]


def at(value, index):
    try:
        return value[index]
    except (KeyError, IndexError, TypeError):
        raise CelError("no such element: %r" % (index,)) from None


def truth(v):
    if not isinstance(v, bool):
        raise CelError("no bool: %r" % (v,))
    return v


def number(a, op, b):
    try:
        return op(a, b)
    except (TypeError, ZeroDivisionError) as e:
        raise CelError(str(e)) from None


BINARY = {
    "==": equal, "!=": lambda a, b: not equal(a, b),
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "in": lambda a, b: any(equal(a, x) for x in b),
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: int(a / b) if isinstance(a, int) else a / b, "%": lambda a, b: a % b}


# --- macros over a list, or over the keys of a map

def _all(items, test):
    error = None
    for x in items:
        try:
            if not truth(test(x)):
                return False
        except CelError as e:
            error = e
    if error:
        raise error
    return True


def _exists(items, test):
    return not _all(items, lambda x: not truth(test(x)))


MACROS = {
    "all": _all, "exists": _exists,
    "exists_one": lambda items, test: sum(truth(test(x)) for x in items) == 1,
    "map": lambda items, make: [make(x) for x in items],
    "filter": lambda items, test: [x for x in items if truth(test(x))]}


# --- the parser: each method returns a function of the variables

class Parser:
    LEVELS = [("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"), ("*", "/", "%")]

    def __init__(self, source):
        self.source, self.tokens, i = source, [], 0
        while source[i:].strip():
            found = TOKEN.match(source, i)
            if not found:
                raise ValueError("CEL: %s" % source[i:i + 40])
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            i = found.end()
        self.tokens.append(("end", ""))
        self.i = 0

    def peek(self):
        return self.tokens[self.i]

    def take(self, *wanted):
        """The next token if it is one of these operators; None: it is not."""
        kind, text = self.peek()
        if text in wanted and kind in ("op", "name"):
            self.i += 1
            return text
        return None

    def need(self, text):
        if self.take(text) is None:
            raise ValueError("CEL: expected %s, got %s in %s" % (text, self.peek()[1], self.source))

    def whole(self):
        made = self.ternary()
        if self.peek()[0] != "end":
            raise ValueError("CEL: %s in %s" % (self.peek()[1], self.source))
        return made

    def ternary(self):
        test = self.either()
        if not self.take("?"):
            return test
        yes = self.ternary()
        self.need(":")
        no = self.ternary()
        return lambda v: yes(v) if truth(test(v)) else no(v)

    def either(self):
        return self.logic("||", True, self.both)

    def both(self):
        return self.logic("&&", False, lambda: self.level(0))

    def logic(self, op, decisive, operand):
        """Either side decides, even if the other is an error."""
        left = operand()
        while self.take(op):
            left = self.joined(left, operand(), decisive)
        return left

    @staticmethod
    def joined(a, b, decisive):
        def value(v):
            try:
                if truth(a(v)) is decisive:
                    return decisive
            except CelError:
                if truth(b(v)) is decisive:
                    return decisive
                raise
            return truth(b(v))
        return value

    def level(self, n):
        if n == len(self.LEVELS):
            return self.unary()
        left = self.level(n + 1)
        while True:
            op = self.take(*self.LEVELS[n])
            if op is None:
                return left
            left = self.binary(left, BINARY[op], self.level(n + 1))

    @staticmethod
    def binary(a, op, b):
        return lambda v: number(a(v), op, b(v))

    def unary(self):
        if self.take("!"):
            inner = self.unary()
            return lambda v: not truth(inner(v))
        if self.take("-"):
            inner = self.unary()
            return lambda v: -inner(v)
        return self.member()

    def member(self):
        made = self.primary()
        while True:
            if self.take("."):
                name = self.name()
                made = self.call(made, name) if self.take("(") else self.field(made, name)
            elif self.take("["):
                made = self.index(made, self.ternary())
                self.need("]")
            else:
                return made

    def name(self):
        kind, text = self.peek()
        if kind != "name":
            raise ValueError("CEL: expected a name, got %s in %s" % (text, self.source))
        self.i += 1
        return text

    @staticmethod
    def field(made, name):
        access = lambda v: find(made(v), name)
        access.field = made, name  # for has()
        return access

    @staticmethod
    def index(made, key):
        return lambda v: at(made(v), key(v))

    def arguments(self, end=")"):
        found = []
        while not self.take(end):
            found.append(self.ternary())
            if not self.take(","):
                self.need(end)
                break
        return found

    def call(self, target, name):
        if name in MACROS:
            variable = self.name()
            self.need(",")
            body = self.ternary()
            self.need(")")
            macro = MACROS[name]
            return lambda v: macro(target(v), lambda x: body({**v, variable: x}))
        given = self.arguments()

        def value(v):
            mine, args = target(v), [a(v) for a in given]
            if mine is jsonpatch:
                return args[0].replace("~", "~0").replace("/", "~1")
            method = METHODS.get((type(mine), name))
            if method is None:
                raise CelError("no method %s of %r" % (name, mine))
            return method(mine, *args)
        return value

    def primary(self):
        kind, text = self.peek()
        self.i += 1
        if kind == "number":
            constant = float(text) if "." in text else int(text)
            return lambda v: constant
        if kind == "string":
            plain = ESCAPE.sub(lambda m: SPECIAL.get(m[1], m[1]), text[1:-1])
            return lambda v: plain
        if text == "(":
            made = self.ternary()
            self.need(")")
            return made
        if text == "[":
            items = self.arguments("]")
            return lambda v: [i(v) for i in items]
        if text == "{":
            pairs = self.pairs(lambda: self.ternary())
            return lambda v: {k(v): x(v) for k, x in pairs}
        if kind == "name":
            return self.named(text)
        raise ValueError("CEL: %s in %s" % (text, self.source))

    def pairs(self, key):
        found = []
        while not self.take("}"):
            k = key()
            self.need(":")
            found.append((k, self.ternary()))
            if not self.take(","):
                self.need("}")
                break
        return found

    def named(self, name):
        constants = {"true": True, "false": False, "null": None}
        if name in constants:
            return lambda v: constants[name]
        if self.take("("):
            given = self.arguments()
            if name == "has":
                of, field = given[0].field
                return lambda v: field in of(v) if isinstance(of(v), dict) else find(of(v), field)
            function = FUNCTIONS[name]
            return lambda v: function(*(a(v) for a in given))
        if name == "JSONPatch" and self.take("{"):
            fields = self.pairs(self.name)
            return lambda v: Patch((k, x(v)) for k, x in fields)
        types = {"int", "string", "bool", "double"}
        return lambda v: v[name] if name in v else Type(name) if name in types else \
            jsonpatch if name == "jsonpatch" else find(v, name)


jsonpatch = object()  # the library, as in jsonpatch.escapeKey()


@functools.lru_cache(maxsize=4096)
def compiled(source):
    return Parser(source).whole()


def evaluate(source, variables):
    return compiled(source)(variables)
