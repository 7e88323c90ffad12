/* conf - the conf file as a tree of sections and texts with their lines, as libconfuse reads
 * it; settings.c makes settings of the tree.  Finds mistakes of form: in the syntax,
 * unknown names, and keys and sections that are repeated.  No other file uses libconfuse.
 * Thread: one call at a time in a process, because libconfuse's scanner has globals. */
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
	bool is_bad;	 /* a mistake in it was reported; later checks pass over it */
};

enum { IN_IGNORED = 0 };

struct conf_section {
	unsigned where; /* IN_*; IN_IGNORED: it repeats an earlier section */
	char *title;	/* NULL: has none */
	unsigned line;	/* of its opening brace; 0: the root */
	struct conf_value *values;
	size_t values_n;
	struct conf_section *sections; /* in it, in the order of the file */
	size_t sections_n;
};

/* Read the file that errors->file names.  Returns its tree, or the part of it before a
 * mistake in the syntax (then *is_whole is false), or NULL.  Adds mistakes to errors. */
NODISCARD struct conf_section *conf_read(struct conf_errors *, bool *is_whole);
/* As conf_read(), from these n bytes; messages call them errors->file. */
NODISCARD struct conf_section *conf_read_bytes(const char *bytes, size_t n, struct conf_errors *,
					       bool *is_whole);
void conf_free(struct conf_section **);

/* The value of a key in s, or NULL; s may be NULL. */
const struct conf_value *conf_find(const struct conf_section *, const char *key);

/* The n-th section of a kind (IN_*) in s, or NULL; and the number of these sections. */
struct conf_section *conf_section_at(const struct conf_section *, unsigned where, size_t n);
size_t conf_section_count(const struct conf_section *, unsigned where);

#endif
