/* timing - how long the requests of one revision take, and how long its instances take to
 * start, as they were measured.  Until the first response time is known: how long requests
 * have been waiting for the first answer.
 * Pure: the time is an argument.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_TIMING_H
#define AUTOSCALER_BRAIN_TIMING_H

#include "common/base.h"

#define TIMING_STARTS 8 /* start-up times that are kept */

struct timing {
	/* response times, the newest reports weighing most; latency_n 0: none is known */
	double latency_sum_s, latency_n;

	double start_s[TIMING_STARTS]; /* a ring, */
	size_t starts;		       /* and how many it was given in all */

	/* while no response time is known: the wait for the first answer */
	int64_t answering_ns;	   /* since when an instance answers; 0: none does */
	uint32_t outstanding_most; /* the most requests in flight or parked since then */
	int64_t outstanding_ns;	   /* none of them had ended by then */
	bool is_overdue;	   /* a report had requests in flight, and no answer */
};

/* The first instance answers from now on; none does any more.  Repeating it is harmless. */
void timing_answering(struct timing *, int64_t now_ns);
void timing_not_answering(struct timing *);

/* An instance took so long to start. */
void timing_started(struct timing *, int64_t took_ns);
/* So many responses have taken latency_s on average; completed > 0. */
void timing_completed(struct timing *, double latency_s, uint64_t completed);

/* What a report says of the wait for the first answer.  outstanding: requests in flight and
 * parked at all activators; is_waiting: the report's period has requests in flight, and no
 * response. */
void timing_outstanding(struct timing *, uint32_t outstanding, bool is_waiting, int64_t now_ns);

double timing_latency_s(const struct timing *); /* < 0: unknown */
double timing_start_s(const struct timing *);	/* median of the ring; < 0: unknown */
/* How long the first answer is being waited for; 0: it is not, or a response time is known. */
double timing_waited_s(const struct timing *);

/* What was known before a restart of the autoscaler, until it is measured; < 0: unknown. */
void timing_import(struct timing *, double latency_s, double start_s);

#endif
