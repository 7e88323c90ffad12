#include "autoscaler/judged.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/reconcile/hub.h"
#include "autoscaler/reconcile/reconcile.h"
#include "autoscaler/reconcile/scaled.h"
#include "autoscaler/versions/evidence.h"
#include "common/clk.h"
#include "common/err.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/strbuf.h"
#include "common/text.h"

#define LOOK_EVERY (900 * CLK_MS) /* a look is worth about a second: its samples are counted */
#define KEPT (60 * CLK_S)	  /* after the last question */
#define PATIENCE (60 * CLK_S)	  /* a step that waits for so long is worth a line in the log */

struct one {
	struct rollout *rollout; /* its bounds, and at a step that is over at any time */
	char *revision, *asked;	 /* the new one, and "BOUNDS REQUESTS" */
	char *mistake;		 /* in the question; NULL: none */
	uint32_t percent;
	struct rollout_watch watch;
	int64_t began_ns, asked_ns, looked_ns, waits_ns; /* waits_ns 0: it does not wait */
	bool is_wait_noted;
	enum rollout_verdict verdict;
	char *why; /* of ROLLOUT_MUST_END */
};

struct judged {
	struct hmap by_key;
};

struct judged *
judged_new(void)
{
	struct judged *j = xcalloc(1, sizeof *j);

	hmap_init(&j->by_key);
	return j;
}

static void
one_free(struct one *o)
{
	if (o == NULL)
		return;
	rollout_free(&o->rollout);
	free(o->revision);
	free(o->asked);
	free(o->mistake);
	free(o->why);
	free(o);
}

void
judged_free(struct judged **jp)
{
	struct judged *j = *jp;
	size_t at = 0;
	void *value;

	*jp = NULL;
	if (j == NULL)
		return;
	while (hmap_next(&j->by_key, &at, NULL, &value))
		one_free(value);
	hmap_fini(&j->by_key);
	free(j);
}

/* --- the question --- */

static int
read_bounds(struct rollout_plan *p, const char *text, struct err *e)
{
	char *copy = xstrdup(text), *at = copy, *bound;
	int rc = 0;

	while (rc == 0 && (bound = strsep(&at, ",")) != NULL) {
		bound += strspn(bound, " ");
		bound[strcspn(bound, " ")] = '\0';
		if (rollout_bound_add(p, bound, e) < 0)
			rc = err_prefix(e, "activator.dev/abort_if");
	}
	free(copy);
	return rc;
}

static int
read_plan(struct rollout_plan *p, const struct rollout_question *q, struct err *e)
{
	uint32_t n = ROLLOUT_MIN_REQUESTS;

	if (read_bounds(p, q->abort_if, e) < 0)
		return -1;
	if (q->min_requests[0] != '\0' &&
	    !text_number(q->min_requests, strlen(q->min_requests), 1000000000, &n))
		return err_set(e, 0, "activator.dev/min_requests: expected a number, got \"%s\"",
			       q->min_requests);
	p->min_requests = n;
	/* One step that is in effect, and one that follows whenever it may. */
	p->steps[0] = 1;
	p->steps[1] = 100;
	p->steps_n = 2;
	return 0;
}

static struct one *
begin(const struct rollout_question *q, char *asked)
{
	struct one *o = xcalloc(1, sizeof *o);
	struct err e = {0};

	o->rollout = rollout_new(q->revision);
	o->rollout->step = 1;
	o->revision = xstrdup(q->revision);
	o->asked = asked;
	o->began_ns = clk_now();
	if (read_plan(&o->rollout->plan, q, &e) < 0)
		o->mistake = xstrdup(e.text);
	return o;
}

/* That of the question, which is begun if it is a new one. */
static struct one *
find(struct judged *j, const struct rollout_question *q)
{
	char *asked = xasprintf("%s %s", q->abort_if, q->min_requests);
	struct one *o = hmap_find(&j->by_key, q->key);

	if (o != NULL && strcmp(o->revision, q->revision) == 0 && strcmp(o->asked, asked) == 0) {
		free(asked);
		return o;
	}
	one_free(o);
	o = begin(q, asked);
	hmap_put(&j->by_key, q->key, o);
	return o;
}

/* --- the look --- */

