#include "autoscaler/ctl_annotated.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl_server.h"
#include "autoscaler/kube/kube_annotations.h"
#include "common/settings.h"
#include "common/strbuf.h"
#include "common/text.h"

#define PREFIX KUBE_ANNOTATION_PREFIX
#define SINGLE KUBE_ANNOTATION_REVISION
#define STEPS_DEFAULT "1,10,50,100"

/* --- the Deployments --- */

static const struct traffic_conf *
traffic_of(const struct service_conf *service, const char *revision)
{
	size_t i;

	for (i = 0; i < service->traffic_n; i++)
		if (strcmp(service->traffic[i].revision, revision) == 0)
			return &service->traffic[i];
	return NULL;
}

static struct stored_service *
view_of(const struct service_conf *service)
{
	struct stored_service *s = stored_service_new(service->name);
	size_t i;

	s->v = xcalloc(service->revisions_n, sizeof *s->v);
	s->n = service->revisions_n;
	for (i = 0; i < s->n; i++) {
		const char *name = service->revisions[i].name;
		const struct traffic_conf *t = traffic_of(service, name);

		s->v[i] = (struct stored_revision){.name = xstrdup(name),
						   .body = xstrdup(""),
						   .percent = t == NULL ? 0 : t->percent,
						   .tag = t == NULL ? NULL : text_copy(t->tag)};
	}
	return s;
}

/* Append "kubectl -n prod annotate --overwrite deployment/blue", behind other commands. */
static void
put_command(struct strbuf *out, const char *deployment, const char *option)
{
	const char *slash = strchr(deployment, '/');

	strbuf_addf(out, "%skubectl -n %.*s annotate%s deployment/%s", out->len > 0 ? " && " : "",
		    (int)(slash - deployment), deployment, option, slash + 1);
}

static bool
has_deployments(const struct service_conf *service)
{
	size_t i;

	for (i = 0; i < service->revisions_n; i++) {
		const char *deployment = service->revisions[i].launch.deployment;

		if (deployment == NULL || strchr(deployment, '/') == NULL)
			return false;
	}
	return true;
}

/* Do its Deployments name it (activator.dev/service), or is it one Deployment by itself?  The
 * revision of the latter has a fixed name (kube_annotations.h). */
static bool
is_joint(const struct service_conf *service)
{
	const char *deployment = service->revisions[0].launch.deployment;

	return service->revisions_n > 1 || strcmp(service->revisions[0].name, SINGLE) != 0 ||
	       strcmp(strchr(deployment, '/') + 1, SINGLE) == 0;
}

/* --- the commands --- */

static void
put_removed_tags(struct strbuf *out, const struct service_conf *service,
		 const struct stored_service *wanted)
{
	size_t i;

	for (i = 0; i < service->revisions_n; i++) {
		const struct traffic_conf *t = traffic_of(service, wanted->v[i].name);

		if (t == NULL || t->tag == NULL || text_equal(t->tag, wanted->v[i].tag))
			continue;
		put_command(out, service->revisions[i].launch.deployment, "");
		strbuf_addf(out, " " PREFIX "tag-");
	}
}

static void
put_changes(struct strbuf *out, const struct service_conf *service,
	    const struct stored_service *wanted)
{
	size_t i;

	put_removed_tags(out, service, wanted);
	for (i = service->revisions_n; i-- > 0;) {
		const struct traffic_conf *t = traffic_of(service, wanted->v[i].name);
		const char *tag = wanted->v[i].tag;

		put_command(out, service->revisions[i].launch.deployment, " --overwrite");
		strbuf_addf(out, " " PREFIX "percent=%u", wanted->v[i].percent);
		if (tag != NULL && !(t != NULL && text_equal(t->tag, tag)))
			strbuf_addf(out, " " PREFIX "tag=%s", tag);
	}
}

