/* drain - one drain: a token, what it closes (a revision or one instance), and which activators
 * have not answered yet (activator-protocol(7), "Drains").
 *
 *	ASKED --all have answered--> DRAINED --the driver is asked to stop--> ISSUED
 *
 * The owner ends a drain (drain_free) when what it closed is gone, or takes it back before;
 * either way it sends `resume` to the activators.  A token is never used again, not even by the
 * next process.
 * Pure: no clock, no I/O.  Thread: the owner. */
#ifndef AUTOSCALER_RECONCILE_DRAIN_H
#define AUTOSCALER_RECONCILE_DRAIN_H

#include "common/hmap.h"
#include "common/list.h"

enum drain_state { DRAIN_ASKED, DRAIN_DRAINED, DRAIN_ISSUED };

struct drain_request {
	struct list_node node; /* of scaled_revision.drains */
	char *token;
	void *owner;	/* the scaled_revision */
	char *instance; /* id; NULL: the whole revision */
	enum drain_state state;
	bool is_final; /* of an instance that is retired or ending: never taken back */
	int64_t begun_ns;
	int64_t issued_ns;	  /* when the driver was asked to stop; 0: not yet */
	struct drain_wait *waits; /* one for each activator that was asked */
	size_t waits_n, waits_cap;
};

/* All drains, by token. */
struct drain_table {
	struct hmap by_token;
	const char *prefix; /* of the tokens: unique to this process; borrowed */
	uint64_t number;    /* of the last token */
};

void drain_table_init(struct drain_table *, const char *prefix);
void drain_table_fini(struct drain_table *);					 /* must be empty */
struct drain_request *drain_find(const struct drain_table *, const char *token); /* may be NULL */
size_t drain_count(const struct drain_table *);

/* instance: its id, copied; NULL: the whole revision. */
NODISCARD struct drain_request *drain_new(struct drain_table *, void *owner, const char *instance,
					  int64_t now_ns);
void drain_free(struct drain_table *, struct drain_request **);

/* The peer was asked, and owes an answer. */
void drain_ask(struct drain_request *, uint64_t peer);
/* The peer says that it is drained.  Nothing happens if it was not asked, or has said so before.
 * True: no answer is owed any more, and the state is DRAINED now. */
bool drain_answer(struct drain_request *, uint64_t peer);
/* The peer is gone: it owes no answer any more.  That does not count as `drained`. */
void drain_forget(struct drain_request *, uint64_t peer);
/* drain_timeout is over: DRAINED, whatever answers are owed. */
void drain_give_up(struct drain_request *);
/* The driver is being asked to stop what was drained. */
void drain_issue(struct drain_request *, int64_t now_ns);

bool drain_is_asked(const struct drain_request *, uint64_t peer);
size_t drain_owing(const struct drain_request *); /* how many peers owe an answer */

#endif
