/* strbuf - a growing byte buffer with a ceiling, so that no peer can make it grow without
 * bound: what would pass the ceiling is not added, and the call fails.
 * Once allocated, data[len] is NUL.  Thread: the owner. */
#ifndef COMMON_STRBUF_H
#define COMMON_STRBUF_H

#include "common/base.h"

struct strbuf {
	char *data; /* NULL until something was added */
	size_t len;
	size_t cap;  /* bytes allocated */
	size_t ceil; /* the most bytes it may hold; 0: no ceiling */
};

void strbuf_init(struct strbuf *, size_t ceil);
void strbuf_fini(struct strbuf *);

/* Append.  Return 0, or -1 if that would pass the ceiling: then nothing is added. */
int strbuf_add(struct strbuf *, const void *data, size_t n);
int strbuf_adds(struct strbuf *, const char *s);
int strbuf_addf(struct strbuf *, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Append a finite number in decimal, in 15 digits where they read back as the same double,
 * else in 17. */
int strbuf_add_number(struct strbuf *, double);

/* Make room for n more bytes behind len; the caller writes there, and raises len and puts
 * the NUL behind it.  The ceiling is not checked. */
NODISCARD char *strbuf_reserve(struct strbuf *, size_t n);
/* About n more bytes are going to be appended: allocate for all of them at once. */
void strbuf_expect(struct strbuf *, size_t n);

/* Drop the first n bytes. */
void strbuf_consume(struct strbuf *, size_t n);

/* The text ("" if empty), borrowed until the buffer changes. */
const char *strbuf_str(const struct strbuf *);

/* The text, never NULL, the caller's to free; the buffer is empty afterwards. */
NODISCARD char *strbuf_take(struct strbuf *);

/* `to`, which is empty, gets what `from` holds, with its memory; `from` is empty afterwards. */
void strbuf_move(struct strbuf *to, struct strbuf *from);

void strbuf_clear(struct strbuf *);

#endif
