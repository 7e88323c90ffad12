/* settings_origins - in which section and line of the conf file each value was set, for
 * messages and for settings_dump().  Thread: as the settings that they belong to. */
#ifndef COMMON_SETTINGS_ORIGINS_H
#define COMMON_SETTINGS_ORIGINS_H

#include "common/settings_keys.h"

struct settings_origin {
	const struct key *key;
	unsigned where; /* IN_*: the kind of the section */
	unsigned line;
};

/* A key without an entry has its default. */
struct settings_origins {
	struct settings_origin *v; /* at most one for each key */
	size_t n;
};

/* Add the origin of its key, or replace the one that is there. */
void settings_origins_put(struct settings_origins *, struct settings_origin);

/* NULL: the key has its default. */
const struct settings_origin *settings_origins_find(const struct settings_origins *,
						    const struct key *);

/* The line in which the first key of that name was set; `otherwise` if it has its
 * default. */
unsigned settings_origins_line(const struct settings_origins *, const char *key,
			       unsigned otherwise);

#endif
