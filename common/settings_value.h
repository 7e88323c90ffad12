/* settings_value - values of keys: from their texts into the structs of settings.h, and
 * back.  Thread: any. */
#ifndef COMMON_SETTINGS_VALUE_H
#define COMMON_SETTINGS_VALUE_H

#include "common/settings.h"

/* Does the key hold a list of texts? */
bool value_is_list(const struct key *);

/* Check a text; for a key with a list, one of its texts.  -1 with "expected …, got …" in
 * err. */
NODISCARD int value_check(const struct key *, const char *text, struct err *);

/* Set the value of a key in base, the struct of its group, and free the value before.  The
 * texts have passed value_check(); n is 1 unless the key holds a list. */
void value_set(const struct key *, void *base, char *const *texts, size_t n);

/* Append the value as a conf file would have it.  False: it is not set, and nothing was
 * appended. */
bool value_format(const struct key *, const void *base, struct strbuf *);

/* Append a text in double quotes, escaped. */
void value_format_string(const char *, struct strbuf *);

/* Free the values in the struct of a group. */
void value_fini_group(enum key_group, void *base);

/* Copy the values of a group, and free those before in `to`. */
void value_copy_group(enum key_group, void *to, const void *from);

/* Set each key of a group that has a default to it. */
void value_defaults(enum key_group, void *base);

#endif
