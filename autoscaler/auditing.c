#include "autoscaler/auditing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/facts.h"
#include "autoscaler/services.h"
#include "autoscaler/versions/store.h"
#include "common/audit_lines.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/settings.h"

#define FILE_NAME "audit.log"
#define PATIENCE (60 * CLK_S) /* for a driver to show what there is */

struct auditing {
	struct audit *audit;
	auditing_facts_fn *facts;
	void *arg;
	struct reload *reload;
	struct audit_entry upgrade;
	int64_t opened_ns;
	struct hmap generations; /* service → uint64_t: as the store had it at the start */
	struct audit_left *left; /* of earlier processes; those without an id are ended */
	size_t left_n, open_n;
};

char *
auditing_file(const struct settings *s)
{
	const char *file = s->autoscaler.audit_file;

	if (file == NULL)
		return xasprintf("%s/" FILE_NAME, s->state_dir);
	return file[0] == '\0' ? NULL : xstrdup(file);
}

/* --- how a change ends that was cut short --- */

static void
end_scale(struct audit *audit, const struct audit_left *l, const struct scaled_revision *rev)
{
	uint32_t n = rev->is_adopted ? rev->adopted : instances_live(&rev->instances);

	if (l->to == (int64_t)n)
		audit_end_left(audit, l, AUDIT_DONE, NULL, AUDIT_NUMBER(n));
	else
		audit_end_left(audit, l, AUDIT_UNKNOWN,
			       "the autoscaler has ended before it was done", AUDIT_NUMBER(n));
}

/* False: the driver has not shown the revision yet. */
static bool
look_at_scale(const struct auditing *a, const struct facts *f, const struct audit_left *l)
{
	const struct scaled_revision *rev = l->revision == NULL
						    ? NULL
						    : reconcile_find(f->reconcile, l->revision);
	const struct audit_value unknown = {.is_known = false};

	if (rev == NULL && services_are_complete(f->services))
		audit_end_left(a->audit, l, AUDIT_UNKNOWN,
			       "the revision is not configured any more", unknown);
	else if (rev != NULL && rev->is_known)
		end_scale(a->audit, l, rev);
	else if (clk_now() - a->opened_ns >= PATIENCE)
		audit_end_left(a->audit, l, AUDIT_UNKNOWN, "the driver does not show the revision",
			       unknown);
	else
		return false;
	return true;
}

/* A command, or a step of a rollout, was about to be stored. */
static void
end_stored(const struct auditing *a, const struct facts *f, const struct audit_left *l)
{
	const uint64_t *was = l->service == NULL ? NULL : hmap_find(&a->generations, l->service);
	struct audit_value now = {.is_known = false};
	char text[32];

	if (was != NULL) {
		snprintf(text, sizeof text, "generation %llu", (unsigned long long)*was);
		now = AUDIT_TEXT(text);
	}
	if (f->store == NULL)
		audit_end_left(a->audit, l, AUDIT_UNKNOWN, "the store cannot be read", now);
	else if (l->generation == 0 ? was == NULL : was != NULL && *was >= l->generation)
		audit_end_left(a->audit, l, AUDIT_DONE, NULL, now);
	else
		audit_end_left(a->audit, l, AUDIT_FAILED,
			       "the autoscaler has ended before it was stored", now);
}

/* "PID-START-": an execve keeps both; the process id alone may repeat, as it does in a container.
 */
static bool
is_of_this_process(const char *id)
{
	char *own = audit_lines_run(0);
	bool is = strncmp(id, own, (size_t)(strrchr(own, '-') - own) + 1) == 0;

	free(own);
	return is;
}

/* The program that was to take its place is the same process, and opened the file after it. */
static void
end_upgrade(struct audit *audit, const struct audit_left *l)
{
	bool is_same = is_of_this_process(l->id);

	audit_end_left(audit, l, is_same ? AUDIT_DONE : AUDIT_UNKNOWN,
		       is_same ? NULL : "another process has been started",
		       AUDIT_TEXT(daemon_version));
}

