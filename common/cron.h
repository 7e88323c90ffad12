/* cron - the five fields of crontab(5) as sets: `*`, lists, ranges, steps, and the names of
 * months and days; 0 and 7 are Sunday.  Pure: the caller converts times to the time zone.
 * Thread: any. */
#ifndef COMMON_CRON_H
#define COMMON_CRON_H

#include <time.h>

#include "common/err.h"

struct cron {
	uint64_t minutes;  /* bit 0 to 59 */
	uint32_t hours;	   /* bit 0 to 23 */
	uint32_t days;	   /* bit 1 to 31 */
	uint32_t months;   /* bit 1 to 12 */
	uint32_t weekdays; /* bit 0 (Sunday) to 6 */
	bool any_day;	   /* the field begins with `*` */
	bool any_weekday;
};

NODISCARD int cron_parse(struct cron *, const char *text, struct err *);

/* Does it match this minute?  If neither day field begins with `*`, one that matches is
 * enough, as in crontab(5). */
bool cron_matches(const struct cron *, const struct tm *);

#endif