static void
add_figures(const struct evidence *e, const char *revision, struct rollout_figures *sum)
{
	evidence_add(e, revision, &sum->tally);
	sum->open += evidence_open(e, revision);
}

void
judged_failure(const struct scaled_revision *to, int64_t since_ns, struct rollout_facts *facts)
{
	if (to == NULL || to->failure == NULL || to->failure->is_parking ||
	    to->failed_ns < since_ns)
		return;
	if (!to->failure->is_outage && instances_ready(&to->instances) == 0)
		facts->failure = to->failure->message;
	else
		facts->obstacle = to->failure->message;
}

static void
gather(const struct one *o, const struct rollout_question *q, const struct facts *f,
       const struct evidence *e, uint64_t links, struct rollout_facts *facts)
{
	const struct scaled_revision *to = reconcile_find(f->reconcile, q->revision);
	size_t i;

	*facts = (struct rollout_facts){
		.now_ns = clk_now(),
		.links = links,
		.has_links = f->hub != NULL && hub_activators(f->hub) > 0,
	};
	judged_failure(to, o->began_ns, facts);
	evidence_times(e, &facts->oldest_report_ns, &facts->newest_report_ns);
	add_figures(e, q->revision, &facts->new);
	for (i = 0; i < q->others_n; i++)
		add_figures(e, q->others[i], &facts->old);
}

/* A step that waits for long is logged once. */
static void
note_wait(struct one *o, const struct rollout_question *q, int64_t now_ns, const char *why)
{
	if (o->verdict != ROLLOUT_MUST_WAIT) {
		o->waits_ns = 0;
		o->is_wait_noted = false;
		return;
	}
	if (o->waits_ns == 0)
		o->waits_ns = now_ns;
	if (o->is_wait_noted || now_ns - o->waits_ns < PATIENCE)
		return;
	o->is_wait_noted = true;
	log_warn(NULL, "rollout is held", "rollout=%s revision=%s percent=%u why=%s", q->key,
		 q->revision, q->percent, why);
}

static void
look(struct one *o, const struct rollout_question *q, const struct rollout_facts *facts)
{
	enum rollout_act act;
	struct strbuf why;

	if (!o->watch.is_begun || o->percent != q->percent)
		rollout_watch_begin(&o->watch, facts, 0);
	o->percent = q->percent;
	strbuf_init(&why, 0);
	act = rollout_look(o->rollout, &o->watch, facts, &why);
	o->verdict = act == ROLLOUT_GO_BACK ? ROLLOUT_MUST_END
		     : act == ROLLOUT_STEP  ? ROLLOUT_MAY_GO
					    : ROLLOUT_MUST_WAIT;
	note_wait(o, q, facts->now_ns, strbuf_str(&why));
	if (o->verdict == ROLLOUT_MUST_END) {
		log_warn(NULL, "rollout aborted", "rollout=%s revision=%s percent=%u why=%s",
			 q->key, q->revision, q->percent, strbuf_str(&why));
		text_replace(&o->why, strbuf_str(&why));
	}
	strbuf_fini(&why);
}

enum rollout_verdict
judged_look(struct judged *j, const struct rollout_question *q, const struct facts *f,
	    const struct evidence *e, uint64_t links, char **why)
{
	struct one *o = find(j, q);
	int64_t now_ns = clk_now();
	struct rollout_facts facts;

	o->asked_ns = now_ns;
	if (o->mistake != NULL) {
		*why = xstrdup(o->mistake);
		return ROLLOUT_MUST_WAIT;
	}
	/* Once it has to end, it has to, until another question is asked. */
	if (o->verdict != ROLLOUT_MUST_END && (!o->watch.is_begun || o->percent != q->percent ||
					       now_ns - o->looked_ns >= LOOK_EVERY)) {
		gather(o, q, f, e, links, &facts);
		look(o, q, &facts);
		o->looked_ns = now_ns;
	}
	if (o->verdict == ROLLOUT_MUST_END)
		*why = xstrdup(o->why);
	return o->verdict;
}

void
judged_tick(struct judged *j)
{
	const char *key;
	size_t at = 0;
	void *value;

	while (hmap_next(&j->by_key, &at, &key, &value)) {
		struct one *o = value;

		if (clk_now() - o->asked_ns < KEPT)
			continue;
		hmap_remove(&j->by_key, key);
		one_free(o);
	}
}
