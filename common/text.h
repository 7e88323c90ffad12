/* text - strings that may be absent: NULL is a value of its own, and differs from "".
 * Letters are ASCII; the locale is never asked.  Thread: any. */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include "common/base.h"

/* Equal bytes, or both NULL. */
bool text_equal(const char *a, const char *b);

/* A copy, the caller's to free; NULL of NULL. */
NODISCARD char *text_copy(const char *);

/* Free *to and put a copy of text there. */
void text_replace(char **to, const char *text);

static inline char
text_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* The first n bytes of s in lower case, the caller's to free. */
NODISCARD char *text_lower_copy(const char *s, size_t n);

/* Read the n bytes at s as a decimal number, digits alone, at most `most`.  False: they
 * are something else, and *out is as it was. */
NODISCARD bool text_number(const char *s, size_t n, uint32_t most, uint32_t *out);

#endif
