#include "common/settings_units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/strbuf.h"

struct unit {
	const char *name;
	double size;
};

/* Units that are written, from the largest to the base unit, and others that are read. */
static const struct unit times[] = {{"h", 3600e9}, {"m", 60e9}, {"s", 1e9},
				    {"ms", 1e6},   {"us", 1e3}, {"ns", 1}};
static const struct unit times_too[] = {{"d", 86400e9}, {"min", 60e9}};
static const struct unit sizes[] = {
	{"TiB", 1099511627776.0}, {"GiB", 1073741824}, {"MiB", 1048576}, {"KiB", 1024}, {"", 1}};
static const struct unit sizes_too[] = {
	{"t", 1099511627776.0}, {"g", 1073741824}, {"m", 1048576}, {"k", 1024}, {"B", 1},
	{"TB", 1e12},		{"GB", 1e9},	   {"MB", 1e6},	   {"kB", 1e3}};
static const struct unit percents[] = {{"", 1}, {"%", 1}};
static const struct unit plain[] = {{"", 1}};

static double
unit_size(const char *name, const struct unit *units, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcasecmp(name, units[i].name) == 0)
			return units[i].size;
	return 0;
}

/* A decimal number with a unit of either table; `too` may be NULL. */
static int
parse_number(const char *text, const struct unit *units, size_t n, const struct unit *too,
	     size_t too_n, double *out)
{
	size_t whole = strspn(text, "0123456789");
	size_t len = text[whole] == '.' ? whole + 1 + strspn(text + whole + 1, "0123456789")
					: whole;
	const char *unit = text + len;
	double size;

	if (whole == 0 || len > 30 || text[len - 1] == '.')
		return -1;
	while (*unit == ' ')
		unit++;
	size = unit_size(unit, units, n);
	if (size == 0)
		size = unit_size(unit, too, too_n);
	*out = strtod(text, NULL) * size;
	return size == 0 ? -1 : 0;
}

static int
parse_duration(const char *text, double *out)
{
	*out = 0;
	if (strcmp(text, "0") == 0)
		return 0;
	return parse_number(text, times, ARRAY_LEN(times), times_too, ARRAY_LEN(times_too), out);
}

static int
parse_whole(const char *text, const struct unit *units, size_t n, double *out)
{
	if (parse_number(text, units, n, NULL, 0, out) < 0)
		return -1;
	return *out < 1e15 && *out == (double)(uint64_t)*out ? 0 : -1;
}

int
units_parse(enum key_type type, const char *text, double *out)
{
	switch (type) {
	case KEY_DURATION:
		return parse_duration(text, out);
	case KEY_SIZE:
	case KEY_SIZE32:
		return parse_number(text, sizes, ARRAY_LEN(sizes), sizes_too, ARRAY_LEN(sizes_too),
				    out);
	case KEY_PERCENT:
		return parse_number(text, percents, ARRAY_LEN(percents), NULL, 0, out);
	case KEY_PERCENT32:
		return parse_whole(text, percents, ARRAY_LEN(percents), out);
	case KEY_NUMBER:
		return parse_number(text, plain, ARRAY_LEN(plain), NULL, 0, out);
	default:
		return parse_whole(text, plain, ARRAY_LEN(plain), out);
	}
}

static bool
is_whole(double v)
{
	return v == (double)(int64_t)v;
}

/* In the largest unit in which it is a whole number. */
static void
format_in(double value, const struct unit *units, size_t n, struct strbuf *b)
{
	size_t i = 0;

	while (i + 1 < n && (value < units[i].size || !is_whole(value / units[i].size)))
		i++;
	strbuf_addf(b, "%.17g%s", value / units[i].size, value == 0 ? "" : units[i].name);
}

/* In as few digits as read back as the same number, without an exponent. */
static void
format_number(double value, struct strbuf *b)
{
	char text[40];
	int digits;

	for (digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value && strchr(text, 'e') == NULL)
			break;
	}
	strbuf_adds(b, text);
}

void
units_format(enum key_type type, double value, struct strbuf *b)
{
	if (type == KEY_DURATION)
		format_in(value, times, ARRAY_LEN(times), b);
	else if (type == KEY_SIZE || type == KEY_SIZE32)
		format_in(value, sizes, ARRAY_LEN(sizes), b);
	else
		format_number(value, b);
}
