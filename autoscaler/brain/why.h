/* why - the last decisions on one revision, each with what it wanted, the rule that had
 * the last word, and what it went by.  Decisions that say the same as the one before are
 * kept as one, with the newest inputs, so that the ring reaches back hours and not
 * seconds.
 * Pure: the times are arguments.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_WHY_H
#define AUTOSCALER_BRAIN_WHY_H

#include "autoscaler/brain/decide.h"

struct jput;
struct strbuf;

#define WHY_ENTRIES 32

struct why_entry {
	int64_t from_ns, upto_ns; /* wall clock, of the first and of the last of them */
	uint64_t times;
	uint32_t wanted;	   /* as bounded: by silence, max_instances … */
	enum decide_rule rule;	   /* … and the rule that had the last word */
	struct decide_out decided; /* as decide() had it */
	struct decide_view view;   /* that was decided on */
};

struct why {
	struct why_entry *v; /* a ring once it is full; all zero: nothing noted */
	size_t cap;
	uint64_t n; /* noted in all */
};
void why_fini(struct why *);

void why_note(struct why *, const struct decide_out *decided, const struct decide_view *,
	      uint32_t wanted, enum decide_rule, int64_t wall_ns);
/* What was noted last as wanted; 0: nothing was. */
uint32_t why_wanted(const struct why *);
/* The k-th, 0 the newest; NULL: there is none. */
const struct why_entry *why_at(const struct why *, size_t k);

/* An array member "decisions", the newest first; a text of a few lines for each. */
void why_put_json(const struct why *, struct jput *);
void why_put_text(const struct why *, struct strbuf *);

/* 2026-11-25T13:27:50Z */
#define WHY_TIME 24
const char *why_time(int64_t wall_ns, char buf[WHY_TIME]);

#endif
