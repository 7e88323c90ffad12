#include "autoscaler/ctl_knative.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/ctl_server.h"
#include "common/clk.h"
#include "common/settings.h"
#include "common/settings_units.h"
#include "common/strbuf.h"
#include "common/text.h"

/* --- names --- */

/* "NS/KIND/NAME" of service->knative. */
struct object_name {
	char *ns, *kind, *name;
};

static struct object_name
name_of(const struct service_conf *service)
{
	const char *kind = strchr(service->knative, '/') + 1, *name = strchr(kind, '/') + 1;

	return (struct object_name){
		.ns = xstrndup(service->knative, (size_t)(kind - service->knative - 1)),
		.kind = xstrndup(kind, (size_t)(name - kind - 1)),
		.name = xstrdup(name)};
}

static void
object_name_fini(struct object_name *o)
{
	free(o->ns);
	free(o->kind);
	free(o->name);
}

static bool
is_service(const struct object_name *o)
{
	return strcmp(o->kind, "service") == 0;
}

/* kn changes Services alone. */
static void
put_edit(struct strbuf *out, const struct object_name *o)
{
	strbuf_addf(out, "kubectl -n %s edit %ss.serving.knative.dev/%s", o->ns, o->kind, o->name);
}

static void
put_update(struct strbuf *out, const struct object_name *o)
{
	strbuf_addf(out, "kn -n %s service update %s", o->ns, o->name);
}

char *
ctl_knative_where(const struct service_conf *service)
{
	struct object_name o = name_of(service);
	struct strbuf out;

	strbuf_init(&out, 0);
	strbuf_addf(&out, "Knative's %c%s %s/%s: ", o.kind[0] & ~0x20, o.kind + 1, o.ns, o.name);
	if (is_service(&o))
		put_update(&out, &o);
	else
		put_edit(&out, &o);
	object_name_fini(&o);
	return strbuf_take(&out);
}

/* --- traffic --- */

static int
by_name(const void *a, const void *b)
{
	const struct stored_revision *x = a, *y = b;

	return strverscmp(x->name, y->name);
}

struct stored_service *
ctl_knative_view(const struct service_conf *service)
{
	struct stored_service *s = stored_service_new(service->name);
	size_t i, k;

	s->v = xcalloc(service->revisions_n + 1, sizeof *s->v);
	for (i = 0; i < service->revisions_n; i++) {
		struct stored_revision *rev = &s->v[s->n++];

		rev->name = xstrdup(service->revisions[i].name);
		rev->body = xstrdup("");
		for (k = 0; k < service->traffic_n; k++) {
			const struct traffic_conf *t = &service->traffic[k];

			if (t->service != NULL || strcmp(t->revision, rev->name) != 0)
				continue;
			rev->percent += t->percent;
			if (t->tag != NULL)
				text_replace(&rev->tag, t->tag);
		}
	}
	if (s->n > 1)
		qsort(s->v, s->n, sizeof *s->v, by_name);
	return s;
}

static void
put_tags(struct strbuf *out, const struct stored_service *before, const struct stored_service *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (before->v[i].tag != NULL && !text_equal(before->v[i].tag, s->v[i].tag))
			strbuf_addf(out, " --untag %s", before->v[i].tag);
	for (i = 0; i < s->n; i++)
		if (s->v[i].tag != NULL && !text_equal(before->v[i].tag, s->v[i].tag))
			strbuf_addf(out, " --tag %s=%s", s->v[i].name, s->v[i].tag);
}

static void
put_percents(struct strbuf *out, const struct stored_service *before,
	     const struct stored_service *s)
{
	bool is_changed = false;
	size_t i;

	for (i = 0; i < s->n; i++)
		is_changed |= s->v[i].percent != before->v[i].percent || s->v[i].latest > 0;
	for (i = 0; i < s->n && is_changed; i++) {
		if (s->v[i].percent > s->v[i].latest)
			strbuf_addf(out, " --traffic %s=%u", s->v[i].name,
				    s->v[i].percent - s->v[i].latest);
		if (s->v[i].latest > 0)
			strbuf_addf(out, " --traffic @latest=%u", s->v[i].latest);
	}
}

/* Tags go into a command that the operator may paste into a shell. */
static const char *
bad_tag(const struct stored_service *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].tag != NULL && s->v[i].tag[strspn(s->v[i].tag, letters)] != '\0')
			return s->v[i].tag;
	return NULL;
}

