/* zone - a time zone of the system's database (tzfile(5)), read once into memory: the
 * C library's own know one zone for the whole process, in the environment, which a
 * program with threads must not change.
 * zone_open() reads a file; the rest is pure.  Thread: any, once it is open. */
#ifndef COMMON_ZONE_H
#define COMMON_ZONE_H

#include <time.h>

#include "common/err.h"

struct zone;

/* name: "UTC", which needs no file, or a file below /usr/share/zoneinfo. */
NODISCARD struct zone *zone_open(const char *name, struct err *);
/* As zone_open(), of the bytes of such a file. */
NODISCARD struct zone *zone_parse(const char *bytes, size_t n, struct err *);
void zone_free(struct zone **);

/* Seconds east of UTC at that time (seconds since the epoch). */
int32_t zone_offset(const struct zone *, int64_t utc_s);

#endif
