#include "autoscaler/reconcile/scale_audit.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/reconcile/scaled.h"

void
scale_audit_fini(struct scale_audit *a)
{
	free(a->service);
	a->service = NULL;
}

static uint32_t
present(const struct scaled_revision *rev)
{
	return rev->audit.is_raise ? instances_ready(&rev->instances)
				   : instances_live(&rev->instances);
}

static struct audit_subject
subject_of(struct scaled_revision *rev)
{
	struct scale_audit *a = &rev->audit;

	if (a->service == NULL)
		a->service = xstrndup(rev->name, strcspn(rev->name, "/"));
	return (struct audit_subject){
		.kind = AUDIT_SCALE, .service = a->service, .revision = rev->name};
}

static bool
is_open(const struct scaled_revision *rev)
{
	return rev->audit.entry.id[0] != '\0';
}

static void
end(struct scaled_revision *rev, enum audit_result result, const char *why)
{
	audit_outcome(rev->audit.audit, &rev->audit.entry, result, why, AUDIT_NUMBER(present(rev)));
}

/* Another change begins.  One that has failed stays so. */
static void
supersede(struct scaled_revision *rev)
{
	scale_audit_look(rev);
	if (is_open(rev) && !rev->audit.has_failed)
		end(rev, AUDIT_SUPERSEDED, NULL);
	rev->audit.entry.id[0] = '\0';
}

void
scale_audit_change(struct scaled_revision *rev, const struct audit_by *by, uint32_t from,
		   uint32_t to)
{
	struct scale_audit *a = &rev->audit;
	struct audit_change c = {.by = *by, .from = AUDIT_NUMBER(from), .to = AUDIT_NUMBER(to)};

	if (a->audit == NULL || from == to)
		return;
	c.subject = subject_of(rev);
	supersede(rev);
	a->to = to;
	a->is_raise = to > from;
	a->has_failed = false;
	audit_intent(a->audit, &a->entry, &c);
}

void
scale_audit_decided(struct scaled_revision *rev, uint32_t from, uint32_t to)
{
	enum decide_rule rule = rev->wanted.rule;
	const struct audit_by by = {.kind = AUDIT_BY_RULE,
				    .name = decide_rule_name(rule),
				    .why = decide_rule_text(rule)};
	bool is_asked = (rule == DECIDE_WOKEN || rule == DECIDE_ASLEEP) &&
			rev->audit.asked_by.name != NULL;

	scale_audit_change(rev, is_asked ? &rev->audit.asked_by : &by, from, to);
}

void
scale_audit_foreign(struct scaled_revision *rev, const char *by, uint32_t from, uint32_t to)
{
	struct audit_change c = {.by = {.kind = AUDIT_BY_FOREIGN, .name = by},
				 .from = AUDIT_NUMBER(from),
				 .to = AUDIT_NUMBER(to)};

	if (rev->audit.audit == NULL)
		return;
	c.subject = subject_of(rev);
	supersede(rev);
	audit_note(rev->audit.audit, &c);
}

void
scale_audit_overruled(struct scaled_revision *rev, const char *by, uint32_t to)
{
	static const struct audit_by ours = {
		.kind = AUDIT_BY_RULE,
		.name = "foreign_scale",
		.why = "foreign_scale = overrule: another client has set the number"};

	scale_audit_foreign(rev, by, rev->scale_sent, to);
	scale_audit_change(rev, &ours, to, rev->scale_sent);
}

/* Does the platform, if it stores the number, have what it was asked for? */
static bool
is_stored(const struct scaled_revision *rev)
{
	return !rev->has_scale || rev->scale == rev->scale_sent;
}

void
scale_audit_look(struct scaled_revision *rev)
{
	struct scale_audit *a = &rev->audit;
	const struct msg_failure *f = rev->failure;
	bool is_reached = a->is_raise ? present(rev) >= a->to : present(rev) <= a->to;

	if (!is_open(rev))
		return;
	if (is_reached && is_stored(rev)) {
		end(rev, AUDIT_DONE, NULL);
	} else if (a->is_raise && !a->has_failed && f != NULL && !f->is_parking &&
		   rev->failed_ns >= a->entry.begun_ns) {
		a->has_failed = true;
		end(rev, AUDIT_FAILED, f->message);
	}
}

void
scale_audit_forget(struct scaled_revision *rev)
{
	scale_audit_look(rev);
	if (is_open(rev) && !rev->audit.has_failed)
		end(rev, AUDIT_UNKNOWN, "the revision is not configured any more");
}
