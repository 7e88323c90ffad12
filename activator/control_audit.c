/* The activator's audit (common/audit.h): its file, how the changes end that an earlier activator
 * has left without an outcome, and changed files for TLS with instances. */
#include "activator/control_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activator/net/tls_trust.h"
#include "activator/registry.h"
#include "activator/revision.h"
#include "activator/upgrade.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/strbuf.h"

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
		audit_end_left(a->audit, l, AUDIT_DONE, "this process has read the files", unknown);
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

/* --- files for TLS with instances --- */

static void
add_file(struct strbuf *b, const char *key, const char *path)
{
	if (path != NULL)
		strbuf_addf(b, "%s%s %s", b->len > 0 ? ", " : "", key, path);
}

static char *
describe_trust(const struct revision *rev)
{
	struct tls_trust *trust = revision_limits_trust_ref(rev->limits);
	char *text = tls_trust_describe(trust);

	tls_trust_unref(&trust);
	return text;
}

static void
use_changed_trust(const struct activator *a, struct revision *rev)
{
	const struct limits *l = &rev->limits->v;
	char *service = xstrndup(rev->name, strcspn(rev->name, "/"));
	char *from = describe_trust(rev), *now;
	struct audit_change change = {.subject = {.kind = AUDIT_CERTIFICATE,
						  .service = service,
						  .revision = rev->name,
						  .object = "upstream"},
				      .by = {.kind = AUDIT_BY_FILE},
				      .from = AUDIT_TEXT(from)};
	struct audit_entry entry;
	struct strbuf what;
	struct err e = {0};
	int rc;

	strbuf_init(&what, 0);
	add_file(&what, "upstream_ca", l->upstream_ca);
	add_file(&what, "upstream_certificate", l->upstream_certificate);
	add_file(&what, "upstream_key", l->upstream_key);
	change.what = strbuf_str(&what);
	audit_intent(a->audit, &entry, &change);
	audit_settle(a->audit); /* what follows reads files, too */
	rc = revision_use_changed_trust(rev, &e);
	now = describe_trust(rev);
	audit_outcome(a->audit, &entry, rc == 0 ? AUDIT_DONE : AUDIT_FAILED,
		      rc == 0 ? NULL : e.text, AUDIT_TEXT(now));
	strbuf_fini(&what);
	free(now);
	free(from);
	free(service);
}

void
control_check_trust(const struct activator *a)
{
	struct revision *rev;
	size_t at = 0;

	while ((rev = registry_next_revision(a->registry, &at)) != NULL)
		if (revision_check_trust(rev))
			use_changed_trust(a, rev);
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
