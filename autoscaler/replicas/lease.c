#include "autoscaler/replicas/lease.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"

#define RETRY_FIRST (250 * CLK_MS) /* after a request that failed; doubles to renew_ns */
#define RETRY_DOUBLINGS 8

enum sight { UNSEEN, NONE, THERE };

struct lease {
	struct lease_conf conf;
	char *id;

	/* As it was seen last. */
	enum sight sight;
	char *version, *holder;
	uint64_t transitions;
	int64_t duration_ns; /* that the holder has written */
	int64_t seen_ns;     /* when this version was first seen, or that there is none */
	int64_t held_ns;     /* when this holder was first seen */

	/* The request that is under way. */
	bool is_asking;
	enum lease_verb asked;
	uint64_t asked_transitions;
	bool is_asked_for_us; /* it makes or keeps this replica the holder */
	int64_t asked_ns;

	bool must_read;	   /* the Lease has changed, but how is not known */
	int64_t wait_ns;   /* no request before */
	unsigned failures; /* in a row */

	uint64_t term;	     /* under which this replica holds the Lease; 0: it does not */
	int64_t renewed_ns;  /* with term: when the last renewal that succeeded was sent */
	int64_t renewing_ns; /* with term: when the last renewal was sent */
	uint64_t highest;    /* of all terms that were seen */
	uint64_t raised;     /* by lease_raise_term(): this replica's terms are higher */
	/* With term: it may not decide before.  INT64_MAX: duration after it is seen to hold the
	 * Lease (a Lease was created, after one that another may have held until then). */
	int64_t from_ns;
	bool is_releasing;
};

static void
set_text(char **to, const char *from)
{
	char *copy;

	if (*to != NULL && strcmp(*to, from) == 0)
		return;
	copy = xstrdup(from);
	free(*to);
	*to = copy;
}

struct lease *
lease_new(const struct lease_conf *conf)
{
	struct lease *l = xcalloc(1, sizeof *l);

	CHECK(conf->id[0] != '\0');
	CHECK(conf->renew_ns > 0 && conf->renew_ns < conf->decide_ns);
	CHECK(conf->decide_ns < conf->duration_ns);
	l->conf = *conf;
	l->id = xstrdup(conf->id);
	l->conf.id = l->id;
	l->version = xstrdup("");
	l->holder = xstrdup("");
	l->wait_ns = INT64_MIN;
	return l;
}

void
lease_free(struct lease **lp)
{
	struct lease *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	free(l->holder);
	free(l->version);
	free(l->id);
	free(l);
}

/* --- what is seen --- */

static bool
is_held(const struct lease *l)
{
	return l->sight == THERE && l->holder[0] != '\0';
}

static bool
is_ours(const struct lease *l)
{
	return is_held(l) && strcmp(l->holder, l->id) == 0;
}

/* Does it show that this replica holds it, under the term that it leads under? */
static bool
is_kept(const struct lease *l)
{
	return l->term > 0 && is_ours(l) && l->transitions == l->term;
}

static void
see_none(struct lease *l, int64_t now)
{
	if (l->sight != NONE)
		l->seen_ns = l->held_ns = now;
	l->sight = NONE;
	set_text(&l->version, "");
	set_text(&l->holder, "");
	l->transitions = 0;
	l->duration_ns = 0;
}

static void
see(struct lease *l, const struct lease_object *o, int64_t now)
{
	bool is_same = l->sight == THERE && strcmp(l->version, o->version) == 0;

	if (!is_same)
		l->seen_ns = now;
	if (l->sight != THERE || strcmp(l->holder, o->holder) != 0 ||
	    l->transitions != o->transitions)
		l->held_ns = now;
	l->sight = THERE;
	set_text(&l->version, o->version);
	set_text(&l->holder, o->holder);
	l->transitions = o->transitions;
	l->duration_ns = o->duration_ns;
	l->highest = MAX(l->highest, MIN(o->transitions, LEASE_TERM_MOST - 1));
}

/* What the API server says now: does this replica hold the Lease still? */
static void
keep_or_lose(struct lease *l)
{
	if (is_kept(l))
		return;
	l->term = 0;
	if (is_ours(l))
		l->from_ns = INT64_MAX; /* by a write whose answer did not come: which one? */
}

void
lease_saw(struct lease *l, const struct lease_object *o, int64_t now)
{
	/* What a watch shows may be older than what a request was answered.  A holder needs no
	 * watch: its next renewal tells.  To others an old version does no harm, as nothing can be
	 * written with it. */
	if (l->term > 0 || l->is_asking)
		return;
	l->must_read = false;
	if (o == NULL)
		see_none(l, now);
	else
		see(l, o, now);
	keep_or_lose(l);
}

/* --- requests --- */

/* How long the Lease, or its absence, is to be seen unchanged before this replica may take it. */
static int64_t
patience(const struct lease *l)
{
	if (!is_held(l) || is_ours(l))
		return 0;
	return MAX(l->conf.duration_ns, l->duration_ns);
}

/* When the next request is due; INT64_MAX: nothing is to be sent. */
static int64_t
due_ns(const struct lease *l)
{
	int64_t due;

	if (l->is_asking)
		return INT64_MAX;
	if (l->sight == UNSEEN || l->must_read)
		due = l->is_releasing && l->sight == UNSEEN ? INT64_MAX : INT64_MIN;
	else if (l->is_releasing)
		due = is_ours(l) && l->from_ns != INT64_MAX ? INT64_MIN : INT64_MAX;
	else if (is_kept(l))
		due = l->renewing_ns + l->conf.renew_ns;
	else
		due = l->seen_ns + patience(l);
	return due == INT64_MAX ? due : MAX(due, l->wait_ns);
}

