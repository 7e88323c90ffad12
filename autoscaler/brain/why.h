/* why - the last decisions on one revision: what was wanted, which rule made it so, and what
 * it was based on.  Equal decisions in a row are one entry, with the newest inputs, so that
 * the ring goes back hours and not seconds.
 * Pure: the times are arguments.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_WHY_H
#define AUTOSCALER_BRAIN_WHY_H

#include "autoscaler/brain/decide.h"

struct jput;
struct strbuf;

#define WHY_ENTRIES 32
#define WHY_HOLDER 64 /* bytes of a name */

struct why_entry {
	int64_t from_ns, upto_ns;  /* wall clock, of the first and of the last decision */
	uint64_t times;		   /* decisions */
	uint32_t wanted;	   /* as bounded (reconcile/wanted.h) … */
	enum decide_rule rule;	   /* … and the rule that made it so */
	struct decide_out decided; /* before the bounds */
	struct decide_view view;   /* what it is based on */
	char holder[WHY_HOLDER];   /* who has set view.held; "": no other client has */
};

struct why {		     /* all zero: nothing noted */
	struct why_entry *v; /* a ring, once it is full */
	size_t cap;
	uint64_t n; /* noted so far */
};
void why_fini(struct why *);

/* holder: who holds the scale; NULL: no other client. */
void why_note(struct why *, const struct decide_out *decided, const struct decide_view *,
	      uint32_t wanted, enum decide_rule, const char *holder, int64_t wall_ns);
/* The number that was noted last; 0: none was. */
uint32_t why_wanted(const struct why *);
/* The k-th entry, 0 the newest; NULL: there are fewer. */
const struct why_entry *why_at(const struct why *, size_t k);

/* As JSON: an array member "decisions", the newest first.  As text: two lines for each. */
void why_put_json(const struct why *, struct jput *);
void why_put_text(const struct why *, struct strbuf *);

/* 2026-11-25T13:27:50Z */
#define WHY_TIME 24
const char *why_time(int64_t wall_ns, char buf[WHY_TIME]);

#endif
