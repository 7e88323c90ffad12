/* fill - fills the manual pages from the tables that the programs use, so that the pages
 * always agree with the programs.  It reads a page from standard input and replaces a line
 *	@keys GROUP		with the keys of that group of the conf file
 *	@metrics PROGRAM	with the metrics of that program
 *	@refusals		with the refusals of the activator
 *	@outcomes		with the other ways in which a request ends
 *	@rules			with the rules of the autoscaler's decisions */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/brain/decide.h"
#include "common/metric.h"
#include "common/settings.h"
#include "common/strbuf.h"

static const struct {
	const char *name;
	enum key_group group;
} groups[] = {
	{"top", GROUP_TOP},
	{"activator", GROUP_ACTIVATOR},
	{"autoscaler", GROUP_AUTOSCALER},
	{"service", GROUP_SERVICE},
	{"revision", GROUP_REVISION},
	{"limits", GROUP_LIMITS},
	{"scaling", GROUP_SCALING},
	{"launch", GROUP_LAUNCH},
	{"traffic", GROUP_TRAFFIC},
	{"rule", GROUP_RULE},
	{"schedule", GROUP_SCHEDULE},
	{"certificate", GROUP_CERTIFICATE},
	{"owner", GROUP_OWNER},
};

static const struct {
	unsigned bit;
	const char *name;
} sections[] = {
	{IN_TOP, "the top level"}, {IN_ACTIVATOR, "activator"}, {IN_AUTOSCALER, "autoscaler"},
	{IN_SERVICE, "service"},   {IN_REVISION, "revision"},	{IN_TRAFFIC, "traffic"},
	{IN_RULE, "rule"},	   {IN_SCHEDULE, "schedule"},	{IN_CERTIFICATE, "certificate"},
	{IN_OWNER, "owner"},
};

#define LINE_MOST 78 /* bytes; mandoc's lint complains about lines over 80 */

static bool
ends_sentence(const char *word, size_t n)
{
	return n > 0 && word[n - 1] == '.';
}

/* Write a word so that roff takes it as text: a backslash is escaped, and so is what would make
 * the first word of a line a request.  Returns how many columns that took. */
static size_t
print_word(const char *word, size_t n, bool is_first)
{
	size_t i, column = n;

	if (is_first && (word[0] == '.' || word[0] == '\''))
		column += (size_t)printf("\\&");
	for (i = 0; i < n; i++)
		if (word[i] == '\\')
			column += (size_t)printf("\\e") - 1;
		else
			putchar(word[i]);
	return column;
}

/* Write help text: every sentence begins a line, and lines are wrapped. */
static void
print_text(const char *s)
{
	size_t column = 0, n;
	bool is_sentence_over = false;

	for (; *s != '\0'; s += n + strspn(s + n, " ")) {
		n = strcspn(s, " ");
		if (column > 0 && (is_sentence_over || column + 1 + n > LINE_MOST)) {
			putchar('\n');
			column = 0;
		} else if (column > 0) {
			putchar(' ');
			column++;
		}
		column += print_word(s, n, column == 0);
		is_sentence_over = ends_sentence(s, n);
	}
	putchar('\n');
}

static const char *
type_name(const struct key *k)
{
	switch (k->type) {
	case KEY_BOOL:
		return "yes|no";
	case KEY_UINT:
	case KEY_NUMBER:
		return "number";
	case KEY_PERCENT32:
	case KEY_PERCENT:
		return "percent";
	case KEY_DURATION:
		return "duration";
	case KEY_SIZE:
	case KEY_SIZE32:
		return "size";
	case KEY_ENUM:
		return k->enums;
	case KEY_LIST:
		return "{text, ...}";
	case KEY_ADDRESS:
		return "address";
	case KEY_LISTEN:
		return "{address [word ...], ...}";
	case KEY_ENDPOINTS:
		return "{address, ...}";
	case KEY_NETWORKS:
		return "{network, ...}";
	case KEY_PROBE:
		return "auto|tcp|readiness|/path";
	case KEY_PORTS:
		return "first-last";
	case KEY_STRING:
		break;
	}
	return "text";
}

static void
print_sections(unsigned where)
{
	unsigned left = 0;
	size_t i;

	for (i = 0; i < ARRAY_LEN(sections); i++)
		left += (where & sections[i].bit) != 0;
	if (left < 2)
		return;
	printf("Sections: ");
	for (i = 0; i < ARRAY_LEN(sections); i++)
		if ((where & sections[i].bit) != 0)
			printf("%s%s", sections[i].name,
			       --left == 0 ? ".\n"
			       : left == 1 ? " and "
					   : ", ");
}

