#include "autoscaler/explain.h"

#include <string.h>

#include "autoscaler/facts.h"
#include "common/admin.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/strbuf.h"

static const char *
sentence_of(const struct scaled_revision *rev)
{
	if (!scaled_is_decided(rev))
		return "its instances have addresses, they are not scaled";
	return rev->why.n == 0 ? "nothing has been decided yet"
			       : decide_rule_text(rev->wanted.rule);
}

/* The parts of the brain that explain themselves. */
enum adviser { SLOW_BRAIN, KEEP_WARM, SCHEDULE, ADVISERS_N };
static const char *const adviser_names[] = {"slow_brain", "keep_warm", "schedule"};

/* Put what an adviser says of the revision into out; nothing if the adviser is not used. */
static void
get_advice(const struct scaled_revision *rev, enum adviser adviser, struct strbuf *out)
{
	strbuf_clear(out);
	if (adviser == SLOW_BRAIN)
		brain_explain_target(rev->brain, out);
	else if (adviser == KEEP_WARM)
		brain_explain_idleness(rev->brain, out);
	else
		brain_explain_schedule(rev->brain, clk_wall(), out);
}

/* --- text --- */

static void
put_line(const struct scaled_revision *rev, struct strbuf *out)
{
	strbuf_addf(out, "%s  %s %u: %s\n", scaled_name(rev),
		    scaled_is_dry(rev) ? "would be wanted (dry_run)" : "wanted", scaled_wanted(rev),
		    sentence_of(rev));
}

static void
put_dryrun(const struct dryrun *d, struct strbuf *out)
{
	strbuf_addf(out,
		    "dry_run  %llu instances would have been started and %llu stopped, with %llu "
		    "cold starts; %.0f instance-seconds instead of %.0f\n",
		    (unsigned long long)d->started, (unsigned long long)d->stopped,
		    (unsigned long long)d->cold_starts, d->virtual_s, d->real_s);
}

static void
put_hold(const struct scaled_revision *rev, struct strbuf *out)
{
	long long hold_s = (long long)(rev->conf->launch.foreign_hold / CLK_S);

	strbuf_addf(out, "held  %s has set the replicas to %u: no fewer", scaled_holder(rev),
		    rev->hold.n);
	if (rev->hold.is_current)
		strbuf_adds(out, ", and more only when requests wait");
	if (hold_s > 0)
		strbuf_addf(out, ", until %lld s after the last change or request", hold_s);
	strbuf_adds(out, "\n");
}

void
explain_put_text(const struct scaled_revision *rev, struct strbuf *out)
{
	struct strbuf advice;
	int i;

	put_line(rev, out);
	if (rev->held_back != NULL)
		strbuf_addf(out, "held back  requests wait, and %s\n", rev->held_back);
	if (scaled_holder(rev) != NULL)
		put_hold(rev, out);
	if (scaled_is_dry(rev))
		put_dryrun(&rev->dryrun, out);
	strbuf_init(&advice, 0);
	for (i = 0; i < ADVISERS_N; i++) {
		get_advice(rev, (enum adviser)i, &advice);
		if (advice.len > 0)
			strbuf_addf(out, "%s  %s\n", adviser_names[i], strbuf_str(&advice));
	}
	strbuf_fini(&advice);
	strbuf_adds(out, "\n");
	why_put_text(&rev->why, out);
}

/* --- JSON --- */

static void
put_members(struct jput *j, const struct scaled_revision *rev, bool is_whole)
{
	struct strbuf advice;
	int i;

	jput_string(j, "revision", scaled_name(rev));
	jput_u64(j, "wanted", scaled_wanted(rev));
	if (scaled_is_decided(rev) && rev->why.n > 0)
		jput_string(j, "rule", decide_rule_name(rev->wanted.rule));
	jput_string(j, "why", sentence_of(rev));
	jput_string_if(j, "held_back", rev->held_back);
	jput_string_if(j, "held_by", scaled_holder(rev));
	jput_bool(j, "dry_run", scaled_is_dry(rev));
	if (brain_proposal(rev->brain) > 0)
		jput_double(j, "proposed_target", brain_proposal(rev->brain));
	strbuf_init(&advice, 0);
	for (i = 0; i < ADVISERS_N; i++) {
		get_advice(rev, (enum adviser)i, &advice);
		if (advice.len > 0)
			jput_string(j, adviser_names[i], strbuf_str(&advice));
	}
	strbuf_fini(&advice);
	if (scaled_is_dry(rev)) {
		jput_u64(j, "would_start", rev->dryrun.started);
		jput_u64(j, "would_stop", rev->dryrun.stopped);
		jput_u64(j, "would_cold_start", rev->dryrun.cold_starts);
		jput_double(j, "saved_instance_s", rev->dryrun.real_s - rev->dryrun.virtual_s);
	}
	if (is_whole)
		why_put_json(&rev->why, j);
}

void
explain_put_members(const struct scaled_revision *rev, struct jput *j)
{
	put_members(j, rev, true);
}

static void
put_json(struct jput *j, const char *key, const struct scaled_revision *rev, bool is_whole)
{
	jput_object(j, key);
	put_members(j, rev, is_whole);
	jput_object_end(j);
}

/* --- the page --- */

static void
answer_all(struct admin_request *req, const struct reconcile *r, bool is_json)
{
	const struct scaled_revision *rev;
	struct jput j;
	size_t at = 0;

	jput_init(&j, req->body);
	if (is_json) {
		jput_object(&j, NULL);
		jput_array(&j, "revisions");
	}
	while ((rev = reconcile_next(r, &at)) != NULL)
		if (is_json)
			put_json(&j, NULL, rev, false);
		else
			put_line(rev, req->body);
	if (is_json) {
		jput_array_end(&j);
		jput_object_end(&j);
		strbuf_adds(req->body, "\n");
	}
}

static void
answer_one(struct admin_request *req, const struct scaled_revision *rev, bool is_json)
{
	struct jput j;

	if (!is_json) {
		explain_put_text(rev, req->body);
		return;
	}
	jput_init(&j, req->body);
	put_json(&j, NULL, rev, true);
	strbuf_adds(req->body, "\n");
}

static bool
is_json_asked(struct admin_request *req)
{
	const char *format = req->param(req, "format");

	return format == NULL ? req->is_json_wanted : strcmp(format, "json") == 0;
}

const char *const explain_params[] = {"revision", "format", NULL};

void
explain_answer(struct admin_request *req, const struct facts *f)
{
	const struct reconcile *r = f->reconcile;
	const char *name = req->param(req, "revision");
	const struct scaled_revision *rev = name == NULL ? NULL : reconcile_find(r, name);
	bool is_json = is_json_asked(req);

	if (name != NULL && rev == NULL) {
		req->status = 404;
		strbuf_adds(req->body, "no such revision; /why without ?revision= lists all\n");
		return;
	}
	if (is_json)
		req->content_type = "application/json";
	if (rev != NULL)
		answer_one(req, rev, is_json);
	else
		answer_all(req, r, is_json);
}
