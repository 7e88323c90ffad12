/* rollout_judge - when a step of a rollout is over, and when the rollout goes back.
 *
 * It looks at the requests of the new revision since the step began, and again at those of the last
 * minute or two, beside those of the old revisions over the same time.  A bound is broken if more
 * requests are bad than it allows of all requests; where they are few, than it allows of
 * min_requests, or of as many as it takes to allow one: errors>1% allows one error of the first
 * hundred requests, and so does p99.  So one bad request of few decides nothing, but a revision
 * that fails each request goes back after the second.  A request that takes longer than a bound
 * counts as slow before it has ended, but not so many as the old revisions have open for as long:
 * tunnels and streams of events.
 *
 * Where the old revisions break an absolute bound as well, and the new one is at most twice as bad,
 * the fault is not the new one's: the rollout waits.
 * Pure: no clock, no I/O.  Thread: the owner. */
#ifndef AUTOSCALER_VERSIONS_ROLLOUT_JUDGE_H
#define AUTOSCALER_VERSIONS_ROLLOUT_JUDGE_H

#include "autoscaler/versions/rollout.h"
#include "common/tally.h"

struct strbuf;

#define ROLLOUT_SAMPLES 128 /* seconds: requests that hang longer show only once they end */

/* The figures of one side, at one time. */
struct rollout_figures {
	struct tally tally; /* of what has ended, since some time before the rollout */
	uint32_t open;	    /* requests in flight or parked, as of the same reports */
};

struct rollout_facts {
	int64_t now_ns;
	struct rollout_figures new, old; /* old: the sums of all others in `before` */
	/* Counts the links of activators that have come or gone: what was in flight before cannot
	 * be compared with what ended after. */
	uint64_t links;
	bool has_links; /* an activator is connected */
	/* When the last whole reports of the activators came: the figures are as old.  0: a report
	 * has come in part, so that open requests and tallies are of different times. */
	int64_t oldest_report_ns, newest_report_ns;
	uint32_t ready;	      /* instances of the new revision that answer … */
	uint32_t needed;      /* … and that its next percent needs */
	const char *failure;  /* why its instances cannot be started; NULL: they can */
	const char *obstacle; /* … for a reason that is not its own, or while others answer */
};

/* What is remembered from look to look; not stored. */
struct rollout_watch {
	bool is_begun;
	int64_t since_ns; /* the time of the step runs since then, beside spent_ns */
	int64_t spent_ns;
	struct rollout_figures new_first, old_first;   /* when the step, or this process, began */
	struct rollout_figures new_recent, old_recent; /* a minute ago, or two at most … */
	struct rollout_figures new_next, old_next;     /* … from next_ns on */
	int64_t next_ns;
	struct rollout_sample {
		int64_t report_ns; /* the newest report in it; 0: not to be used */
		uint64_t links, new_ended, old_ended;
		uint32_t new_open, old_open;
	} samples[ROLLOUT_SAMPLES]; /* one for each look, the newest at samples_n - 1 */
	size_t samples_n;	    /* ever; its place is modulo ROLLOUT_SAMPLES */
};

/* A step begins, or is gone on with after a restart: spent_ns of its time are over. */
void rollout_watch_begin(struct rollout_watch *, const struct rollout_facts *, int64_t spent_ns);
/* How much of the time of the step is over. */
int64_t rollout_watch_spent(const struct rollout *, const struct rollout_watch *, int64_t now_ns);
/* What has come of the requests since the step began, of the new revision and of the old ones. */
void rollout_watch_seen(const struct rollout_watch *, const struct rollout_facts *,
			struct tally *new, struct tally *old);

enum rollout_act {
	ROLLOUT_WAIT, /* why: for what */
	ROLLOUT_HOLD, /* likewise, and it is not for time alone */
	ROLLOUT_STEP, /* the next step is to begin */
	ROLLOUT_FINISH,
	ROLLOUT_GO_BACK /* why: the reason */
};
/* What to do now; to be called each second while the rollout is active. */
enum rollout_act rollout_look(const struct rollout *, struct rollout_watch *,
			      const struct rollout_facts *, struct strbuf *why);

#endif
