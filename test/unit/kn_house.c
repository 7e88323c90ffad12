#include "test/unit/kn_house.h"

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_configuration.h"
#include "autoscaler/knative/kn_domain_mapping.h"
#include "autoscaler/knative/kn_json.h"
#include "autoscaler/knative/kn_revision.h"
#include "autoscaler/knative/kn_route.h"
#include "autoscaler/knative/kn_service.h"
#include "common/settings_claims.h"
#include "common/strbuf.h"

/* --- claims --- */

struct claiming {
	struct house *h;
	const char *owner;
	char *why;
};

static bool
look(const char *claim, void *arg)
{
	struct claiming *c = arg;
	const char *owner = hmap_find(&c->h->claimed, claim);
	size_t n = c->h->taken == NULL ? 0 : strlen(c->h->taken);

	if (owner == NULL && n > 0 && strncmp(claim, c->h->taken, n) == 0)
		owner = "service \"file\" of the conf file";
	if (owner == NULL)
		return false;
	c->why = xasprintf("%.*s is taken by %s", (int)strcspn(claim, " "), claim, owner);
	return true;
}

static bool
claim(const char *text, void *arg)
{
	struct claiming *c = arg;

	free(hmap_put(&c->h->claimed, text, xstrdup(c->owner)));
	return false;
}

static char *
take(const struct kn_claims *claims, const struct service_conf *s, const char *owner)
{
	struct claiming c = {.h = claims->arg, .owner = owner};

	if (!settings_each_claim(s, look, &c))
		(void)settings_each_claim(s, claim, &c);
	return c.why;
}

static void
forget_claims(struct house *h)
{
	size_t at = 0;
	void *owner;

	while (hmap_next(&h->claimed, &at, NULL, &owner))
		free(owner);
	hmap_fini(&h->claimed);
	hmap_init(&h->claimed);
}

/* --- the house --- */

static bool
is_routed(const struct kn_facts *f, const char *ns, const char *route)
{
	struct house *h = f->arg;

	return kn_output_is_routed(h->output, &h->in, ns, route, h->routed);
}

static bool
is_confirmed(const struct kn_facts *f)
{
	const struct house *h = f->arg;

	return h->routed > 0;
}

static enum rollout_verdict
verdict(const struct kn_facts *f, const struct rollout_question *q, char **why)
{
	struct house *h = f->arg;
	bool is_failing = h->failing != NULL && strcmp(h->failing, q->revision) == 0;
	enum rollout_verdict v = is_failing ? ROLLOUT_MUST_END : h->verdict;

	free(h->asked);
	h->asked = xasprintf("%s of %s beside %s", q->abort_if, q->revision, q->others[0]);
	if (v == ROLLOUT_MUST_END)
		*why = xstrdup("it fails");
	return v;
}

static const char *
refusal(const struct kn_facts *f, enum kn_kind kind, const char *ns, const char *name)
{
	const struct house *h = f->arg;

	return kn_output_refusal(h->output, kind, ns, name);
}

static bool (*facts_of_world)(const struct kn_facts *, const char *, const char *,
			      struct kn_revision_facts *);

static bool
revision(const struct kn_facts *f, const char *ns, const char *name, struct kn_revision_facts *out)
{
	struct house *h = f->arg;
	struct kn_facts facts = h->w.facts;

	facts.arg = &h->w;
	return facts_of_world(&facts, ns, name, out);
}

void
house_open(struct house *h)
{
	*h = (struct house){.serial = 0};
	kn_world_open(&h->w);
	h->w.handlers.v[KN_SERVICE] = kn_service_reconcile;
	h->w.handlers.v[KN_CONFIGURATION] = kn_configuration_reconcile;
	h->w.handlers.v[KN_REVISION] = kn_revision_reconcile;
	h->w.handlers.v[KN_ROUTE] = kn_route_reconcile;
	h->w.handlers.v[KN_DOMAIN_MAPPING] = kn_domain_mapping_reconcile;
	facts_of_world = h->w.facts.revision;
	h->w.facts = (struct kn_facts){revision, is_routed, is_confirmed, verdict, refusal, h};
	h->output = kn_output_new();
	h->in = (struct kn_output_input){h->w.cache, h->w.config, h->w.settings};
	hmap_init(&h->claimed);
}

