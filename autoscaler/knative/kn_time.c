#include "autoscaler/knative/kn_time.h"

#include <time.h>

#define STEP_MOST (INT64_C(3600) * 1000000000)
#define FOLLOW_SHARE 10 /* of the time that passes one part in so many */

const char *
kn_time_format(int64_t wall_s, char out[KN_TIME_SIZE])
{
	time_t t = (time_t)wall_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(out, KN_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		out[0] = '\0';
	return out;
}

int64_t
kn_time_parse(const char *text)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

	return end != NULL && *end == '\0' ? (int64_t)timegm(&tm) : -1;
}

int64_t
kn_clock_ns(struct kn_clock *c, int64_t wall_ns, int64_t now_ns)
{
	int64_t passed = now_ns - c->now_ns, most = passed / FOLLOW_SHARE;
	int64_t ahead = wall_ns - c->wall_ns - passed;

	if (c->wall_ns == 0 || ahead > STEP_MOST || ahead < -STEP_MOST)
		*c = (struct kn_clock){wall_ns, now_ns};
	else
		*c = (struct kn_clock){c->wall_ns + passed + MAX(MIN(ahead, most), -most), now_ns};
	return c->wall_ns;
}
