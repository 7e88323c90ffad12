/* kn_time - times of objects: RFC 3339, in UTC, with whole seconds.  Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_TIME_H
#define AUTOSCALER_KNATIVE_KN_TIME_H

#include "common/base.h"

#define KN_TIME_SIZE 32

/* Seconds since 1970 as "2026-11-30T23:59:59Z".  Returns out. */
const char *kn_time_format(int64_t wall_s, char out[KN_TIME_SIZE]);
/* -1: text is no such time. */
int64_t kn_time_parse(const char *text);

#endif
