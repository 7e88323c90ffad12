#include "autoscaler/brain/why.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clk.h"
#include "common/jput.h"
#include "common/strbuf.h"

/* The inputs as they are shown: name, value, and whether the value is known or of interest. */
#define INPUTS(X)                                                                                  \
	X("decided", e->decided.wanted, e->decided.is_known && e->decided.wanted != e->wanted)     \
	X("stable", v->stable, v->has_stable)                                                      \
	X("panic", v->panic, v->has_panic)                                                         \
	X("target", e->decided.target, true)                                                       \
	X("ready", v->ready, true)                                                                 \
	X("starting", v->starting, true)                                                           \
	X("scale", v->scale, v->scale != v->ready + v->starting)                                   \
	X("in_flight", v->in_flight, true)                                                         \
	X("parked", v->parked, true)                                                               \
	X("latency_s", v->latency_s, v->latency_s >= 0)                                            \
	X("start_s", v->start_s, v->start_s >= 0)                                                  \
	X("start_each_s", v->starts.each_s, v->starts.each_s > 0)                                  \
	X("starting_elsewhere", v->starting_elsewhere, v->starting_elsewhere > 0)                  \
	X("proposed_target", v->target_override, v->target_override > 0)                           \
	X("held", v->held, v->is_held)                                                             \
	X("busy_lease_s", v->busy_lease_s, v->busy_lease_s > 0)                                    \
	X("schedule_min", v->schedule_min, v->schedule_min > 0)                                    \
	X("learned_keep_s", v->learned_keep_s, v->learned_keep_s >= 0)                             \
	X("adopted", v->adopted, v->has_just_started && v->adopted > 0)

void
why_fini(struct why *w)
{
	free(w->v);
	*w = (struct why){.n = 0};
}

static struct why_entry *
add(struct why *w)
{
	if (w->n == w->cap && w->cap < WHY_ENTRIES) { /* grows: many revisions need one or two */
		w->cap = MAX(w->cap * 2, (size_t)1);
		w->v = xrealloc(w->v, w->cap * sizeof *w->v);
	}
	return &w->v[w->n++ % w->cap];
}

void
why_note(struct why *w, const struct decide_out *decided, const struct decide_view *view,
	 uint32_t wanted, enum decide_rule rule, const char *holder, int64_t wall_ns)
{
	struct why_entry *e = w->n == 0 ? NULL : &w->v[(w->n - 1) % w->cap];

	if (e == NULL || e->wanted != wanted || e->rule != rule) {
		e = add(w);
		*e = (struct why_entry){.from_ns = wall_ns, .wanted = wanted, .rule = rule};
	}
	e->upto_ns = wall_ns;
	e->times++;
	e->decided = *decided;
	e->view = *view;
	snprintf(e->holder, sizeof e->holder, "%s", holder == NULL ? "" : holder);
}

uint32_t
why_wanted(const struct why *w)
{
	return w->n == 0 ? 0 : w->v[(w->n - 1) % w->cap].wanted;
}

const struct why_entry *
why_at(const struct why *w, size_t k)
{
	return k >= MIN(w->n, w->cap) ? NULL : &w->v[(w->n - 1 - k) % w->cap];
}

const char *
why_time(int64_t wall_ns, char buf[WHY_TIME])
{
	time_t t = (time_t)(wall_ns / CLK_S);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(buf, WHY_TIME, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

static void
put_inputs(const struct why_entry *e, struct jput *j)
{
	const struct decide_view *v = &e->view;

	jput_object(j, "inputs");
#define X(name, value, is_there)                                                                   \
	if (is_there)                                                                              \
		jput_double(j, name, value);
	INPUTS(X)
#undef X
	jput_bool(j, "panicking", e->decided.is_panicking);
	jput_bool(j, "activation_pending", v->is_activation_pending);
	jput_bool(j, "learned_warm", v->is_learned_prewarm);
	jput_bool(j, "restarting", v->has_just_started);
	jput_object_end(j);
}

void
why_put_json(const struct why *w, struct jput *j)
{
	const struct why_entry *e;
	char time[WHY_TIME];
	size_t k;

	jput_array(j, "decisions");
	for (k = 0; (e = why_at(w, k)) != NULL; k++) {
		jput_object(j, NULL);
		jput_string(j, "from", why_time(e->from_ns, time));
		jput_string(j, "upto", why_time(e->upto_ns, time));
		jput_u64(j, "times", e->times);
		jput_u64(j, "wanted", e->wanted);
		jput_string(j, "rule", decide_rule_name(e->rule));
		jput_string(j, "why", decide_rule_text(e->rule));
		if (e->rule != e->decided.rule)
			jput_string(j, "decided_rule", decide_rule_name(e->decided.rule));
		if (e->holder[0] != '\0')
			jput_string(j, "held_by", e->holder);
		put_inputs(e, j);
		jput_object_end(j);
	}
	jput_array_end(j);
}

static void
put_line(const struct why_entry *e, struct strbuf *out)
{
	const struct decide_view *v = &e->view;
	char from[WHY_TIME], upto[WHY_TIME];

	strbuf_addf(out, "%s to %s  wanted %u: %s\n   ", why_time(e->from_ns, from),
		    why_time(e->upto_ns, upto), e->wanted, decide_rule_text(e->rule));
#define X(name, value, is_there)                                                                   \
	if (is_there)                                                                              \
		strbuf_addf(out, " %s=%.4g", name, (double)(value));
	INPUTS(X)
#undef X
	if (e->rule != e->decided.rule)
		strbuf_addf(out, " decided_rule=%s", decide_rule_name(e->decided.rule));
	if (e->holder[0] != '\0')
		strbuf_addf(out, " held_by=\"%s\"", e->holder);
	strbuf_adds(out, e->decided.is_panicking ? " panicking" : "");
	strbuf_adds(out, v->has_just_started ? " restarting" : "");
	strbuf_adds(out, "\n");
}

void
why_put_text(const struct why *w, struct strbuf *out)
{
	const struct why_entry *e;
	size_t k;

	for (k = 0; (e = why_at(w, k)) != NULL; k++)
		put_line(e, out);
}