static bool
look_at(const struct auditing *a, const struct facts *f, const struct audit_left *l)
{
	const struct audit_value unknown = {.is_known = false};

	switch (l->kind) {
	case AUDIT_SCALE:
		return look_at_scale(a, f, l);
	case AUDIT_CONF:
		reload_end_left(a->reload, l);
		break;
	case AUDIT_DEPLOY:
	case AUDIT_ROUTE:
	case AUDIT_ROLLOUT:
	case AUDIT_DELETE:
		end_stored(a, f, l);
		break;
	case AUDIT_UPGRADE:
		end_upgrade(a->audit, l);
		break;
	default: /* of an activator, in the same file */
		audit_end_left(a->audit, l, AUDIT_UNKNOWN, "the process has ended", unknown);
	}
	return true;
}

void
auditing_tick(struct auditing *a)
{
	struct facts f;
	size_t i;

	if (a == NULL || a->open_n == 0)
		return;
	f = a->facts(a->arg);
	for (i = 0; i < a->left_n; i++) {
		if (a->left[i].id == NULL || !look_at(a, &f, &a->left[i]))
			continue;
		audit_left_fini(&a->left[i]);
		a->open_n--;
	}
}

static void
on_left(struct audit_left *v, size_t n, void *arg)
{
	struct auditing *a = arg;

	a->left = v;
	a->left_n = a->open_n = n;
	if (n > 0)
		log_info(NULL, "changes were cut short by the end of an earlier process",
			 "changes=%zu", n);
}

static const struct audit_ops audit_ops = {.left = on_left};

/* --- upgrades --- */

bool
auditing_upgrade(struct auditing *a, const char *signal)
{
	const struct audit_change c = {.subject = {.kind = AUDIT_UPGRADE},
				       .by = {.kind = AUDIT_BY_SIGNAL, .name = signal},
				       .from = AUDIT_TEXT(daemon_version)};

	if (a->upgrade.id[0] != '\0')
		return false;
	audit_intent(a->audit, &a->upgrade, &c);
	return true;
}

void
auditing_upgrade_failed(struct auditing *a, const char *why)
{
	audit_outcome(a->audit, &a->upgrade, AUDIT_FAILED, why, AUDIT_TEXT(daemon_version));
}

/* --- life --- */

struct auditing *
auditing_open(struct loop *loop, const struct settings *s, auditing_facts_fn *facts, void *arg,
	      struct err *e)
{
	struct auditing *a = xcalloc(1, sizeof *a);
	char *file = auditing_file(s);
	const struct audit_conf conf = {
		.path = file, .max_bytes = s->autoscaler.audit_max_bytes, .program = "autoscaler"};

	a->facts = facts;
	a->arg = arg;
	a->opened_ns = clk_now();
	hmap_init(&a->generations);
	a->audit = audit_open(loop, &conf, &audit_ops, a, e);
	free(file);
	if (a->audit != NULL)
		return a;
	hmap_fini(&a->generations);
	free(a);
	(void)settings_err_at(s, "audit_file", IN_AUTOSCALER, e);
	return NULL;
}

void
auditing_close(struct auditing **ap)
{
	struct auditing *a = *ap;
	size_t at = 0;
	void *generation;

	*ap = NULL;
	if (a == NULL)
		return;
	audit_close(&a->audit);
	audit_left_free(&a->left, a->left_n);
	while (hmap_next(&a->generations, &at, NULL, &generation))
		free(generation);
	hmap_fini(&a->generations);
	free(a);
}

void
auditing_set_reload(struct auditing *a, struct reload *reload)
{
	a->reload = reload;
	reload_set_audit(reload, a->audit);
}

void
auditing_set_store(struct auditing *a, const struct version_store *store)
{
	size_t i;

	for (i = 0; store != NULL && i < version_store_n(store); i++) {
		const struct stored_service *s = version_store_at(store, i);
		uint64_t *generation = xmalloc(sizeof *generation);

		*generation = s->generation;
		free(hmap_put(&a->generations, s->name, generation));
	}
}

int
auditing_adopt(struct auditing *a, const struct settings *s, struct err *e)
{
	char *file = auditing_file(s);
	int rc = audit_move(a->audit, file, s->autoscaler.audit_max_bytes, e);

	free(file);
	return rc < 0 ? settings_err_at(s, "audit_file", IN_AUTOSCALER, e) : 0;
}

struct audit *
auditing_audit(const struct auditing *a)
{
	return a == NULL ? NULL : a->audit;
}