/* Tags go into a command that the operator may paste into a shell. */
static bool
is_label(const char *tag)
{
	return tag[0] != '\0' && tag[strspn(tag, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static const char *
bad_tag(const struct stored_service *wanted)
{
	size_t i;

	for (i = 0; i < wanted->n; i++)
		if (wanted->v[i].tag != NULL && !is_label(wanted->v[i].tag))
			return wanted->v[i].tag;
	return NULL;
}

/* The service is one Deployment that shares with none: say how two make one service. */
static void
refuse_single(struct ctl_request *r, const struct service_conf *service)
{
	const char *deployment = service->revisions[0].launch.deployment;
	struct strbuf next;

	strbuf_init(&next, 0);
	put_command(&next, deployment, "");
	strbuf_addf(&next, " deployment/OTHER " PREFIX "service=%s", strchr(deployment, '/') + 1);
	ctl_done(r, CTL_FAILED, strbuf_str(&next),
		 "the service \"%s\" is one annotated Deployment, which has all of its traffic: "
		 "name one service on two of them",
		 service->name);
	strbuf_fini(&next);
}

/* what: goes on behind "the service … comes from annotations of Deployments: " */
static void
answer(struct ctl_request *r, const struct service_conf *service,
       const struct stored_service *wanted, const char *what)
{
	const char *tag = bad_tag(wanted);
	struct strbuf next;

	if (tag != NULL) {
		ctl_done(r, CTL_FAILED, NULL,
			 "tag: expected small letters, digits and hyphens, got \"%s\"", tag);
		return;
	}
	strbuf_init(&next, 0);
	put_changes(&next, service, wanted);
	ctl_done(r, CTL_FAILED, strbuf_str(&next),
		 "the service \"%s\" comes from annotations of Deployments: %s", service->name,
		 what);
	strbuf_fini(&next);
}

static void
refuse(struct ctl_request *r, enum ctl_status status, const struct err *e)
{
	ctl_done(r, e->code == ENOENT ? CTL_NOT_FOUND : status,
		 "activatorctl describe NAME shows its Deployments and tags", "%s", e->text);
}

void
ctl_annotated_change(struct ctl_request *r, const struct service_conf *service,
		     ctl_change_fn *change)
{
	struct stored_service *view = view_of(service);
	struct err e = {0};

	if (!has_deployments(service))
		ctl_annotated_refuse(r, service);
	else if (!is_joint(service))
		refuse_single(r, service);
	else if (change(r, view, &e) < 0)
		refuse(r, CTL_FAILED, &e);
	else
		answer(r, service, view, "nothing has changed yet");
	stored_service_free(&view);
}

/* --- rollback --- */

int
ctl_annotated_roll_back(struct ctl_request *r, struct stored_service *view, struct err *e)
{
	struct model_traffic one = {.revision = ctl_option(r, "to", 0), .percent = 100};

	if (one.revision == NULL && view->n == 2 && view->v[0].percent % 100 == 0)
		one.revision = view->v[view->v[0].percent == 100 ? 1 : 0].name;
	if (one.revision == NULL)
		return err_set(e, 0,
			       "expected --to DEPLOYMENT: annotations do not say which of "
			       "them was before");
	return model_set_traffic(view, &one, 1, e);
}

/* --- rollout --- */

/* The first step that gives the revision more than it has; 0: it has all. */
static uint32_t
next_step(const struct rollout_plan *p, uint32_t percent)
{
	size_t i;

	for (i = 0; i < p->steps_n; i++)
		if (p->steps[i] > percent)
			return p->steps[i];
	return 0;
}

/* The others share the rest, in their proportions. */
static void
set_step(struct stored_service *view, struct rollout *ro, uint32_t percent)
{
	uint32_t *shares = xcalloc(view->n, sizeof *shares);
	size_t i;

	ro->before = xcalloc(view->n, sizeof *ro->before);
	for (; ro->before_n < view->n; ro->before_n++)
		ro->before[ro->before_n] = (struct rollout_share){
			.revision = xstrdup(view->v[ro->before_n].name),
			.percent = view->v[ro->before_n].percent};
	rollout_split(ro, percent, shares);
	for (i = 0; i < view->n; i++)
		view->v[i].percent = shares[i];
	free(shares);
}

/* The one that gets the traffic: named, or the other one of two.  NULL: err says why. */
static const struct stored_revision *
find_to(const struct ctl_request *r, const struct stored_service *view, struct err *e)
{
	const char *to = ctl_option(r, "to", 0);
	const struct stored_revision *rev;

	if (to == NULL && view->n == 2)
		return &view->v[view->v[0].percent > view->v[1].percent ? 1 : 0];
	if (to == NULL) {
		err_set(e, 0, "expected --to DEPLOYMENT, got none");
		return NULL;
	}
	rev = stored_service_find(view, to);
	if (rev == NULL)
		err_set(e, ENOENT, "the service \"%s\" has no Deployment \"%s\"", view->name, to);
	return rev;
}

static void
roll_out(struct ctl_request *r, const struct service_conf *service)
{
	const char *steps = ctl_option(r, "steps", 0);
	struct stored_service *view = view_of(service);
	struct err e = {0};
	const struct stored_revision *rev = find_to(r, view, &e);
	struct rollout *ro = rollout_new(rev == NULL ? "" : rev->name);
	uint32_t percent;
	char *what;

	if (rev == NULL ||
	    rollout_steps_parse(&ro->plan, steps == NULL ? STEPS_DEFAULT : steps, &e) < 0) {
		refuse(r, CTL_USAGE, &e);
	} else if ((percent = next_step(&ro->plan, rev->percent)) == 0) {
		ctl_done(r, CTL_OK, NULL, "%s has 100%% of the traffic", rev->name);
	} else {
		what = xasprintf("a rollout takes no steps there by itself; the next one gives %s "
				 "%u%%",
				 rev->name, percent);
		set_step(view, ro, percent);
		answer(r, service, view, what);
		free(what);
	}
	rollout_free(&ro);
	stored_service_free(&view);
}

/* --- the others --- */

static void
put_deployments(struct strbuf *out, const struct service_conf *service, const char *revision)
{
	size_t i;

	for (i = 0; i < service->revisions_n; i++) {
		if (revision != NULL && strcmp(service->revisions[i].name, revision) != 0)
			continue;
		if (out->len == 0)
			put_command(out, service->revisions[i].launch.deployment, "");
		else
			strbuf_addf(out, " deployment/%s",
				    strchr(service->revisions[i].launch.deployment, '/') + 1);
	}
}

static void
put_next(struct strbuf *out, const struct ctl_asked *asked, const struct service_conf *service)
{
	const char *deployment = service->revisions[0].launch.deployment;
	const char *slash = strchr(deployment, '/');
	const char *part = asked->name == NULL ? NULL : strchr(asked->name, '/');

	if (strcmp(asked->command, "delete") == 0) {
		put_deployments(out, service, part == NULL ? NULL : part + 1);
		if (out->len > 0)
			strbuf_addf(out, " " PREFIX "host- " PREFIX "service-");
	}
	if (out->len == 0)
		strbuf_addf(out, "kubectl -n %.*s edit deployment/%s", (int)(slash - deployment),
			    deployment, slash + 1);
}

void
ctl_annotated_refuse(struct ctl_request *r, const struct service_conf *service)
{
	const struct ctl_asked *asked = ctl_asked(r);
	bool has = has_deployments(service), is_rollout = strcmp(asked->command, "rollout") == 0;
	struct strbuf next;

	if (has && is_rollout && text_equal(asked->state, "start")) {
		if (is_joint(service))
			roll_out(r, service);
		else
			refuse_single(r, service);
		return;
	}
	if (is_rollout) {
		ctl_done(r, CTL_FAILED, "activatorctl describe NAME shows its percents",
			 "the service \"%s\" comes from annotations of Deployments: it has no "
			 "rollout",
			 service->name);
		return;
	}
	strbuf_init(&next, 0);
	if (has)
		put_next(&next, asked, service);
	ctl_done(r, CTL_FAILED, has ? strbuf_str(&next) : "change them there",
		 "the service \"%s\" comes from annotations of Deployments", service->name);
	strbuf_fini(&next);
}
