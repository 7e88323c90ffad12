/* The activator's audit (common/audit.h): its file, and how the changes end that an earlier
 * activator has left without an outcome. */
#include "activator/control_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "activator/upgrade.h"
#include "common/daemon.h"
#include "common/log.h"

static const char *
file_of(const struct settings *s)
{
	const char *file = s->activator.audit_file;

	return file == NULL || file[0] == '\0' ? NULL : file;
}

static void
end_left(const struct activator *a, const struct audit_left *l)
{
	const struct audit_value unknown = {.is_known = false};

	switch (l->kind) {
	case AUDIT_CONF:
		reload_end_left(a->reload, l);
		break;
	case AUDIT_CERTIFICATE:
		audit_end_left(a->audit, l, AUDIT_DONE, "this process has read all pairs", unknown);
		break;
	case AUDIT_UPGRADE:
		if (a->takeover != NULL) {
			audit_end_left(a->audit, l, AUDIT_DONE, "this process has taken over",
				       unknown);
			break;
		}
		/* fall through */
	default:
		audit_end_left(a->audit, l, AUDIT_UNKNOWN, "the process has ended", unknown);
	}
}

static void
on_left(struct audit_left *v, size_t n, void *arg)
{
	const struct activator *a = arg;
	size_t i;

	for (i = 0; i < n; i++)
		end_left(a, &v[i]);
	if (n > 0)
		log_info(NULL, "changes were cut short by the end of an earlier process",
			 "changes=%zu", n);
	audit_left_free(&v, n);
}

static const struct audit_ops audit_ops = {.left = on_left};

int
control_open_audit(struct activator *a, struct err *e)
{
	const struct settings *s = settings_of(a);
	const struct audit_conf conf = {.path = file_of(s),
					.max_bytes = s->activator.audit_max_bytes,
					.program = "activator"};

	a->audit = audit_open(a->loop, &conf, &audit_ops, a, e);
	if (a->audit == NULL)
		return settings_err_at(s, "audit_file", IN_ACTIVATOR, e);
	reload_set_audit(a->reload, a->audit);
	return 0;
}

int
control_move_audit(struct activator *a, const struct settings *s, struct err *e)
{
	return audit_move(a->audit, file_of(s), s->activator.audit_max_bytes, e) < 0
		       ? settings_err_at(s, "audit_file", IN_ACTIVATOR, e)
		       : 0;
}

/* --- upgrades --- */

struct audited_upgrade {
	struct activator *a;
	struct audit_entry entry;
	void (*done)(const char *, void *);
	void *arg;
};

static void
on_over(const char *why, void *arg)
{
	struct audited_upgrade *u = arg;
	char text[32];

	snprintf(text, sizeof text, "pid %d", (int)u->a->successor);
	audit_outcome(u->a->audit, &u->entry, why == NULL ? AUDIT_DONE : AUDIT_FAILED, why,
		      AUDIT_TEXT(why == NULL ? text : NULL));
	if (u->done != NULL)
		u->done(why, u->arg);
	free(u);
}

int
control_upgrade(struct activator *a, const struct audit_by *by, void (*done)(const char *, void *),
		void *arg, struct err *e)
{
	const struct audit_change c = {
		.subject = {.kind = AUDIT_UPGRADE}, .by = *by, .from = AUDIT_TEXT(daemon_version)};
	struct audited_upgrade *u = xcalloc(1, sizeof *u);

	*u = (struct audited_upgrade){.a = a, .done = done, .arg = arg};
	audit_intent(a->audit, &u->entry, &c);
	if (upgrade_begin(a->upgrade, settings_of(a)->activator.upgrade_timeout, on_over, u, e) ==
	    0)
		return 0;
	u->done = NULL;
	on_over(e->text, u);
	return -1;
}