int64_t
lease_next_ns(const struct lease *l)
{
	return due_ns(l);
}

static void
ask(struct lease *l, const struct lease_request *r, int64_t now)
{
	l->is_asking = true;
	l->asked = r->verb;
	l->asked_transitions = r->transitions;
	l->is_asked_for_us = r->verb != LEASE_READ && r->holder[0] != '\0';
	l->asked_ns = now;
	if (l->is_asked_for_us)
		l->renewing_ns = now;
	if (r->verb == LEASE_CREATE)
		l->from_ns = INT64_MAX;
	else if (r->verb == LEASE_UPDATE && !is_ours(l))
		l->from_ns = INT64_MIN;
}

bool
lease_next(struct lease *l, int64_t now, struct lease_request *r)
{
	int64_t due = due_ns(l);

	if (due == INT64_MAX || now < due)
		return false;
	*r = (struct lease_request){.verb = LEASE_READ, .version = "", .holder = ""};
	if (l->sight != UNSEEN && !l->must_read) {
		r->verb = l->sight == NONE ? LEASE_CREATE : LEASE_UPDATE;
		r->version = l->version;
		r->holder = l->is_releasing ? "" : l->id;
		r->is_taken = !is_kept(l);
		r->transitions = l->is_releasing ? l->transitions
				 : r->is_taken	 ? l->highest + 1
						 : l->term;
	}
	ask(l, r, now);
	return true;
}

/* The Lease is this replica's, by a write that it sent at asked_ns. */
static void
hold(struct lease *l, int64_t now)
{
	if (l->from_ns == INT64_MAX)
		l->from_ns = now + l->conf.duration_ns;
	l->term = l->transitions;
	l->renewed_ns = l->asked_ns;
}

static void
fail(struct lease *l, int64_t now)
{
	int64_t retry = RETRY_FIRST << MIN(l->failures, RETRY_DOUBLINGS);

	l->failures++;
	l->wait_ns = MAX(l->wait_ns, now + MIN(retry, l->conf.renew_ns));
}

void
lease_answered(struct lease *l, enum lease_outcome outcome, const struct lease_object *o,
	       int64_t wait_ns, int64_t now)
{
	bool is_write = l->asked != LEASE_READ;

	CHECK(l->is_asking);
	l->is_asking = false;
	l->wait_ns = wait_ns > 0 ? now + wait_ns : INT64_MIN;
	if (outcome == LEASE_FAILED) {
		/* A write may have been carried out.  If it was, the next one is in conflict. */
		fail(l, now);
		return;
	}
	l->failures = 0;
	l->must_read = outcome == LEASE_CONFLICT;
	if (outcome == LEASE_ABSENT)
		see_none(l, now);
	else if (outcome == LEASE_DONE)
		see(l, o, now);
	if (outcome == LEASE_DONE && is_write && l->is_asked_for_us && !l->is_releasing &&
	    is_ours(l) && l->transitions == l->asked_transitions && l->transitions > l->raised)
		hold(l, now);
	else if (outcome != LEASE_CONFLICT)
		keep_or_lose(l);
}

void
lease_release(struct lease *l, int64_t now)
{
	/* Whoever takes a released Lease decides at once. */
	if (now < l->from_ns)
		l->from_ns = INT64_MAX;
	l->is_releasing = true;
	l->term = 0;
}

bool
lease_is_released(const struct lease *l)
{
	return l->is_releasing && !l->is_asking && due_ns(l) == INT64_MAX;
}

bool
lease_raise_term(struct lease *l, uint64_t term)
{
	if (term >= LEASE_TERM_MOST)
		return false;
	l->raised = MAX(l->raised, term);
	l->highest = MAX(l->highest, term);
	if (l->term <= term)
		l->term = 0; /* the next request takes the Lease under a higher term */
	return true;
}

/* --- for reading --- */

int64_t
lease_decides_until_ns(const struct lease *l)
{
	return l->term == 0 ? INT64_MIN : l->renewed_ns + l->conf.decide_ns;
}

bool
lease_may_decide(const struct lease *l, int64_t now)
{
	return now >= l->from_ns && now < lease_decides_until_ns(l);
}

int64_t
lease_turns_ns(const struct lease *l, int64_t now)
{
	int64_t until = lease_decides_until_ns(l);

	if (until <= now)
		return INT64_MAX;
	return now < l->from_ns ? l->from_ns : until;
}

enum lease_standing
lease_standing(const struct lease *l, int64_t now)
{
	if (lease_may_decide(l, now))
		return LEASE_LEADS;
	if (l->term > 0 || is_ours(l))
		return LEASE_WAITS;
	return is_held(l) ? LEASE_FOLLOWS : LEASE_UNKNOWN;
}

const char *
lease_standing_name(enum lease_standing standing)
{
	static const char *const names[] = {[LEASE_UNKNOWN] = "unknown",
					    [LEASE_FOLLOWS] = "follower",
					    [LEASE_LEADS] = "leader",
					    [LEASE_WAITS] = "waits"};

	return names[standing];
}

uint64_t
lease_term(const struct lease *l)
{
	return l->term;
}

const char *
lease_holder(const struct lease *l)
{
	return l->holder;
}

uint64_t
lease_holder_term(const struct lease *l)
{
	return is_held(l) ? l->transitions : 0;
}

int64_t
lease_held_since_ns(const struct lease *l)
{
	return l->held_ns;
}

bool
lease_is_renewed_by_other(const struct lease *l, int64_t now)
{
	return is_held(l) && !is_ours(l) &&
	       now - l->seen_ns < MAX(l->conf.duration_ns, l->duration_ns);
}
