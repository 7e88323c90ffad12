/* logbook - the last lines that the instances of each revision have written, for `activatorctl
 * logs`.  They outlive the instance that wrote them, and the autoscaler.
 * Each revision may hold bytes_each, and all together bytes_all: beyond that the oldest lines of
 * the revision go, or those of the revision that has been silent for the longest. Pure: the time is
 * an argument.  Thread: the keeper's. */
#ifndef AUTOSCALER_KEEPER_LOGBOOK_H
#define AUTOSCALER_KEEPER_LOGBOOK_H

#include "common/str_list.h"

struct logbook; /* opaque */

struct logbook_line {
	uint64_t seq;	 /* of all lines of the book, from 1 on */
	int64_t wall_ms; /* when it came */
	const char *revision;
	const char *id; /* of the instance */
	const char *text;
	size_t n;
};

NODISCARD struct logbook *logbook_new(size_t bytes_each, size_t bytes_all);
void logbook_free(struct logbook **);
void logbook_set_bounds(struct logbook *, size_t bytes_each, size_t bytes_all);

/* Keep a line; returns its number. */
uint64_t logbook_add(struct logbook *, const char *revision, const char *id, const char *text,
		     size_t n, int64_t wall_ms);

/* Call fn for the lines of these revisions that came behind the line `after`, and not before
 * since_ms, in their order; of more than bytes_max bytes only for the last ones.  fn may not change
 * the book. */
typedef void logbook_fn(const struct logbook_line *, void *arg);
void logbook_each(const struct logbook *, const struct str_list *revisions, uint64_t after,
		  int64_t since_ms, size_t bytes_max, logbook_fn *fn, void *arg);

/* Bytes that it holds. */
size_t logbook_bytes(const struct logbook *);

#endif
