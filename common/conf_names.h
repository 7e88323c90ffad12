/* conf_names - the kinds of sections, how messages name them, and which known name an
 * unknown one resembles.  Thread: any. */
#ifndef COMMON_CONF_NAMES_H
#define COMMON_CONF_NAMES_H

#include "common/conf_errors.h"
#include "common/settings.h"

struct conf_kind {
	const char *name;
	unsigned where;	 /* IN_*: its own */
	unsigned parent; /* IN_*: of the section that contains it */
	bool has_title;
};
extern const struct conf_kind conf_kinds[];
extern const size_t conf_kinds_n;

/* The kind of that name in a section of kind parent (one or several IN_*), or NULL. */
const struct conf_kind *conf_kind_find(const char *name, unsigned parent);

/* The one of n words that resembles word most, or NULL if none does. */
const char *conf_word_nearest(const char *word, const char *const *words, size_t n);

/* The kind whose name resembles name most, or NULL if none does. */
const struct conf_kind *conf_kind_nearest(const char *name);

/* Write the kinds in where (IN_*) into out: "at the top level", "in service or revision".
 * Returns out. */
#define CONF_WHERE_MAX 128
const char *conf_where(unsigned where, char out[CONF_WHERE_MAX]);

/* A name for a message: name itself, or out, with name in quotes, if no key can have such a
 * name. */
const char *conf_named(const char *name, char out[CONF_QUOTE_MAX]);

/* Add the mistake that the name of a key or section is unknown, or not allowed in a section
 * of kind where. */
void conf_error_unknown(struct conf_errors *, unsigned line, const char *name, unsigned where,
			bool is_section);

#endif
