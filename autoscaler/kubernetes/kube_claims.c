#include "autoscaler/kubernetes/kube_claims.h"

#include <stdlib.h>
#include <string.h>

#include "common/settings_claims.h"
#include "common/strbuf.h"

/* Called for each claim of a service until it returns false.  key is what is compared, text what
 * messages say. */
typedef bool claim_fn(void *arg, const char *key, const char *text);

static bool
call(claim_fn *fn, void *arg, const char *kind, char *value, const char *text)
{
	char *key = xasprintf("%s %s", kind, value);
	bool go_on = fn(arg, key, text == NULL ? value : text);

	free(key);
	free(value);
	return go_on;
}

static bool
each_path(const struct service_conf *svc, claim_fn *fn, void *arg)
{
	size_t i, paths = MAX(svc->paths.n, (size_t)1);
	bool go_on = true;

	for (i = 0; i < (svc->hosts.n + svc->local_hosts.n) * paths && go_on; i++) {
		const char *host = settings_host_at(svc, i / paths);
		const char *path = svc->paths.n == 0 ? "/" : svc->paths.v[i % paths];
		char *text = xasprintf("%s%s", host, strcmp(path, "/") == 0 ? "" : path);

		go_on = call(fn, arg, "path", settings_claim_path(svc, host, path), text);
		free(text);
	}
	return go_on;
}

static bool
each_workload(const struct service_conf *svc, claim_fn *fn, void *arg)
{
	size_t i;

	for (i = 0; i < svc->revisions_n; i++) {
		char *key = settings_claim_workload(&svc->revisions[i].launch);

		if (key != NULL && !call(fn, arg, "workload", key, NULL))
			return false;
	}
	return true;
}

static void
each(const struct service_conf *svc, claim_fn *fn, void *arg)
{
	if (call(fn, arg, "name", xstrdup(svc->name), NULL) && each_path(svc, fn, arg))
		(void)each_workload(svc, fn, arg);
}

struct search {
	const struct kube_claims *c;
	struct strbuf *why; /* may be NULL */
	bool is_taken;
};

static bool
look(void *arg, const char *key, const char *text)
{
	struct search *s = arg;
	const char *owner = hmap_find(&s->c->by_key, key);

	if (owner == NULL)
		return true;
	s->is_taken = true;
	if (s->why != NULL)
		strbuf_addf(s->why, "%s is taken by %s", text, owner);
	return false;
}

bool
kube_claims_taken(const struct kube_claims *c, const struct service_conf *svc, struct strbuf *why)
{
	struct search s = {.c = c, .why = why};

	each(svc, look, &s);
	return s.is_taken;
}

struct put {
	struct kube_claims *c;
	char *owner;
};

static bool
claim(void *arg, const char *key, const char *text)
{
	struct put *p = arg;

	(void)text;
	(void)hmap_put(&p->c->by_key, key, p->owner);
	return true;
}

void
kube_claims_put(struct kube_claims *c, const struct service_conf *svc, const char *owner)
{
	struct put put = {.c = c, .owner = xstrdup(owner)};

	c->owners = xrealloc(c->owners, (c->owners_n + 1) * sizeof *c->owners);
	c->owners[c->owners_n++] = put.owner;
	each(svc, claim, &put);
}

void
kube_claims_init(struct kube_claims *c, const struct service_conf *file, size_t n)
{
	size_t i;

	*c = (struct kube_claims){.owners_n = 0};
	hmap_init(&c->by_key);
	for (i = 0; i < n; i++) {
		char *owner = xasprintf("service \"%s\" of the conf file", file[i].name);

		kube_claims_put(c, &file[i], owner);
		free(owner);
	}
}

void
kube_claims_fini(struct kube_claims *c)
{
	size_t i;

	for (i = 0; i < c->owners_n; i++)
		free(c->owners[i]);
	free(c->owners);
	hmap_fini(&c->by_key);
}
