#include "autoscaler/versions/rollout_judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/clk.h"
#include "common/settings_units.h"
#include "common/strbuf.h"

#define RECENT (60 * CLK_S)
#define AS_BAD 2.0 /* times as bad as the old revisions: no worse than they are */

/* --- what is remembered --- */

void
rollout_watch_begin(struct rollout_watch *w, const struct rollout_facts *f, int64_t spent_ns)
{
	*w = (struct rollout_watch){.is_begun = true,
				    .since_ns = f->now_ns,
				    .spent_ns = spent_ns,
				    .new_first = f->new,
				    .old_first = f->old,
				    .new_recent = f->new,
				    .old_recent = f->old,
				    .new_next = f->new,
				    .old_next = f->old,
				    .next_ns = f->now_ns};
}

int64_t
rollout_watch_spent(const struct rollout *r, const struct rollout_watch *w, int64_t now_ns)
{
	return r->state == ROLLOUT_PAUSED ? w->spent_ns : w->spent_ns + (now_ns - w->since_ns);
}

static void
note(struct rollout_watch *w, const struct rollout_facts *f)
{
	w->samples[w->samples_n++ % ROLLOUT_SAMPLES] = (struct rollout_sample){
		.report_ns = f->newest_report_ns,
		.links = f->links,
		.new_ended = tally_all(&f->new.tally),
		.old_ended = tally_all(&f->old.tally),
		.new_open = f->new.open,
		.old_open = f->old.open};
	if (f->now_ns - w->next_ns < RECENT)
		return;
	w->new_recent = w->new_next;
	w->old_recent = w->old_next;
	w->new_next = f->new;
	w->old_next = f->old;
	w->next_ns = f->now_ns;
}

static struct tally
since(const struct rollout_figures *now, const struct rollout_figures *then)
{
	struct tally t = now->tally;

	tally_subtract(&t, &then->tally);
	return t;
}

void
rollout_watch_seen(const struct rollout_watch *w, const struct rollout_facts *f, struct tally *new,
		   struct tally *old)
{
	*new = since(&f->new, &w->new_first);
	*old = since(&f->old, &w->old_first);
}

/* --- requests that hang --- */

/* How many requests were in flight or parked in reports that all activators have followed with
 * another one limit_ns later, and have not ended by that one, at least: fewer have ended
 * altogether.  Time without a report proves nothing: what ended in it is not known. */
static double
count_hanging(const struct rollout_watch *w, const struct rollout_facts *f, bool is_new,
	      int64_t limit_ns)
{
	uint64_t now = tally_all(is_new ? &f->new.tally : &f->old.tally), ended, open;
	size_t i;

	for (i = 0; i < MIN(w->samples_n, (size_t)ROLLOUT_SAMPLES); i++) {
		const struct rollout_sample
			*s = &w->samples[(w->samples_n - 1 - i) % ROLLOUT_SAMPLES];

		if (s->links != f->links)
			break;
		if (s->report_ns == 0 || f->oldest_report_ns - s->report_ns < limit_ns)
			continue;
		open = is_new ? s->new_open : s->old_open;
		ended = now - (is_new ? s->new_ended : s->old_ended);
		return open > ended ? (double)(open - ended) : 0;
	}
	return 0;
}

/* --- a bound --- */

/* The requests of one side that a bound counts. */
struct counts {
	double bad, all;
	int64_t quantile_ns; /* of a bound on slow requests */
};

static struct counts
count(const struct rollout_bound *b, const struct tally *t, double hanging, int64_t limit_ns)
{
	struct counts c = {.all = (double)tally_counted(t)};
	unsigned i;

	if (b->ends == 0) {
		c.quantile_ns = tally_quantile(t, 1 - b->part);
		c.bad = tally_slower(t, limit_ns) + hanging;
		c.all = (double)tally_timed(t) + hanging;
		return c;
	}
	if ((b->ends >> TALLY_ABANDONED & 1) == 0)
		c.all = (double)tally_answered(t);
	for (i = 0; i < TALLY_ENDS_N; i++)
		c.bad += (b->ends >> i & 1) != 0 ? (double)t->ends[i] : 0;
	return c;
}

