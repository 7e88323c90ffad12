/* conf - the conf file as a tree of sections and texts, each with its line: what
 * libconfuse reads, before anything is made of it (settings.c).  Finds what is wrong
 * with the form: unknown keys (with the nearest known one), doubled ones, syntax.
 * The only file that sees libconfuse.  Thread: any. */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include "common/settings.h"

struct conf_value {
	const struct key *key;
	unsigned line;
	char **texts;
	size_t n;
};

struct conf_section {
	unsigned where; /* IN_* */
	char *title;	/* NULL: has none */
	unsigned line;
	struct conf_value *values;
	size_t values_n;
	struct conf_section *sections; /* in the order of the file, by kind */
	size_t sections_n;
};

/* The whole file, or NULL with at least one error added. */
NODISCARD struct conf_section *conf_read(const char *file, struct settings_errors *);
void conf_free(struct conf_section **);

const struct conf_value *conf_find(const struct conf_section *, const char *key);

/* Add "FILE:LINE: …" (line 0: "FILE: …"); past CONF_ERRORS_MAX they are only counted. */
#define CONF_ERRORS_MAX 20
void conf_error(struct settings_errors *, const char *file, unsigned line, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

#endif
