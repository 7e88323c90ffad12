/* idleness - learned idleness (`keep_warm = learned`): how long to stay warm after the
 * last request, and when to come up ahead of the next one.  The hybrid histogram policy
 * of "Serverless in the Wild" (Shahrad and others, USENIX ATC 2020), with its figures:
 * idle times in bins of a minute up to four hours; down at once and up again a little
 * before the 5th percentile, else warm to a little behind the 99th; none of it where the
 * counts of the bins hardly differ or most idle times are longer than four hours.  There
 * the fixed window holds; the paper's forecast for the long ones (ARIMA) is left out.
 * Beside the paper: at least ten idle times, the start-up time comes off the time to come
 * up, and the old counts half once there are a thousand.
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_IDLENESS_H
#define AUTOSCALER_BRAIN_IDLENESS_H

#include "common/base.h"

struct strbuf;

#define IDLENESS_BINS 240 /* of a minute each */

struct idleness; /* opaque, one per revision */

NODISCARD struct idleness *idleness_new(void);
void idleness_free(struct idleness **);

/* Whether anything was asked, or in flight or parked, of late: the change to it ends an
 * idle time, the change from it begins one.  Before the first call nothing runs. */
void idleness_note(struct idleness *, bool is_busy, int64_t now_ns);

enum idleness_pattern {
	IDLENESS_FEW,	 /* too few idle times are known */
	IDLENESS_SPREAD, /* they may be anything: the histogram represents nothing */
	IDLENESS_BEYOND, /* most are longer than it reaches */
	IDLENESS_KEEP,	 /* stay warm from the last request on */
	IDLENESS_RETURN, /* down at once, and up again ahead of the next one */
};

struct idleness_advice {
	enum idleness_pattern pattern;
	bool is_learned;       /* KEEP or RETURN: the fixed window is not asked */
	bool is_warm;	       /* be up now, though idle */
	double from_s, upto_s; /* be up between these, since the last request */
};
/* start_s: how long an instance takes to start; < 0: unknown. */
struct idleness_advice idleness_advise(const struct idleness *, double start_s, int64_t now_ns);

/* The same as one sentence. */
void idleness_explain(const struct idleness *, double start_s, int64_t now_ns, struct strbuf *);

/* --- to be kept over a restart --- */
struct idleness_data {
	uint32_t bins[IDLENESS_BINS];
	uint32_t beyond;
	int64_t idle_ns; /* how long it has been idle; < 0: it is not, or that is unknown */
};
void idleness_export(const struct idleness *, struct idleness_data *, int64_t now_ns);
/* idle_ns as it is at now_ns; < 0: the idle time that runs will not be counted. */
void idleness_import(struct idleness *, const struct idleness_data *, int64_t now_ns);

#endif
