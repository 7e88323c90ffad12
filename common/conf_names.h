/* conf_names - the kinds of sections and what people call the places of the file; what
 * a name that is not known may have been meant to be.  Thread: any. */
#ifndef COMMON_CONF_NAMES_H
#define COMMON_CONF_NAMES_H

#include "common/conf_errors.h"
#include "common/settings.h"

struct conf_kind {
	const char *name;
	unsigned where;	 /* IN_*: what it is */
	unsigned parent; /* IN_*: where it may stand */
	bool has_title;
};
extern const struct conf_kind conf_kinds[];
extern const size_t conf_kinds_n;

/* The kind of that name below parent (IN_*, or any of several), or NULL. */
const struct conf_kind *conf_kind_find(const char *name, unsigned parent);

/* The kind whose name is nearest, or NULL where none is near. */
const struct conf_kind *conf_kind_nearest(const char *name);

/* "at the top level", "in service or revision".  Returns out. */
#define CONF_WHERE_MAX 128
const char *conf_where(unsigned where, char out[CONF_WHERE_MAX]);

/* A name as it may stand in a message: quoted where it is not one.  Name or out. */
const char *conf_named(const char *name, char out[CONF_QUOTE_MAX]);

/* Add what there is to say of a name that is not known where it stands. */
void conf_tell_unknown(struct conf_errors *, unsigned line, const char *name, unsigned where,
		       bool is_section);

#endif
