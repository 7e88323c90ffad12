#include "activator/date.h"

#include <stdio.h>
#include <time.h>

#include "common/clk.h"

const char *
date_text(struct date *d, int64_t now)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t s;
	struct tm tm;
	int64_t wall;

	if (now < d->until)
		return d->text;
	wall = clk_wall();
	s = (time_t)(wall / CLK_S);
	d->until = now + (CLK_S - wall % CLK_S);
	gmtime_r(&s, &tm);
	snprintf(d->text, sizeof d->text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
		 days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon,
		 (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min, tm.tm_sec);
	return d->text;
}
