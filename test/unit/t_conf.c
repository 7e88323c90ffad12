#include "unit.h"

#include "common/conf.h"
#include "common/strbuf.h"

/* The tree as one line: `key@line=text,text` and `section "title"@line{…}`. */
static void
describe(const struct conf_section *s, struct strbuf *b)
{
	size_t i, j;

	for (i = 0; i < s->values_n; i++) {
		const struct conf_value *v = &s->values[i];

		strbuf_addf(b, " %s@%u=", v->key->name, v->line);
		for (j = 0; j < v->n; j++)
			strbuf_addf(b, v->lines[j] == v->line ? "%s%s" : "%s%s@%u",
				    j == 0 ? "" : ",", v->texts[j], v->lines[j]);
	}
	for (i = 0; i < s->sections_n; i++) {
		strbuf_addf(b, " %s@%u{", s->sections[i].title == NULL ? "" : s->sections[i].title,
			    s->sections[i].line);
		describe(&s->sections[i], b);
		strbuf_adds(b, " }");
	}
}

/* The tree that is read, and after a `|` each mistake with its line. */
static char *
read_as(const char *text, size_t n)
{
	struct conf_errors errors = {.file = "t.conf"};
	struct settings_errors shown;
	struct conf_section *root;
	struct strbuf b;
	bool is_whole;
	size_t i;

	strbuf_init(&b, 0);
	root = conf_read_bytes(text, n, &errors, &is_whole);
	if (root != NULL)
		describe(root, &b);
	conf_free(&root);
	assert_true(errors.n > 0 || is_whole);
	conf_errors_move(&errors, &shown);
	for (i = 0; i < shown.n; i++)
		strbuf_addf(&b, "%s%s", i == 0 ? "|" : "; ", shown.lines[i] + strlen("t.conf:"));
	settings_errors_free(&shown);
	return strbuf_take(&b);
}

static const struct {
	const char *text;
	const char *expected;
} cases[] = {
	{"", ""},
	{"\n\n", ""},
	/* lines: libconfuse alone miscounts them after comments */
	{"# one\n// two\n/* three\n four */ socket = a\n/* five */ state_dir = b # six\n\n"
	 "log_level = c",
	 " socket@4=a state_dir@5=b log_level@7=c"},
	{"activator\n{\n\n listen = {\"a\",\n# no\n\"b\"\n, c}\n}\nsocket = x",
	 " socket@9=x @2{ listen@4=a,b@6,c@7 }"},
	{"service \"a\" { hosts = \"one\" revision 'v1' { } traffic v1 { } }",
	 " a@1{ hosts@1=one v1@1{ } v1@1{ } }"},
	{"socket = \"a\nb\"\nstate_dir = c", " socket@2=a\nb state_dir@3=c"},
	{"socket = \"a\\\nb\"\nstate_dir = c", " socket@2=ab state_dir@3=c"},
	/* not comments, though they look like some */
	{"socket = \"# // /* \" state_dir = /a//b log_level = '#'",
	 " socket@1=# // /*  state_dir@1=/a//b log_level@1=#"},
	{"socket = a#b\nstate_dir = c", " socket@1=a state_dir@2=c"},
	/* escapes and variables */
	{"socket = \"\\x41\\102\\t\\\"\\\\\\$\" state_dir = '\\n\\'\\\\'",
	 " socket@1=AB\t\"\\$ state_dir@1=\\n'\\"},
	{"socket = \"${HOME} $HOME $ {\" state_dir = '${HOME}' log_level = $HOME",
	 " socket@1=${HOME} $HOME $ { state_dir@1=${HOME} log_level@1=$HOME"},
	{"socket = a${HOME}b", " socket@1=_b|1: expected quotes around a${HOME}"},
	{"socket = \"a\\0b\"",
	 " socket@1=ab|1: expected an escape from \\001 to \\377 or \\x01 to \\xff, got \\0"},
	{"socket = \"\\400\\8\\x0\"",
	 " socket@1=|1: expected an escape from \\001 to \\377 or \\x01 to \\xff, got \\400; 1: "
	 "expected an escape from \\001 to \\377 or \\x01 to \\xff, got \\8; 1: expected an escape "
	 "from \\001 to \\377 or \\x01 to \\xff, got \\x0"},
	/* byte order marks and CR LF */
	{"\xef\xbb\xbfsocket = a\r\nstate_dir = \"b\r\nc\"\r\n", " socket@1=a state_dir@3=b\nc"},
	/* libconfuse alone drops these without a message */
	{"service a { hosts = {*} }", " a@1{ hosts@1=_ }|1: expected quotes around *"},
	{"service a { hosts = {*.x, a*} }",
	 " a@1{ hosts@1=_,_ }|1: expected quotes around *.x; 1: expected quotes around a*"},
	{"socket = 1+1", " socket@1=_|1: expected quotes around 1+1"},
	{"service a { hosts = x hosts += y hosts+={z} }", " a@1{ hosts@1=x,y,z }"},
	{"service a { hosts = {} }", " a@1{ hosts@1= }"},
	{"service a { hosts = {a, } }", " a@1{ hosts@1=a }"},
	/* truncated files */
	{"socket = a\nactivator {\n\n",
	 " socket@1=a @2{ }|2: expected a \"}\" that closes the \"{\" of this line, got the end of the file"},
	{"service a {\nrevision b {\n}\n",
	 " a@1{ b@2{ } }|1: expected a \"}\" that closes the \"{\" of this line, got the end of the file"},
	{"socket = \"a\nstate_dir = b",
	 "|1: expected a closing \" for the string that begins in this line, got the end of the file"},
	{"log_level = x\nsocket = \"a\nstate_dir = \"b\"\nlog_level = \"c\"\n",
	 " log_level@1=x|2: expected a closing \" for the string that begins in this line or in line 4, got "
	 "the end of the file"},
	{"socket = a /* b",
	 " socket@1=a|1: expected a \"*/\" that ends the comment of this line, got "
	 "the end of the file"},
	{"socket =", "|1: expected a value, got the end of the file"},
	{"socket", "|1: expected a value, got the end of the file"},
	/* syntax */
	{"}", "|1: expected a key or a section, got a \"}\" that closes nothing"},
	{"socket a", "|1: socket: expected \"=\" and a value"},
	{"socket: a", "|1: socket: expected \"=\", got \":\""},
	{"nothing", "|1: expected a value, got the end of the file"},
	{"no thing\n", "|1: no: unknown key"},
	{"socket = , state_dir = b", "|1: expected a key, a value or a section, got \",\""},
	{"socket = \nstate_dir = b",
	 " socket@2=state_dir|2: socket: expected a value, got the key \"state_dir\""},
	{"service a { hosts = {a b} }",
	 " a@1{ hosts@1=a }|1: hosts: expected \",\" or \"}\" in its list, got \"b\""},
	{"activator = 3", "|1: activator: expected \"{\" after it"},
	{"activator x { }", "|1: activator: expected \"{\" after it"},
	{"service { }", "|1: service: expected a name in quotes after it, like service \"v1\" {"},
	{"service a b { }", "|1: service: expected \"{\" after its name"},
	{"include(\"other.conf\")", "|1: include: expected all settings in one file"},
	{"\"service=a|hosts\" = b", "|1: expected the name of a key or a section"},
	/* after an unknown name the rest is read all the same */
	{"bogus = 1\nsocket = a\nbogus = {1, 2}\nother { x = 1 }\nstate_dir = b",
	 " socket@2=a|1: bogus: unknown key; 3: bogus: unknown key; 4: other: unknown key"},
	{"servise a {\nhosts = b\nbogus = 1\n}\nsocket = c",
	 " socket@5=c|1: servise: unknown section; did you mean \"service\" (at the top "
	 "level)?; 3: bogus: unknown key"},
	{"service a {\nrevision b {\nservice c {\n} } }\nsocket = d",
	 " socket@5=d a@1{ b@2{ } }|3: service: not allowed in revision, expected at the top level"},
	{"socket = a\nsocket = {b, c}\nsocket = {}", " socket@1=a|2: socket: expected it once, but "
						     "line 1 sets it already"},
};

