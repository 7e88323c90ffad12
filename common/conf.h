/* conf - the conf file as a tree of sections and texts, each with its line: what
 * libconfuse reads, before anything is made of it (settings.c).  Finds what is wrong
 * with the form: names that are not known (with the nearest known one), what stands
 * twice, syntax.  The only file that sees libconfuse.
 * Thread: one at a time in a process; libconfuse's scanner has globals. */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include "common/conf_errors.h"
#include "common/settings.h"

struct conf_value {
	const struct key *key;
	unsigned line; /* of the first text */
	char **texts;
	unsigned *lines; /* of each text */
	size_t n;	 /* 0: an empty list */
	bool is_bad;	 /* a mistake in it was told; set by who looks at it */
};

enum { IN_NOTHING = 0 };

struct conf_section {
	unsigned where; /* IN_*; IN_NOTHING: one of that name stands before it */
	char *title;	/* NULL: has none */
	unsigned line;	/* of its opening brace; 0: the file itself */
	struct conf_value *values;
	size_t values_n;
	struct conf_section *sections; /* in the order of the file */
	size_t sections_n;
};

/* The whole file, or what could be read of it before a mistake in its syntax (then
 * *is_whole is false); NULL: nothing.  Mistakes are added to errors. */
NODISCARD struct conf_section *conf_read(struct conf_errors *, bool *is_whole);
/* As conf_read(), of n bytes at hand; errors->file only names them. */
NODISCARD struct conf_section *conf_read_bytes(const char *bytes, size_t n, struct conf_errors *,
					       bool *is_whole);
void conf_free(struct conf_section **);

/* NULL where it does not stand in s (or s is NULL). */
const struct conf_value *conf_find(const struct conf_section *, const char *key);

/* The n-th section of a kind (IN_*), or NULL; and how many there are. */
struct conf_section *conf_section_at(const struct conf_section *, unsigned where, size_t n);
size_t conf_sections(const struct conf_section *, unsigned where);

#endif
