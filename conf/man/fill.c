/* fill - fills manual pages from the tables that the programs use, so that a page
 * cannot lag behind them.  Standard input is the page; a line `@keys GROUP` becomes
 * the keys of that group, `@metrics PROGRAM` what it measures, `@outcomes` the
 * answers of the activator's own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/metric.h"
#include "common/settings.h"

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
};

static const struct {
	unsigned bit;
	const char *name;
} places[] = {
	{IN_TOP, "the top level"}, {IN_ACTIVATOR, "activator"}, {IN_AUTOSCALER, "autoscaler"},
	{IN_SERVICE, "service"},   {IN_REVISION, "revision"},	{IN_TRAFFIC, "traffic"},
	{IN_RULE, "rule"},	   {IN_SCHEDULE, "schedule"},
};

struct unit {
	double size;
	const char *name;
};

/* The largest unit that leaves a whole number. */
static void
print_in(double value, const struct unit *units)
{
	while (units->size > 1 && (value < units->size ||
				   value / units->size != (double)(int64_t)(value / units->size)))
		units++;
	printf("%.10g%s", value / units->size, value == 0 ? "" : units->name);
}

static void
print_value(enum key_type type, double value)
{
	static const struct unit times[] = {{24 * 3600e9, "d"}, {3600e9, "h"}, {60e9, "m"},
					    {1e9, "s"},		{1e6, "ms"},   {1e3, "us"},
					    {1, "ns"}};
	static const struct unit sizes[] = {
		{1ull << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, ""}};
	static const struct unit plain[] = {{1, ""}};

	switch (type) {
	case KEY_DURATION:
		print_in(value, times);
		break;
	case KEY_SIZE:
	case KEY_SIZE32:
		print_in(value, sizes);
		break;
	default:
		print_in(value, plain);
		break;
	}
}

/* Text for roff: a backslash is one, a dot at the start of a line is no request. */
static void
print_text(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s == '\\')
			printf("\\e");
		else
			putchar(*s);
}

static const char *
type_name(const struct key *k)
{
	switch (k->type) {
	case KEY_BOOL:
		return "true|false";
	case KEY_UINT:
	case KEY_PERCENT32:
	case KEY_NUMBER:
	case KEY_PERCENT:
		return "number";
	case KEY_DURATION:
		return "duration";
	case KEY_SIZE:
	case KEY_SIZE32:
		return "size";
	case KEY_ENUM:
		return k->enums;
	case KEY_LIST:
		return "{string, ...}";
	case KEY_ADDRESS:
		return "address:port";
	case KEY_ADDRESSES:
		return "{address:port, ...}";
	case KEY_NETWORKS:
		return "{network, ...}";
	case KEY_PROBE:
		return "tcp|readiness|/path";
	case KEY_PORTS:
		return "first-last";
	case KEY_STRING:
		break;
	}
	return "string";
}

static void
print_places(unsigned where)
{
	unsigned left = 0;
	size_t i;

	for (i = 0; i < ARRAY_LEN(places); i++)
		left += (where & places[i].bit) != 0;
	if (left < 2)
		return;
	printf("In ");
	for (i = 0; i < ARRAY_LEN(places); i++)
		if ((where & places[i].bit) != 0)
			printf("%s%s", places[i].name,
			       --left == 0 ? ".\n"
			       : left == 1 ? " or "
					   : ", ");
}

static void
print_key(const struct key *k)
{
	printf(".It Ic %s No = Ar %s\n", k->name, type_name(k));
	print_text(k->doc);
	printf("%s\n", k->doc[strlen(k->doc) - 1] == '.' ? "" : ".");
	if (k->fallback != NULL) {
		printf("Default: ");
		print_text(k->fallback);
		printf(".\n");
	}
	if (k->min != k->max) {
		printf("From ");
		print_value(k->type, k->min);
		printf(" to ");
		print_value(k->type, k->max);
		printf(".\n");
	}
	print_places(k->where);
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
	static const char *const types[] = {"counter", "gauge", "histogram"};

	printf(".It Ic %s\n%s", m->name, types[m->type]);
	if (m->labels[0] != '\0')
		printf(" by %s", m->labels);
	printf(".\n");
	print_text(m->help);
	printf("\n");
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
	const char *reason, *text;
} outcomes[] = {
#define OUTCOME(id, status, reason, text) {status, reason, text},
#include "activator/outcome.def"
#undef OUTCOME
};

/* Those that a client sees as an answer of the activator's own. */
static int
print_outcomes(void)
{
	size_t i;

	printf(".Bl -tag -width activation_timeout\n");
	for (i = 0; i < ARRAY_LEN(outcomes); i++)
		if (outcomes[i].status >= 400)
			printf(".It Ic %s\n%d: %s.\n", outcomes[i].reason, outcomes[i].status,
			       outcomes[i].text);
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
	return strcmp(line, "@outcomes") == 0 ? print_outcomes() : -1;
}

int
main(void)
{
	char line[1024];

	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (print_line(line) < 0) {
			fprintf(stderr, "fill: what is \"%s\"?\n", line);
			return 1;
		}
	}
	return ferror(stdin) || fflush(stdout) != 0;
}
