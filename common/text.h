/* text - strings that may be absent: NULL is a value of its own, and differs from "".
 * Letters are ASCII; the locale is never asked.  Thread: any. */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <string.h>

#include "common/base.h"

/* Equal bytes, or both NULL. */
bool text_equal(const char *a, const char *b);

/* Are the n bytes at s, which may hold anything, those of `word`? */
static inline bool
text_is(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(s, word, n) == 0;
}

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

/* Read the n bytes at s as a decimal number, with nothing but digits, up to `max`.
 * False: it is no such number, and *out is left as it was. */
NODISCARD bool text_number(const char *s, size_t n, uint32_t max, uint32_t *out);

/* The length of the UTF-8 character at s, of whose bytes n may be read, or 0: s begins with
 * none (RFC 3629: no surrogates, nothing overlong). */
size_t text_utf8_length(const char *s, size_t n);

/* Put '?' for each control character (of C0 but the tab, DEL, C1) and each byte that is no UTF-8:
 * the text cannot move the cursor of a terminal or change its colours.  It may become shorter. */
void text_make_printable(char *);

#endif
