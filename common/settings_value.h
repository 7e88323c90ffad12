/* settings_value - between the text of a value and what a struct of settings.h holds.
 * Pure.  Thread: any. */
#ifndef COMMON_SETTINGS_VALUE_H
#define COMMON_SETTINGS_VALUE_H

#include "common/settings.h"

/* True where a key holds several texts. */
bool value_is_list(const struct key *);

/* -1: "expected …, got …" in err.  Of a list, one of its texts. */
NODISCARD int value_check(const struct key *, const char *text, struct err *);

/* Put texts that passed value_check() into base, the struct of the key's group; what
 * stood there is freed.  Else than for a list, n is 1. */
void value_set(const struct key *, void *base, char *const *texts, size_t n);

/* Append the value as a conf file would have it; false: it is unset, nothing appended. */
bool value_format(const struct key *, const void *base, struct strbuf *);

/* Append a text in double quotes. */
void value_format_string(const char *, struct strbuf *);

/* Free what the struct of a group holds. */
void value_fini_group(enum key_group, void *base);

/* All that the struct of a group holds, copied; what stood in `to` is freed. */
void value_copy_group(enum key_group, void *to, const void *from);

/* All keys of a group as their defaults have it. */
void value_defaults(enum key_group, void *base);

#endif