void
house_close(struct house *h)
{
	free(h->asked);
	kn_output_free(&h->output);
	forget_claims(h);
	hmap_fini(&h->claimed);
	kn_world_close(&h->w);
}

/* What the driver does when objects have changed. */
bool
house_describe(struct house *h)
{
	const struct kn_claims claims = {take, h};
	const char *ns, *name;
	enum kn_kind kind;

	if (kn_output_is_current(h->output, &h->in))
		return false;
	forget_claims(h);
	h->services = kn_output_services(h->output, &h->in, &claims, ++h->serial, &h->n);
	while (kn_output_next_refusal(h->output, &kind, &ns, &name))
		;
	assert_true(kn_output_is_current(h->output, &h->in));
	return true;
}

/* Run until nothing changes, with activators that use each description at once. */
void
house_run(struct house *h)
{
	unsigned rounds = 0;

	do {
		kn_world_run(&h->w);
		h->routed = h->serial;
		assert_in_range(rounds++, 0, 30);
	} while (house_describe(h) || h->routed != h->serial);
	kn_world_run(&h->w);
}

void
house_wait(struct house *h, int64_t seconds)
{
	h->w.wall_s += seconds;
	h->w.now_ns += seconds * 1000000000;
	house_run(h);
}

/* --- what tests look at --- */

static void
add_list(struct strbuf *out, const char *title, const struct str_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		strbuf_addf(out, "%s%s", i == 0 ? title : ",", l->v[i]);
}

/* "hosts=… local=… | REVISION PERCENT TAG hosts=… | …" and its revisions; for free(). */
char *
house_service(const struct house *h, const char *name)
{
	struct strbuf out;
	size_t i, k;

	strbuf_init(&out, 0);
	for (i = 0; i < h->n; i++) {
		const struct service_conf *s = &h->services[i];

		if (strcmp(s->name, name) != 0)
			continue;
		add_list(&out, "hosts=", &s->hosts);
		add_list(&out, " local=", &s->local_hosts);
		for (k = 0; k < s->traffic_n; k++) {
			const struct traffic_conf *t = &s->traffic[k];

			strbuf_addf(&out, " | %s%s%s %u", t->service == NULL ? "" : t->service,
				    t->service == NULL ? "" : "/", t->revision, t->percent);
			if (t->tag != NULL)
				strbuf_addf(&out, " %s", t->tag);
			add_list(&out, " hosts=", &t->hosts);
			add_list(&out, " local=", &t->local_hosts);
		}
		strbuf_adds(&out, " :");
		for (k = 0; k < s->revisions_n; k++)
			strbuf_addf(&out, " %s", s->revisions[k].name);
	}
	return strbuf_take(&out);
}

const struct revision_conf *
house_revision(const struct house *h, const char *full_name)
{
	size_t i, k;

	for (i = 0; i < h->n; i++)
		for (k = 0; k < h->services[i].revisions_n; k++)
			if (strcmp(h->services[i].revisions[k].full_name, full_name) == 0)
				return &h->services[i].revisions[k];
	fail_msg("no revision %s", full_name);
	return NULL;
}

/* The domain of all Routes. */
void
house_use_domain(struct house *h, const char *text)
{
	json_t *data = json_loads(text, 0, NULL);

	assert_non_null(data);
	assert_true(kn_config_apply(h->w.config, "config-domain", data));
	json_decref(data);
}

void
house_use_network(struct house *h, const char *text)
{
	json_t *data = json_loads(text, 0, NULL);

	assert_non_null(data);
	assert_true(kn_config_apply(h->w.config, "config-network", data));
	json_decref(data);
}

/* metadata: members beside the name, each with a comma before it. */
void
house_apply(struct house *h, const char *image, const char *metadata, const char *traffic)
{
	char *text = xasprintf(
		"{\"metadata\":{\"name\":\"hello\"%s},\"spec\":{\"template\":{\"spec\":{"
		"\"containers\":[{\"image\":\"%s\"}]}},\"traffic\":%s}}",
		metadata, image, traffic);

	kn_world_apply(&h->w, KN_SERVICE, text);
	free(text);
}

const char *
house_route(const struct house *h, const char *a, const char *b)
{
	return kn_json_text(kn_world_get(&h->w, KN_ROUTE, "hello"), "status", a, b, NULL);
}
