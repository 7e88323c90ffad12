/* output - what one instance writes, as lines: cut at OUTPUT_LINE_MAX, at most so
 * many in a second (a program that writes without end must cost neither our memory
 * nor the log), and, while nobody is there to take them, the last OUTPUT_TAIL bytes.
 * Pure: the time (monotonic ns) is an argument.  Thread: the keeper's. */
#ifndef AUTOSCALER_KEEPER_OUTPUT_H
#define AUTOSCALER_KEEPER_OUTPUT_H

#include "common/strbuf.h"

#define OUTPUT_LINE_MAX ((size_t)2048) /* bytes; a longer line comes in pieces */
#define OUTPUT_TAIL ((size_t)64 << 10) /* bytes kept while held */
#define OUTPUT_RATE 1000	       /* lines a second in the long run */
#define OUTPUT_BURST 5000	       /* lines at once */

/* Takes a line (borrowed, no newline); false: it has no room, and it is left out. */
typedef bool output_fn(const char *line, size_t n, void *arg);

struct output {
	char line[OUTPUT_LINE_MAX]; /* begun, without its newline yet */
	size_t len;
	double tokens;	    /* lines that may pass now */
	int64_t filled_ns;  /* when tokens was right */
	uint64_t dropped;   /* lines, since output_take_dropped() */
	struct strbuf tail; /* whole lines, while held */
	bool is_held;
};

void output_init(struct output *, int64_t now_ns);
void output_fini(struct output *);

void output_feed(struct output *, const char *data, size_t n, int64_t now_ns, output_fn *fn,
		 void *arg);
/* There will be no more: what was begun is a line. */
void output_end(struct output *, int64_t now_ns, output_fn *fn, void *arg);

/* Keep lines instead of passing them on. */
void output_hold(struct output *);
/* Pass on what was kept (all of it: it is bounded), and from now on what comes. */
void output_release(struct output *, output_fn *fn, void *arg);

/* How many lines were left out since the last call. */
uint64_t output_take_dropped(struct output *);

#endif