/* Are so many bad ones more than the part that is allowed, of so many at least?  A count of slow
 * ones is estimated within a bucket: less than half a request proves nothing. */
static bool
is_over(double bad, double all, double part, double least)
{
	double of = MAX(all, least);

	if (part > 0)
		of = MAX(of, 1 / part);
	return bad > 0.5 && bad > part * of * (1 + 1e-9);
}

/* Tunnels and streams of events stay open for as long as their clients like, and cannot be told
 * from requests that hang.  So of the new side only those count that are more than its share, by
 * the part of the old side's requests that are open for as long. */
static double
without_share(double hanging, const struct tally *new, double old_hanging, double old_all)
{
	double all = (double)tally_timed(new) + hanging;

	return old_all < 1 ? hanging : MAX(hanging - all * old_hanging / old_all, 0.0);
}

enum verdict { FINE, SHARED, BROKEN };

static void
put_percent(double part, struct strbuf *out)
{
	strbuf_addf(out, part * 100 < 10 ? "%.2g%%" : "%.0f%%", part * 100);
}

static void
put_ns(int64_t ns, struct strbuf *out)
{
	if (ns < 10 * CLK_MS)
		strbuf_addf(out, "%.1fms", (double)ns / CLK_MS);
	else if (ns < CLK_S)
		strbuf_addf(out, "%.0fms", (double)ns / CLK_MS);
	else
		strbuf_addf(out, "%.1fs", (double)ns / CLK_S);
}

/* "errors>1%: 7 of 40 requests (18%); of the old revisions 0.05%" */
static void
put_verdict(const struct rollout_bound *b, const struct counts *new, const struct counts *old,
	    double hanging, struct strbuf *why)
{
	strbuf_clear(why);
	strbuf_addf(why, "%s: ", b->text);
	if (b->ends != 0) {
		strbuf_addf(why, "%.0f of %.0f requests (", new->bad, new->all);
		put_percent(new->bad / MAX(new->all, 1.0), why);
		strbuf_adds(why, ")");
	} else if (hanging >= 1) {
		strbuf_addf(why, "%.0f of %.0f requests have not ended by then", hanging, new->all);
	} else {
		strbuf_addf(why, "p%.4g is ", 100 * (1 - b->part));
		put_ns(new->quantile_ns, why);
		strbuf_addf(why, " over %.0f requests", new->all);
	}
	if (old->all < 1)
		return;
	strbuf_adds(why, "; of the old revisions ");
	if (b->ends != 0)
		put_percent(old->bad / old->all, why);
	else
		put_ns(old->quantile_ns, why);
}

static enum verdict
judge(const struct rollout *r, const struct rollout_watch *w, const struct rollout_facts *f,
      const struct rollout_bound *b, const struct tally *new, const struct tally *old,
      struct strbuf *why)
{
	double least = (double)r->plan.min_requests, part = b->part, hanging = 0, old_hanging = 0;
	int64_t limit_ns = b->limit_ns;
	struct counts n, o;

	if (b->is_relative && (b->ends == 0 ? tally_timed(old) : tally_counted(old)) <
				      MAX(r->plan.min_requests, UINT64_C(1)))
		return FINE; /* there is nothing to compare it with */
	if (b->is_relative && b->ends == 0)
		limit_ns = (int64_t)(b->factor * (double)tally_quantile(old, 1 - part));
	if (b->ends == 0) {
		hanging = count_hanging(w, f, true, limit_ns);
		old_hanging = count_hanging(w, f, false, limit_ns);
	}
	o = count(b, old, old_hanging, limit_ns);
	if (b->ends == 0)
		hanging = without_share(hanging, new, old_hanging, o.all);
	n = count(b, new, hanging, limit_ns);
	if (b->is_relative && b->ends != 0) /* one of them may always be bad */
		part = b->factor * MAX(o.bad, 1.0) / MAX(o.all, 1.0);
	if (!is_over(n.bad, n.all, part, least))
		return FINE;
	if (b->is_relative && b->ends == 0 && n.bad * o.all <= o.bad * n.all)
		return FINE; /* the old ones are as slow */
	put_verdict(b, &n, &o, hanging, why);
	if (!b->is_relative && is_over(o.bad, o.all, part, least) &&
	    n.bad / n.all <= AS_BAD * o.bad / o.all)
		return SHARED;
	return BROKEN;
}

