/* zone - a time zone of the system's database (tzfile(5)), read into memory.  The C library
 * has one zone for the whole process, set by the environment, which a program with threads
 * must not change.
 * zone_open() reads a file; the rest is pure.  Thread: any. */
#ifndef COMMON_ZONE_H
#define COMMON_ZONE_H

#include <time.h>

#include "common/err.h"

struct zone;

/* name: a file below /usr/share/zoneinfo, or "UTC", which needs none. */
NODISCARD struct zone *zone_open(const char *name, struct err *);
/* As zone_open(), from the bytes of such a file. */
NODISCARD struct zone *zone_parse(const char *bytes, size_t n, struct err *);
void zone_free(struct zone **);

/* The offset from UTC, in seconds to the east, at a time in seconds since the epoch. */
int32_t zone_offset(const struct zone *, int64_t utc_s);

#endif
