#include "common/cron.h"

#include <string.h>
#include <strings.h>

#include "common/text.h"

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
				     "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

/* In their order. */
static const struct field {
	const char *what;
	unsigned min, max;
	const char *const *names; /* of the values from min on; NULL: none */
	size_t names_n;
} fields[] = {
	{"minute", 0, 59, NULL, 0},
	{"hour", 0, 23, NULL, 0},
	{"day", 1, 31, NULL, 0},
	{"month", 1, 12, months, ARRAY_LEN(months)},
	{"weekday", 0, 7, weekdays, ARRAY_LEN(weekdays)},
};

static bool
parse_number(const char **at, uint32_t *out)
{
	size_t n = strspn(*at, "0123456789");

	if (!text_number(*at, n, 999, out))
		return false;
	*at += n;
	return true;
}

static bool
parse_item(const struct field *f, const char **at, unsigned *out)
{
	size_t i;

	for (i = 0; i < f->names_n; i++)
		if (strncasecmp(*at, f->names[i], 3) == 0) {
			*at += 3;
			*out = f->min + (unsigned)i;
			return true;
		}
	return parse_number(at, out) && *out >= f->min && *out <= f->max;
}

/* `*`, `a` or `a-b`, with or without `/step`. */
static bool
parse_range(const struct field *f, const char **at, uint64_t *set)
{
	unsigned first = f->min, last = f->max, step = 1, i;
	bool is_single = false;

	if (**at == '*') {
		++*at;
	} else {
		if (!parse_item(f, at, &first))
			return false;
		last = first;
		is_single = **at != '-';
		if (!is_single && (++*at, !parse_item(f, at, &last) || last < first))
			return false;
	}
	if (**at == '/') {
		++*at;
		if (!parse_number(at, &step) || step == 0)
			return false;
		last = is_single ? f->max : last;
	}
	for (i = first; i <= last; i += step)
		*set |= (uint64_t)1 << i;
	return true;
}

static bool
parse_field(const struct field *f, const char *text, size_t n, uint64_t *set)
{
	const char *at = text;

	*set = 0;
	do {
		if (!parse_range(f, &at, set))
			return false;
	} while (*at == ',' && at++ < text + n);
	return at == text + n;
}

int
cron_parse(struct cron *c, const char *text, struct err *e)
{
	uint64_t sets[ARRAY_LEN(fields)];
	bool any[ARRAY_LEN(fields)];
	const char *at = text + strspn(text, " \t");
	size_t i;

	for (i = 0; i < ARRAY_LEN(fields); i++) {
		size_t n = strcspn(at, " \t");

		any[i] = *at == '*';
		if (n == 0 || !parse_field(&fields[i], at, n, &sets[i]))
			return err_set(e, 0, "cannot read the %s of \"%s\"", fields[i].what, text);
		at += n + strspn(at + n, " \t");
	}
	if (*at != '\0')
		return err_set(e, 0, "cannot read \"%s\": more than five fields", text);
	*c = (struct cron){.minutes = sets[0],
			   .hours = (uint32_t)sets[1],
			   .days = (uint32_t)sets[2],
			   .months = (uint32_t)sets[3],
			   .weekdays = (uint32_t)(sets[4] | sets[4] >> 7) & 0x7f,
			   .any_day = any[2],
			   .any_weekday = any[4]};
	return 0;
}

bool
cron_matches(const struct cron *c, const struct tm *t)
{
	bool day = (c->days >> t->tm_mday & 1) != 0, weekday = (c->weekdays >> t->tm_wday & 1) != 0;
	bool is_date = c->any_day || c->any_weekday ? day && weekday : day || weekday;

	return (c->minutes >> t->tm_min & 1) != 0 && (c->hours >> t->tm_hour & 1) != 0 &&
	       (c->months >> (t->tm_mon + 1) & 1) != 0 && is_date;
}
