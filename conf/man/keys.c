/* keys - fills activator.conf.5: standard input is the page with lines `@keys GROUP`,
 * each of which becomes the list of that group's keys from the table that the parser
 * uses, so that the page cannot lag behind it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
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
	case KEY_NUMBER:
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

static void
print_named(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(groups); i++)
		if (strcmp(groups[i].name, name) == 0) {
			print_group(groups[i].group);
			return;
		}
	fprintf(stderr, "keys: no group %s\n", name);
	exit(1);
}

int
main(void)
{
	char line[1024];

	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "@keys ", 6) == 0)
			print_named(line + 6);
		else
			puts(line);
	}
	return ferror(stdin) || fflush(stdout) != 0;
}