/* The worst verdict of all bounds, over the step and over the last minutes. */
static enum verdict
judge_all(const struct rollout *r, const struct rollout_watch *w, const struct rollout_facts *f,
	  struct strbuf *why)
{
	const struct tally new = since(&f->new, &w->new_first), old = since(&f->old, &w->old_first);
	const struct tally new_recent = since(&f->new, &w->new_recent);
	const struct tally old_recent = since(&f->old, &w->old_recent);
	enum verdict worst = FINE, v;
	size_t i;

	for (i = 0; i < r->plan.bounds_n; i++) {
		v = judge(r, w, f, &r->plan.bounds[i], &new, &old, why);
		if (v != BROKEN)
			worst = MAX(worst, v);
		else
			return v;
		v = judge(r, w, f, &r->plan.bounds[i], &new_recent, &old_recent, why);
		if (v == BROKEN)
			return v;
		worst = MAX(worst, v);
	}
	return worst;
}

/* --- what to do --- */

static enum rollout_act
wait_for(enum rollout_act act, struct strbuf *why, const char *text)
{
	strbuf_clear(why);
	strbuf_adds(why, text);
	return act;
}

/* Is the step over?  ROLLOUT_STEP: it is. */
static enum rollout_act
look_at_step(const struct rollout *r, const struct rollout_watch *w, const struct rollout_facts *f,
	     enum verdict verdict, struct strbuf *why)
{
	int64_t left_ns = rollout_step_ns(r) - rollout_watch_spent(r, w, f->now_ns);
	const struct tally new = since(&f->new, &w->new_first);
	uint64_t answered = tally_answered(&new);

	if (verdict == SHARED) {
		strbuf_adds(why, ": they are not better, so it waits");
		return ROLLOUT_HOLD;
	}
	strbuf_clear(why);
	if (left_ns > 0) {
		strbuf_addf(why, "%s in %lld s",
			    r->step == r->plan.steps_n ? "done" : "the next step",
			    (long long)((left_ns + CLK_S - 1) / CLK_S));
		return ROLLOUT_WAIT;
	}
	if (!f->has_links)
		return wait_for(ROLLOUT_HOLD, why, "no activator is connected");
	if (answered < r->plan.min_requests) {
		strbuf_addf(why, "it has answered %llu of %llu requests in this step",
			    (unsigned long long)answered, (unsigned long long)r->plan.min_requests);
		return ROLLOUT_HOLD;
	}
	return ROLLOUT_STEP;
}

enum rollout_act
rollout_look(const struct rollout *r, struct rollout_watch *w, const struct rollout_facts *f,
	     struct strbuf *why)
{
	enum verdict verdict = FINE;
	enum rollout_act act;

	note(w, f);
	strbuf_clear(why);
	if (f->failure != NULL) {
		strbuf_addf(why, "it cannot start: %s", f->failure);
		return ROLLOUT_GO_BACK;
	}
	if (r->step > 0)
		verdict = judge_all(r, w, f, why);
	if (verdict == BROKEN)
		return ROLLOUT_GO_BACK;
	if (r->state == ROLLOUT_PAUSED)
		return wait_for(ROLLOUT_HOLD, why, "paused");
	if (f->obstacle != NULL) {
		strbuf_clear(why);
		strbuf_addf(why, "no instance can be started: %s", f->obstacle);
		return ROLLOUT_HOLD;
	}
	act = r->step == 0 ? ROLLOUT_STEP : look_at_step(r, w, f, verdict, why);
	if (act != ROLLOUT_STEP)
		return act;
	if (r->step == r->plan.steps_n)
		return ROLLOUT_FINISH;
	if (f->ready < f->needed) {
		strbuf_addf(why, "%u of %u instances are ready for %u%%", f->ready, f->needed,
			    rollout_next_percent(r));
		return ROLLOUT_HOLD;
	}
	return ROLLOUT_STEP;
}
