/* output - what one instance writes, as lines.  A line is cut into pieces at
 * OUTPUT_LINE_MAX.  Lines beyond a rate are dropped and counted, so that a program that
 * writes without end fills neither memory nor log.  While lines are held (no autoscaler is
 * connected), the last OUTPUT_TAIL bytes are kept.
 * Pure: the time (monotonic ns) is an argument.  Thread: the keeper's. */
#ifndef AUTOSCALER_KEEPER_OUTPUT_H
#define AUTOSCALER_KEEPER_OUTPUT_H

#include "common/strbuf.h"

#define OUTPUT_LINE_MAX ((size_t)2048) /* bytes; a longer line comes in pieces */
#define OUTPUT_TAIL ((size_t)64 << 10) /* bytes kept while lines are held */
#define OUTPUT_RATE 1000	       /* lines a second in the long run */
#define OUTPUT_BURST 5000	       /* lines at once */

/* Takes a line (borrowed, no newline).  False: it has no room for the line, drop it. */
typedef bool output_fn(const char *line, size_t n, void *arg);

/* Takes each line that is passed on or held (borrowed, no newline), before that. */
typedef void output_keep_fn(const char *line, size_t n, void *arg);

struct output {
	char line[OUTPUT_LINE_MAX]; /* the line under way, before its newline */
	size_t len;
	double tokens;	    /* lines that may pass now (a token bucket) */
	int64_t filled_ns;  /* when tokens was computed */
	uint64_t dropped;   /* lines, since output_take_dropped() */
	struct strbuf tail; /* whole lines, while they are held */
	bool is_holding;
	output_keep_fn *keep; /* NULL: none */
	void *keep_arg;
};

void output_init(struct output *, int64_t now_ns);
void output_fini(struct output *);
/* From now on call keep for each line. */
void output_keep(struct output *, output_keep_fn *keep, void *arg);

void output_feed(struct output *, const char *data, size_t n, int64_t now_ns, output_fn *fn,
		 void *arg);
/* The output has ended: what was begun is a line. */
void output_end(struct output *, int64_t now_ns, output_fn *fn, void *arg);

/* From now on hold lines instead of passing them on. */
void output_hold(struct output *);
/* Pass on the lines that were held, whatever the rate, and from now on each new line. */
void output_release(struct output *, output_fn *fn, void *arg);

/* How many lines were dropped since the last call. */
uint64_t output_take_dropped(struct output *);

#endif
