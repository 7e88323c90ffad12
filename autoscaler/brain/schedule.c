#include "autoscaler/brain/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/cron.h"
#include "common/zone.h"

#define MINUTE_S 60

struct calendar_entry {
	const struct schedule *conf;
	struct cron cron;
	struct cron hours; /* matches all minutes of an hour in which cron may match one */
	struct zone *zone;
	int64_t until_s; /* it holds until then; 0: it does not hold */
};

struct schedules {
	struct calendar_entry *v;
	size_t n;
	int64_t minute; /* for which until_s is known; INT64_MIN: none */
};

struct schedules *
schedules_new(const struct schedule *v, size_t n, struct err *e)
{
	struct schedules *s = xcalloc(1, sizeof *s);
	size_t i;

	*e = (struct err){.code = 0};
	s->v = xcalloc(n + 1, sizeof *s->v);
	s->minute = INT64_MIN;
	for (i = 0; i < n; i++) {
		struct calendar_entry *at = &s->v[s->n];

		*at = (struct calendar_entry){.conf = &v[i]};
		if (cron_parse(&at->cron, v[i].cron, e) == 0 &&
		    (at->zone = zone_open(v[i].time_zone, e)) != NULL) {
			at->hours = at->cron;
			at->hours.minutes = UINT64_MAX;
			s->n++;
		} else {
			err_prefix(e, "schedule \"%s\"", v[i].name);
		}
	}
	return s;
}

void
schedules_free(struct schedules **sp)
{
	struct schedules *s = *sp;
	size_t i;

	*sp = NULL;
	if (s == NULL)
		return;
	for (i = 0; i < s->n; i++)
		zone_free(&s->v[i].zone);
	free(s->v);
	free(s);
}

static struct tm
calendar(int64_t local_s)
{
	time_t t = (time_t)local_s;
	struct tm tm;

	gmtime_r(&t, &tm);
	return tm;
}

/* Does the entry begin at this minute, or at one that the clocks skip right before it? */
static bool
begins(const struct calendar_entry *at, int64_t utc_s, int32_t offset, int32_t before)
{
	int64_t local;

	for (local = utc_s + MIN(offset, before); local <= utc_s + offset; local += MINUTE_S) {
		struct tm tm = calendar(local);

		if (cron_matches(&at->cron, &tm))
			return true;
	}
	return false;
}

/* How far back to look next: if no minute of this hour can match, to the hour before it. */
static int64_t
stride(const struct calendar_entry *at, int64_t utc_s, int32_t offset)
{
	struct tm tm = calendar(utc_s + offset);
	int64_t back = (int64_t)(tm.tm_min + 1) * MINUTE_S;

	if (cron_matches(&at->hours, &tm))
		return MINUTE_S;
	return zone_offset(at->zone, utc_s - back) == offset ? back : MINUTE_S;
}

/* When the entry ends, going back to its last begin; 0: it does not hold. */
static int64_t
until(const struct calendar_entry *at, int64_t utc_s)
{
	int64_t length = at->conf->duration / CLK_S, t = utc_s - utc_s % MINUTE_S;

	while (t > utc_s - length) {
		int32_t offset = zone_offset(at->zone, t);

		if (begins(at, t, offset, zone_offset(at->zone, t - MINUTE_S)))
			return t + length;
		t -= stride(at, t, offset);
	}
	return 0;
}

struct schedule_now
schedules_at(struct schedules *s, int64_t wall_ns)
{
	struct schedule_now now = {.min_scale = 0};
	int64_t utc_s = wall_ns / CLK_S;
	size_t i;

	for (i = 0; i < s->n; i++) {
		struct calendar_entry *at = &s->v[i];

		if (utc_s / MINUTE_S != s->minute)
			at->until_s = until(at, utc_s);
		if (utc_s < at->until_s && at->conf->min_scale > now.min_scale)
			now = (struct schedule_now){at->conf->min_scale, at->conf->name};
	}
	s->minute = utc_s / MINUTE_S;
	return now;
}
