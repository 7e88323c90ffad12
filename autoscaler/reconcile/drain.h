/* drain - one question to all activators: is it empty?  A token, what it closes (a
 * whole revision or one instance), and who still owes an answer (DESIGN 7, "Drain").
 *
 *	ASKED --all answered--> DRAINED --stop issued--> ISSUED
 *
 * It ends (is freed) when what it closed is gone, or when it is taken back, which its
 * owner tells the activators with `resume`.  Tokens are never used again, not even by
 * the next process.
 * Pure: no clock, no I/O.  Thread: the owner. */
#ifndef AUTOSCALER_RECONCILE_DRAIN_H
#define AUTOSCALER_RECONCILE_DRAIN_H

#include "common/hmap.h"
#include "common/list.h"

enum drain_state { DRAIN_ASKED, DRAIN_DRAINED, DRAIN_ISSUED };

struct drain_request {
	struct list_node node; /* the owner's */
	char *token;
	void *owner;	/* the revision */
	char *instance; /* its id; NULL: the whole revision */
	enum drain_state state;
	int64_t begun_ns;
	int64_t issued_ns; /* when the stop was; 0 before */
	struct drain_wait *waits;
	size_t waits_n, waits_cap;
};

/* All tokens that are out. */
struct drain_table {
	struct hmap by_token;
	const char *prefix; /* unique to this process; borrowed */
	uint64_t number;
};

void drain_table_init(struct drain_table *, const char *prefix);
void drain_table_fini(struct drain_table *);					 /* must be empty */
struct drain_request *drain_find(const struct drain_table *, const char *token); /* may be NULL */
size_t drain_count(const struct drain_table *);

/* instance: NULL for the whole revision; copied. */
NODISCARD struct drain_request *drain_new(struct drain_table *, void *owner, const char *instance,
					  int64_t now_ns);
void drain_free(struct drain_table *, struct drain_request **);

/* peer is asked and owes an answer from now on. */
void drain_ask(struct drain_request *, uint64_t peer);
/* peer says that it is drained.  An instance is never un-drained by an answer; who was
 * not asked says nothing.  True: that was the last one, and state is DRAINED now. */
bool drain_answer(struct drain_request *, uint64_t peer);
/* peer is gone: it owes no more, but does not count as an answer either. */
void drain_forget(struct drain_request *, uint64_t peer);
/* Nobody is waited for any longer (drain_timeout): DRAINED. */
void drain_give_up(struct drain_request *);
/* The stop is on its way. */
void drain_issue(struct drain_request *, int64_t now_ns);

bool drain_is_asked(const struct drain_request *, uint64_t peer);
size_t drain_owing(const struct drain_request *); /* peers that owe an answer */

#endif
