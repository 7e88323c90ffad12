/* conf_tree - sections and texts, with the lines of the file in which they are: what conf_read()
 * makes of a conf file, and annotations make of a Deployment.  Thread: the owner. */
#ifndef COMMON_CONF_TREE_H
#define COMMON_CONF_TREE_H

#include "common/settings_keys.h"

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

/* title is copied; NULL: none. */
NODISCARD struct conf_section *conf_section_new(unsigned where, const char *title, unsigned line);
void conf_free(struct conf_section **);

/* Move *sub into s, as its i-th section, and set *sub to NULL.  Pointers to sections of s are
 * no longer valid.  Returns where it is now. */
struct conf_section *conf_insert_section(struct conf_section *s, size_t i,
					 struct conf_section **sub);

/* Add a key without a text.  Pointers to values of s are no longer valid. */
struct conf_value *conf_add_value(struct conf_section *, const struct key *, unsigned line);

/* Add a text of n bytes. */
void conf_add_text(struct conf_value *, const char *text, size_t n, unsigned line);

/* The value of a key in s, or NULL; s may be NULL. */
const struct conf_value *conf_find(const struct conf_section *s, const char *key);

/* The n-th section of a kind (IN_*) in s, or NULL; and the number of these sections. */
struct conf_section *conf_section_at(const struct conf_section *s, unsigned where, size_t n);
size_t conf_section_count(const struct conf_section *s, unsigned where);

#endif
