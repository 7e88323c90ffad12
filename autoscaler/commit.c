#include "autoscaler/commit.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl_server.h"
#include "autoscaler/facts.h"
#include "autoscaler/versions/change.h"
#include "autoscaler/versions/store.h"
#include "common/strbuf.h"

/* "shop-00001 90%, shop-00002 10% (next)"; NULL: there is no such service. */
static char *
route_text(const struct stored_service *s)
{
	struct strbuf text;
	size_t i;

	if (s == NULL)
		return NULL;
	strbuf_init(&text, 0);
	for (i = 0; i < s->n; i++) {
		const struct stored_revision *rev = &s->v[i];

		if (!stored_revision_is_active(rev))
			continue;
		strbuf_addf(&text, "%s%s %u%%", text.len > 0 ? ", " : "", rev->name, rev->percent);
		if (rev->tag != NULL)
			strbuf_addf(&text, " (%s)", rev->tag);
	}
	return strbuf_take(&text);
}

/* "rollout to shop-00002 running at 10%" */
static void
put_rollout(const struct rollout *r, struct strbuf *out)
{
	strbuf_addf(out, "%srollout to %s %s at %u%%", out->len > 0 ? ", " : "", r->to,
		    rollout_state_name(r->state), rollout_percent(r));
}

/* Write the intent; now NULL: the service is about to be deleted. */
static void
begin(const struct facts *f, enum audit_kind kind, const struct audit_by *by, const char *name,
      const struct stored_service *now, struct audit_entry *entry)
{
	const struct stored_service *old = version_store_find(f->store, name);
	char *from = route_text(old), *to = route_text(now);
	struct audit_change c = {.subject = {.kind = kind,
					     .service = name,
					     .generation = now == NULL ? 0 : now->generation + 1},
				 .by = *by,
				 .from = AUDIT_TEXT(from),
				 .to = AUDIT_TEXT(to)};
	struct strbuf what;

	strbuf_init(&what, 0);
	if (now != NULL)
		change_put(old, now, &what);
	if (now != NULL && kind == AUDIT_ROLLOUT)
		put_rollout(now->rollout, &what);
	c.what = what.len == 0 ? NULL : strbuf_str(&what);
	audit_intent(f->audit, entry, &c);
	audit_settle(f->audit); /* the store waits for the disk, too */
	strbuf_fini(&what);
	free(from);
	free(to);
}

static void
end(const struct facts *f, struct audit_entry *entry, int rc, const struct err *e)
{
	const struct stored_service *now = version_store_find(f->store, entry->subject.service);
	char *text = route_text(now);

	audit_outcome(f->audit, entry, rc == 0 ? AUDIT_DONE : AUDIT_FAILED,
		      rc == 0 ? NULL : e->text, AUDIT_TEXT(text));
	free(text);
}

int
commit_put(const struct facts *f, enum audit_kind kind, const struct audit_by *by,
	   struct stored_service **s, struct err *e)
{
	char *name = xstrdup((*s)->name);
	struct audit_entry entry;
	int rc;

	begin(f, kind, by, name, *s, &entry);
	rc = version_store_put(f->store, s, e);
	end(f, &entry, rc, e);
	free(name);
	return rc;
}

static enum audit_kind
kind_of(const char *command)
{
	if (strcmp(command, "rollout") == 0)
		return AUDIT_ROLLOUT;
	if (strcmp(command, "delete") == 0)
		return AUDIT_DELETE;
	return strcmp(command, "deploy") == 0 || strcmp(command, "apply") == 0 ? AUDIT_DEPLOY
									       : AUDIT_ROUTE;
}

int
commit_asked(const struct ctl_request *r, const struct facts *f, struct stored_service **s,
	     struct err *e)
{
	const struct audit_by by = ctl_by(r);

	return commit_put(f, kind_of(by.name), &by, s, e);
}

int
commit_remove(const struct ctl_request *r, const struct facts *f, const char *name, struct err *e)
{
	const struct audit_by by = ctl_by(r);
	struct audit_entry entry;
	int rc;

	begin(f, AUDIT_DELETE, &by, name, NULL, &entry);
	rc = version_store_remove(f->store, name, e);
	end(f, &entry, rc, e);
	return rc;
}
