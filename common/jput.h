/* jput - writes one JSON value as one line of text: no white space, no raw
 * newline, control bytes escaped, bytes that are no UTF-8 replaced by U+FFFD, so that
 * whatever a program prints can be passed on.
 * Thread: the buffer's owner. */
#ifndef COMMON_JPUT_H
#define COMMON_JPUT_H

#include "common/base.h"

struct strbuf;

struct jput {
	struct strbuf *out;
	bool is_comma_due;
};

void jput_init(struct jput *, struct strbuf *out);

/* key: the member's name; NULL in an array and at the root. */
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

/* A member only if there is something to say. */
void jput_string_if(struct jput *, const char *key, const char *value); /* not NULL */

#endif
