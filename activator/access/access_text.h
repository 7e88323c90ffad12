/* access_text - the values of which lines of the access log consist: bytes, and the time.
 * Pure.  Thread: any. */
#ifndef ACTIVATOR_ACCESS_ACCESS_TEXT_H
#define ACTIVATOR_ACCESS_ACCESS_TEXT_H

#include <string.h>

#include "common/base.h"

#define ACCESS_TEXT_MAX ((size_t)2048) /* bytes of one text, before they are escaped */

/* Bytes that may hold anything; s is NULL: there is no such text. */
struct access_text {
	const char *s;
	size_t n;
};

static inline struct access_text
access_text_of(const char *s)
{
	return (struct access_text){s, s == NULL ? 0 : strlen(s)};
}

/* The time that a line names, formatted once for all lines of its millisecond.  Zeroed: none yet.
 */
struct access_clock {
	int64_t second, ms; /* since 1970 */
	char iso[32];	    /* "2026-11-30T16:11:44.123Z" */
	char local[40];	    /* "30/Nov/2026:16:11:44 +0000" */
	size_t local_n;
};

#endif