static void
texts(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char *got = read_as(cases[i].text, strlen(cases[i].text));

		if (strcmp(got, cases[i].expected) != 0)
			print_error("in:\n%s\n", cases[i].text);
		assert_string_equal(got, cases[i].expected);
		free(got);
	}
}

static void
bytes_that_are_not_text(void **state)
{
	static const char nul[] = "socket = a\nstate\0dir = b", utf16[] = "\xff\xfes\0o\0";
	char *got = read_as(nul, sizeof nul - 1);

	(void)state;
	assert_string_equal(got, "|2: expected text, got a byte of value 0x00");
	free(got);
	got = read_as(utf16, sizeof utf16 - 1);
	assert_string_equal(got, "|1: expected UTF-8, got UTF-16");
	free(got);
	got = read_as("\x1b[0m", 4);
	assert_string_equal(got, "|1: expected text, got a byte of value 0x1b");
	free(got);
}

/* Unknown sections within unknown sections, many of them. */
static void
nested_unknown_sections_end(void **state)
{
	struct strbuf b;
	char *got;
	int i;

	(void)state;
	strbuf_init(&b, 0);
	for (i = 0; i < 40; i++)
		strbuf_addf(&b, "servic%d a { servic%d b { rul%d c { } } }\n", i, i, i);
	got = read_as(b.data, b.len);
	assert_non_null(strstr(got, "servic0: unknown section"));
	free(got);
	strbuf_fini(&b);
}

static void
quoting(void **state)
{
	char out[CONF_QUOTE_MAX], text[302];
	size_t i, k;

	(void)state;
	assert_string_equal(conf_quote("a\"b\\\n\x1f\x7f", out), "\"a\\\"b\\\\\\n\\x1f\\x7f\"");
	for (k = 0; k < 2; k++) { /* a character of two bytes is never cut in two */
		memset(text, 'x', sizeof text);
		for (i = k; i + 2 < sizeof text; i += 2)
			memcpy(text + i, "\xc3\xbc", 2);
		text[sizeof text - 1] = '\0';
		conf_quote(text, out);
		assert_in_range(strlen(out), CONF_QUOTE_MAX - 8, CONF_QUOTE_MAX - 1);
		assert_memory_equal(out + strlen(out) - 6, "\xc3\xbc...\"", 6);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(bytes_that_are_not_text),
		cmocka_unit_test(nested_unknown_sections_end),
		cmocka_unit_test(quoting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
