#include "common/conf_names.h"

#include <stdio.h>
#include <string.h>

const struct conf_kind conf_kinds[] = {
	{"activator", IN_ACTIVATOR, IN_TOP, false},
	{"autoscaler", IN_AUTOSCALER, IN_TOP, false},
	{"service", IN_SERVICE, IN_TOP, true},
	{"traffic", IN_TRAFFIC, IN_SERVICE, true},
	{"rule", IN_RULE, IN_SERVICE, true},
	{"revision", IN_REVISION, IN_SERVICE, true},
	{"schedule", IN_SCHEDULE, IN_REVISION, true},
	{"certificate", IN_CERTIFICATE, IN_ACTIVATOR, true},
	{"owner", IN_OWNER, IN_TOP, true},
};
const size_t conf_kinds_n = ARRAY_LEN(conf_kinds);

const struct conf_kind *
conf_kind_find(const char *name, unsigned parent)
{
	size_t i;

	for (i = 0; i < conf_kinds_n; i++)
		if ((conf_kinds[i].parent & parent) != 0 && strcmp(conf_kinds[i].name, name) == 0)
			return &conf_kinds[i];
	return NULL;
}

/* --- names that resemble one another --- */

#define NAME_LENGTH_MAX 48 /* longer names resemble none of ours */

/* The edit distance of Levenshtein. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[NAME_LENGTH_MAX + 1], n = (unsigned)strlen(b), i, j;

	if (n > NAME_LENGTH_MAX || strlen(a) > NAME_LENGTH_MAX)
		return NAME_LENGTH_MAX;
	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 1; a[i - 1] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= n; j++) {
			unsigned above = row[j];

			row[j] = MIN(MIN(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

/* The largest distance at which another name resembles this one: a third of its letters, at
 * least one. */
static unsigned
near_enough(const char *name)
{
	return MIN(MAX((unsigned)strlen(name) / 3, 1u), 4u);
}

const char *
conf_word_nearest(const char *word, const char *const *words, size_t n)
{
	const char *best = NULL;
	unsigned least = near_enough(word) + 1;
	size_t i;

	for (i = 0; i < n; i++)
		if (distance(word, words[i]) < least) {
			best = words[i];
			least = distance(word, best);
		}
	return best;
}

const struct conf_kind *
conf_kind_nearest(const char *name)
{
	const struct conf_kind *best = NULL;
	unsigned least = near_enough(name) + 1;
	size_t i;

	for (i = 0; i < conf_kinds_n; i++)
		if (distance(name, conf_kinds[i].name) < least) {
			best = &conf_kinds[i];
			least = distance(name, best->name);
		}
	return best;
}

/* The key whose name is nearest; of several, one that is allowed in where. */
static const struct key *
nearest_key(const char *name, unsigned where)
{
	const struct key *best = NULL;
	unsigned least = 2 * near_enough(name) + 2;
	size_t i;

	for (i = 0; i < settings_keys_n; i++) {
		const struct key *k = &settings_keys[i];
		unsigned d = 2 * distance(name, k->name) + ((k->where & where) == 0);

		if (d < least) {
			best = k;
			least = d;
		}
	}
	return best;
}

/* --- in which sections --- */

const char *
conf_where(unsigned where, char out[CONF_WHERE_MAX])
{
	size_t n = 0, i;
	unsigned left = (unsigned)__builtin_popcount(where);

	out[0] = '\0';
	if ((where & IN_TOP) != 0) {
		n = (size_t)snprintf(out, CONF_WHERE_MAX, "at the top level");
		left--;
	}
	for (i = 0; i < conf_kinds_n; i++)
		if ((where & conf_kinds[i].where) != 0) {
			left--;
			n += (size_t)snprintf(out + n, CONF_WHERE_MAX - n, "%s%s",
					      n == 0	  ? "in "
					      : left == 0 ? " or "
							  : ", ",
					      conf_kinds[i].name);
		}
	return out;
}

#define WHERE(where) conf_where(where, (char[CONF_WHERE_MAX]){0})

/* All kinds of sections (IN_*) in which a key of that name is allowed. */
static unsigned
where_known(const char *name)
{
	unsigned where = 0;
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if (strcmp(settings_keys[i].name, name) == 0)
			where |= settings_keys[i].where;
	return where;
}

#define NAMED(name) conf_named(name, (char[CONF_QUOTE_MAX]){0})

const char *
conf_named(const char *name, char out[CONF_QUOTE_MAX])
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t n = strlen(name);

	return n > 0 && n <= NAME_LENGTH_MAX && strspn(name, letters) == n ? name
									   : conf_quote(name, out);
}

static void
error_unknown_section(struct conf_errors *errors, unsigned line, const char *name, unsigned where)
{
	const struct conf_kind *k = conf_kind_nearest(name);

	name = NAMED(name);
	if (k == NULL)
		conf_error(errors, line, "%s: unknown section", name);
	else if (strcmp(k->name, name) == 0)
		conf_error(errors, line, "%s: not allowed %s, expected %s", name, WHERE(where),
			   WHERE(k->parent));
	else
		conf_error(errors, line, "%s: unknown section; did you mean \"%s\" (%s)?", name,
			   k->name, WHERE(k->parent));
}

void
conf_error_unknown(struct conf_errors *errors, unsigned line, const char *name, unsigned where,
		   bool is_section)
{
	const struct key *near = nearest_key(name, where);
	unsigned known = where_known(name);

	name = NAMED(name);
	if (is_section)
		error_unknown_section(errors, line, name, where);
	else if (known != 0)
		conf_error(errors, line, "%s: not allowed %s, expected %s", name, WHERE(where),
			   WHERE(known));
	else if (near == NULL)
		conf_error(errors, line, "%s: unknown key", name);
	else if ((near->where & where) != 0)
		conf_error(errors, line, "%s: unknown key; did you mean \"%s\"?", name, near->name);
	else
		conf_error(errors, line, "%s: unknown key; did you mean \"%s\" (%s)?", name,
			   near->name, WHERE(where_known(near->name)));
}
