/* jput - writes a JSON value as one line: without white space, with control bytes escaped,
 * and with U+FFFD in place of bytes that are not UTF-8, so that any string can be written.
 * Thread: the buffer's owner. */
#ifndef COMMON_JPUT_H
#define COMMON_JPUT_H

#include "common/base.h"

struct str_list;
struct strbuf;

struct jput {
	struct strbuf *out;
	bool is_comma_due;
};

void jput_init(struct jput *, struct strbuf *out);

/* key: the name of the member; NULL: an element of an array, or the root. */
void jput_object(struct jput *, const char *key);
void jput_object_end(struct jput *);
void jput_array(struct jput *, const char *key);
void jput_array_end(struct jput *);

void jput_string(struct jput *, const char *key, const char *value); /* NULL: null */
void jput_i64(struct jput *, const char *key, int64_t value);
void jput_u64(struct jput *, const char *key, uint64_t value);
void jput_double(struct jput *, const char *key, double value); /* not finite: null */
void jput_bool(struct jput *, const char *key, bool value);
void jput_null(struct jput *, const char *key);

/* An array of strings. */
void jput_strings(struct jput *, const char *key, const struct str_list *);

/* A member unless value is NULL. */
void jput_string_if(struct jput *, const char *key, const char *value);
/* A member unless the list is empty. */
void jput_strings_if(struct jput *, const char *key, const struct str_list *);

#endif
