/* idleness - learned idleness (`keep_warm = learned`): how long to keep the last instance after
 * the last request, and when to start one ahead of the next request.
 *
 * This is the hybrid histogram policy of "Serverless in the Wild" (Shahrad and others, USENIX
 * ATC 2020), with its numbers.  Idle times are counted in bins of a minute, up to four hours.
 * Either the last instance stays until a little after the 99th percentile; or it is stopped at
 * once, and another one is started a little before the 5th percentile.  Neither applies if
 * the bins differ too little, or if most idle times are longer than four hours: then the fixed
 * window holds (the paper's ARIMA forecast for long idle times is left out).
 * In addition to the paper: at least ten idle times are needed, an instance is started earlier
 * by its start-up time, and beyond a thousand idle times all counts are halved, so that newer
 * ones weigh more.
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_IDLENESS_H
#define AUTOSCALER_BRAIN_IDLENESS_H

#include "common/base.h"

struct strbuf;

#define IDLENESS_BINS 240 /* of a minute each */

struct idleness; /* opaque, one per revision */

NODISCARD struct idleness *idleness_new(void);
void idleness_free(struct idleness **);

/* Whether there were requests since the last call.  An idle time begins when they end, and is
 * over when they are back. */
void idleness_note(struct idleness *, bool is_busy, int64_t now_ns);

enum idleness_pattern {
	IDLENESS_FEW,	 /* too few idle times are known */
	IDLENESS_SPREAD, /* they vary too much to tell anything */
	IDLENESS_BEYOND, /* most are longer than all bins */
	IDLENESS_KEEP,	 /* keep the last instance from the last request on */
	IDLENESS_RETURN, /* stop it at once, and start one ahead of the next request */
};

struct idleness_advice {
	enum idleness_pattern pattern;
	bool is_learned;       /* KEEP or RETURN: it replaces the fixed window */
	bool is_warm;	       /* there is to be an instance now, although it is idle */
	double from_s, upto_s; /* and in between these times since the last request */
};
/* start_s: start-up time of an instance; < 0: unknown. */
struct idleness_advice idleness_advise(const struct idleness *, double start_s, int64_t now_ns);

/* The same as one sentence. */
void idleness_explain(const struct idleness *, double start_s, int64_t now_ns, struct strbuf *);

/* --- kept over a restart (reconcile/learned.h) --- */
struct idleness_data {
	uint32_t bins[IDLENESS_BINS];
	uint32_t beyond; /* longer than all bins */
	int64_t idle_ns; /* how long it has been idle; < 0: it is not, or that is unknown */
};
void idleness_export(const struct idleness *, struct idleness_data *, int64_t now_ns);
/* d->idle_ns is as of now_ns; < 0: the idle time of now is not counted. */
void idleness_import(struct idleness *, const struct idleness_data *, int64_t now_ns);

#endif