char *
ctl_knative_command(const struct service_conf *service, const struct stored_service *wanted)
{
	struct stored_service *before = ctl_knative_view(service);
	struct object_name o = name_of(service);
	struct strbuf out;

	strbuf_init(&out, 0);
	if (is_service(&o)) {
		put_update(&out, &o);
		put_tags(&out, before, wanted);
		put_percents(&out, before, wanted);
	} else {
		put_edit(&out, &o);
	}
	object_name_fini(&o);
	stored_service_free(&before);
	return strbuf_take(&out);
}

static void
answer(struct ctl_request *r, const struct service_conf *service, const char *next)
{
	ctl_done(r, CTL_FAILED, next,
		 "the service \"%s\" is of Knative's objects: nothing has changed yet",
		 service->name);
}

void
ctl_knative_change(struct ctl_request *r, const struct service_conf *service, ctl_change_fn *change)
{
	struct stored_service *s = ctl_knative_view(service);
	struct err e = {0};
	char *next;

	if (change(r, s, &e) < 0) {
		ctl_done(r, e.code == ENOENT ? CTL_NOT_FOUND : CTL_FAILED,
			 "activatorctl describe NAME shows its revisions and tags", "%s", e.text);
	} else if (bad_tag(s) != NULL) {
		ctl_done(r, CTL_FAILED, NULL,
			 "tag: expected small letters, digits and hyphens, got \"%s\"", bad_tag(s));
	} else {
		next = ctl_knative_command(service, s);
		answer(r, service, next);
		free(next);
	}
	stored_service_free(&s);
}

/* --- the others --- */

/* Knative moves the traffic of the latest revision by itself, over a time of its own. */
static void
put_rollout(struct ctl_request *r, struct strbuf *out, const struct object_name *o)
{
	const char *over = ctl_option(r, "over", 0), *to = ctl_option(r, "to", 0);
	double ns;

	put_update(out, o);
	if (over != NULL && units_parse(KEY_DURATION, over, &ns) == 0)
		strbuf_addf(out, " --annotation-service serving.knative.dev/rollout-duration=%.0fs",
			    ns / (double)CLK_S);
	strbuf_addf(out, " --traffic %s=100", to == NULL ? "@latest" : to);
}

static bool
has_revision(const struct service_conf *service, const char *name)
{
	size_t i;

	for (i = 0; i < service->revisions_n; i++)
		if (strcmp(service->revisions[i].name, name) == 0)
			return true;
	return false;
}

static void
put_service_command(struct ctl_request *r, struct strbuf *out, const struct object_name *o)
{
	const struct ctl_asked *asked = ctl_asked(r);

	if (strcmp(asked->command, "delete") == 0) {
		strbuf_addf(out, "kn -n %s service delete %s", o->ns, o->name);
	} else if (strcmp(asked->command, "deploy") == 0) {
		put_update(out, o);
		strbuf_adds(out, " --image IMAGE");
	} else if (strcmp(asked->command, "rollout") == 0 && text_equal(asked->state, "start")) {
		put_rollout(r, out, o);
	} else {
		strbuf_addf(out, "kn -n %s service describe %s", o->ns, o->name);
	}
}

void
ctl_knative_refuse(struct ctl_request *r, const struct service_conf *service)
{
	const struct ctl_asked *asked = ctl_asked(r);
	const char *part = asked->name == NULL ? NULL : strchr(asked->name, '/');
	const char *to = ctl_option(r, "to", 0);
	struct object_name o = name_of(service);
	struct strbuf next;

	strbuf_init(&next, 0);
	if ((part != NULL && !has_revision(service, part + 1)) ||
	    (to != NULL && !has_revision(service, to))) {
		ctl_done(r, CTL_NOT_FOUND, "activatorctl describe NAME shows its revisions",
			 "the service \"%s\" has no revision \"%s\"", service->name,
			 part != NULL ? part + 1 : to);
	} else {
		if (part != NULL && strcmp(asked->command, "delete") == 0)
			strbuf_addf(&next, "kn -n %s revision delete %s", o.ns, part + 1);
		else if (is_service(&o))
			put_service_command(r, &next, &o);
		else
			put_edit(&next, &o);
		answer(r, service, strbuf_str(&next));
	}
	strbuf_fini(&next);
	object_name_fini(&o);
}