static void
print_key(const struct key *k)
{
	struct strbuf bounds;

	printf(".It Ic %s No = Ar %s\n", k->name, type_name(k));
	print_text(k->doc);
	if (k->fallback != NULL && k->fallback[0] == '\0')
		printf("Default: empty.\n");
	else if (k->fallback != NULL)
		printf("Default:\n.Li %s .\n", k->fallback);
	if (k->min != k->max) {
		strbuf_init(&bounds, 0);
		settings_key_bounds(k, &bounds);
		printf("Range: %s.\n", strbuf_str(&bounds));
		strbuf_fini(&bounds);
	}
	if (k->needs_restart)
		printf("A change needs a restart.\n");
	print_sections(k->where);
}

static void
print_group(enum key_group group)
{
	size_t i;

	printf(".Bl -tag -width Ds\n");
	for (i = 0; i < settings_keys_n; i++)
		if (settings_keys[i].group == group)
			print_key(&settings_keys[i]);
	printf(".El\n");
}

static int
print_named(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(groups); i++)
		if (strcmp(groups[i].name, name) == 0) {
			print_group(groups[i].group);
			return 0;
		}
	return -1;
}

#define METRIC(id, type, name, labels, help) {METRIC_##type, name, labels, help},
static const struct metric_def activator_metrics[] = {
#include "activator/metrics.def"
};
static const struct metric_def autoscaler_metrics[] = {
#include "autoscaler/metrics.def"
};
#undef METRIC

static void
print_metric(const struct metric_def *m)
{
	static const char *const types[] = {"Counter", "Gauge", "Histogram"};

	printf(".It Ic %s\n%s", m->name, types[m->type]);
	if (m->labels[0] != '\0')
		printf(", labels %s", m->labels);
	printf(".\n");
	print_text(m->help);
}

static int
print_metrics(const char *program)
{
	bool is_activator = strcmp(program, "activator") == 0;
	const struct metric_def *m = is_activator ? activator_metrics : autoscaler_metrics;
	size_t i, n = is_activator ? ARRAY_LEN(activator_metrics) : ARRAY_LEN(autoscaler_metrics);

	if (!is_activator && strcmp(program, "autoscaler") != 0)
		return -1;
	printf(".Bl -tag -width Ds\n");
	for (i = 0; i < n; i++)
		print_metric(&m[i]);
	printf(".El\n");
	return 0;
}

static const struct {
	int status;
	const char *grpc, *reason, *text;
} outcomes[] = {
#define OUTCOME(id, status, grpc, reason, text) {status, #grpc, reason, text},
#include "activator/outcome.def"
#undef OUTCOME
};

/* Refusals, or what else becomes of a request. */
static int
print_outcomes(bool are_refusals)
{
	char text[200];
	size_t i;
	int n;

	printf(".Bl -tag -width activation_timeout\n");
	for (i = 0; i < ARRAY_LEN(outcomes); i++) {
		if ((outcomes[i].status >= 400) != are_refusals)
			continue;
		printf(".It Ic %s\n", outcomes[i].reason);
		n = are_refusals ? snprintf(text, sizeof text, "%d, %s: ", outcomes[i].status,
					    outcomes[i].grpc)
				 : 0;
		snprintf(text + n, sizeof text - (size_t)n, "%s.", outcomes[i].text);
		print_text(text);
	}
	printf(".El\n");
	return 0;
}

static const struct {
	const char *id, *text;
} rules[] = {
#define X(id, text) {#id, text},
	DECIDE_RULES(X)
#undef X
};

static int
print_rules(void)
{
	char text[200];
	const char *c;
	size_t i;

	printf(".Bl -tag -width activation_scale\n");
	for (i = 0; i < ARRAY_LEN(rules); i++) {
		printf(".It Ic ");
		for (c = rules[i].id; *c != '\0'; c++)
			putchar(tolower((unsigned char)*c));
		putchar('\n');
		snprintf(text, sizeof text, "%s.", rules[i].text);
		print_text(text);
	}
	printf(".El\n");
	return 0;
}

static int
print_line(const char *line)
{
	if (line[0] != '@')
		return puts(line) < 0 ? -1 : 0;
	if (strncmp(line, "@keys ", 6) == 0)
		return print_named(line + 6);
	if (strncmp(line, "@metrics ", 9) == 0)
		return print_metrics(line + 9);
	if (strcmp(line, "@refusals") == 0 || strcmp(line, "@outcomes") == 0)
		return print_outcomes(line[1] == 'r');
	return strcmp(line, "@rules") == 0 ? print_rules() : -1;
}

int
main(void)
{
	char line[1024];

	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (print_line(line) < 0) {
			fprintf(stderr, "fill: unknown line \"%s\"\n", line);
			return 1;
		}
	}
	return ferror(stdin) || fflush(stdout) != 0;
}
