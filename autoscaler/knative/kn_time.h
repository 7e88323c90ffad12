/* kn_time - times of objects: RFC 3339, in UTC, with whole seconds.  Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_TIME_H
#define AUTOSCALER_KNATIVE_KN_TIME_H

#include "common/base.h"

#define KN_TIME_SIZE 32

/* Seconds since 1970 as "2026-11-30T23:59:59Z".  Returns out. */
const char *kn_time_format(int64_t wall_s, char out[KN_TIME_SIZE]);
/* -1: text is no such time. */
int64_t kn_time_parse(const char *text);

/* A wall clock that does not step, for what is written into objects and compared later: where
 * the machine's is put right by some minutes, this one follows over ten times as long, so that no
 * deadline is over at once and none moves away.  A difference of more than an hour it takes at
 * once.  {0}: it begins with the first call. */
struct kn_clock {
	int64_t wall_ns, now_ns;
};

/* What it says.  wall_ns: the machine's; now_ns: monotonic. */
int64_t kn_clock_ns(struct kn_clock *, int64_t wall_ns, int64_t now_ns);

#endif
