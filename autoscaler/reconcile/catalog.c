#include "autoscaler/reconcile/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/reconcile/announce.h"
#include "common/clk.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/strbuf.h"

/* --- the set --- */

static void
add(struct catalog *c, struct hmap *names, const struct service_conf *service)
{
	if (hmap_find(names, service->name) != NULL) {
		log_warn(NULL, "two services have the same name, the second is ignored",
			 "service=%s", service->name);
		return;
	}
	hmap_put(names, service->name, c);
	c->services[c->n++] = service;
}

void
catalog_init(struct catalog *c, const struct service_conf *file, size_t file_n,
	     struct service_conf *const *stored, size_t stored_n, const struct service_conf *found,
	     size_t found_n)
{
	struct hmap names;
	size_t i;

	*c = (struct catalog){
		.services = xcalloc(file_n + stored_n + found_n + 1, sizeof *c->services)};
	hmap_init(&names);
	for (i = 0; i < file_n; i++)
		add(c, &names, &file[i]);
	for (i = 0; i < stored_n; i++)
		add(c, &names, stored[i]);
	for (i = 0; i < found_n; i++)
		add(c, &names, &found[i]);
	hmap_fini(&names);
}

void
catalog_fini(struct catalog *c)
{
	free(c->services);
	free(c->leaving);
	*c = (struct catalog){.n = 0};
}

/* --- revisions that are leaving --- */

static const struct service_conf *
find_service(const struct catalog *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (strcmp(c->services[i]->name, name) == 0)
			return c->services[i];
	return NULL;
}

static bool
has_revision(const struct service_conf *s, const char *full_name)
{
	size_t i;

	for (i = 0; s != NULL && i < s->revisions_n; i++)
		if (strcmp(s->revisions[i].full_name, full_name) == 0)
			return true;
	return false;
}

static bool
is_leaving(const struct catalog *c, const char *full_name)
{
	size_t i;

	for (i = 0; i < c->leaving_n; i++)
		if (strcmp(c->leaving[i].revision->full_name, full_name) == 0)
			return true;
	return false;
}

static bool
has_instances(const struct reconcile *r, const char *full_name)
{
	const struct scaled_revision *rev = reconcile_find(r, full_name);

	return rev != NULL && !rev->is_external && (rev->instances.n > 0 || rev->scale_sent > 0);
}

void
catalog_keep_leaving(struct catalog *c, const struct service_conf *old, size_t n,
		     const struct reconcile *r)
{
	size_t i, k;

	for (i = 0; i < n; i++) {
		const struct service_conf *now = find_service(c, old[i].name);

		for (k = 0; k < old[i].revisions_n; k++) {
			const struct revision_conf *rev = &old[i].revisions[k];

			if (has_revision(now, rev->full_name) || is_leaving(c, rev->full_name) ||
			    (r != NULL && (!has_instances(r, rev->full_name) ||
					   reconcile_leaving_is_late(r, rev->full_name))))
				continue;
			c->leaving = xrealloc(c->leaving, (c->leaving_n + 1) * sizeof *c->leaving);
			c->leaving[c->leaving_n++] = (struct catalog_leaving){.service = &old[i],
									      .revision = rev};
		}
	}
}

/* --- items --- */

struct reconcile_item *
catalog_items(const struct catalog *c, struct driver *platform, struct driver *addresses, size_t *n)
{
	struct reconcile_item *items;
	size_t i, k, total = 0;

	for (i = 0; i < c->n; i++)
		total += c->services[i]->revisions_n;
	items = xcalloc(total + c->leaving_n + 1, sizeof *items);
	*n = 0;
	for (i = 0; i < c->n; i++) {
		for (k = 0; k < c->services[i]->revisions_n; k++) {
			const struct revision_conf *conf = &c->services[i]->revisions[k];
			bool is_external = conf->launch.addresses.n > 0;

			items[(*n)++] = (struct reconcile_item){.conf = conf,
								.driver = is_external ? addresses
										      : platform,
								.owner = c->services[i]->owner,
								.is_external = is_external};
		}
	}
	for (i = 0; i < c->leaving_n; i++)
		items[(*n)++] = (struct reconcile_item){.conf = c->leaving[i].revision,
							.driver = platform,
							.owner = c->leaving[i].service->owner,
							.is_leaving = true};
	return items;
}

/* --- descriptions --- */

/* The full name of the revision that gets the traffic; NULL: it is not there, as its service was
 * refused, or is going. */
static char *
revision_of(const struct catalog *c, const struct service_conf *s, const struct traffic_conf *t)
{
	const struct service_conf *in = t->service == NULL ? s : find_service(c, t->service);
	size_t i;

	for (i = 0; in != NULL && i < in->revisions_n; i++)
		if (strcmp(in->revisions[i].name, t->revision) == 0)
			return in->revisions[i].full_name;
	return NULL;
}

static struct msg_traffic *
describe_traffic(const struct catalog *c, const struct service_conf *s, size_t *n)
{
	struct msg_traffic *v = xcalloc(s->traffic_n + 1, sizeof *v);
	size_t i;

	*n = 0;
	for (i = 0; i < s->traffic_n; i++) {
		const struct traffic_conf *t = &s->traffic[i];
		char *revision = revision_of(c, s, t);

		if (revision != NULL)
			v[(*n)++] = (struct msg_traffic){.revision = revision,
							 .percent = t->percent,
							 .weight = t->weight,
							 .tag = t->tag,
							 .hosts = t->hosts,
							 .local_hosts = t->local_hosts};
	}
	return v;
}

/* Say "not known" in place of the instances: activators keep those that they have. */
static void
leave_out_instances(struct msg_instances *m)
{
	free(m->v);
	m->v = NULL;
	m->n = 0;
	m->is_known = false;
}

static void
describe_revision(struct msg_revision *to, const struct revision_conf *conf,
		  const struct reconcile *r)
{
	struct scaled_revision *rev = reconcile_find(r, conf->full_name);

	CHECK(rev != NULL);
	to->limits = conf->limits; /* borrowed: never limits_fini()ed */
	announce_fill(rev, &to->instances, clk_now());
	if (reconcile_is_shared(r, conf->full_name))
		leave_out_instances(&to->instances);
}

/* The revisions of the service, and those of it that are leaving. */
static struct msg_revision *
describe_revisions(const struct catalog *c, const struct service_conf *s, const struct reconcile *r,
		   size_t *n)
{
	struct msg_revision *v = xcalloc(s->revisions_n + c->leaving_n + 1, sizeof *v);
	size_t i;

	*n = 0;
	for (i = 0; i < s->revisions_n; i++)
		describe_revision(&v[(*n)++], &s->revisions[i], r);
	for (i = 0; i < c->leaving_n; i++)
		if (strcmp(c->leaving[i].service->name, s->name) == 0)
			describe_revision(&v[(*n)++], c->leaving[i].revision, r);
	return v;
}

static void
describe(const struct catalog *c, const struct service_conf *s, const struct reconcile *r,
	 bool is_brief, struct strbuf *line)
{
	static const struct str_list none;
	bool is_local = s->visibility == VISIBILITY_LOCAL;
	size_t i, n, traffic_n;
	struct msg_traffic *traffic = describe_traffic(c, s, &traffic_n);
	struct msg_revision *revisions = describe_revisions(c, s, r, &n);
	struct msg m = {.type = MSG_SERVICE,
			.u.service = {.name = s->name,
				      .hosts = is_local ? none : s->hosts,
				      .local_hosts = is_local ? s->hosts : s->local_hosts,
				      .paths = s->paths,
				      .match_header = s->match_header,
				      .match_value = s->match_value,
				      .sticky = s->sticky,
				      .waiting_page = s->waiting_page,
				      .redirect_https = s->redirect_https,
				      .knative_tag_header = s->knative_tag_header,
				      .is_brief = is_brief,
				      .rules = s->rules,
				      .rules_n = s->rules_n,
				      .traffic = traffic,
				      .traffic_n = traffic_n,
				      .revisions = revisions,
				      .revisions_n = n}};

	msg_encode(&m, line);
	if (line->len >= MSG_LINE_MAX) { /* the activator would cut the link */
		log_error(NULL, "too many instances for one message, they are left out",
			  "service=%s bytes=%zu", s->name, line->len);
		for (i = 0; i < n; i++)
			leave_out_instances(&revisions[i].instances);
		strbuf_clear(line);
		msg_encode(&m, line);
	}
	for (i = 0; i < n; i++)
		announce_fini(&revisions[i].instances);
	free(revisions);
	free(traffic);
}

/* Is entry i of `leaving` the first of a service that is not in the catalog any more?  Such a
 * service is described without hosts and traffic. */
static bool
is_first_of_gone(const struct catalog *c, size_t i)
{
	const char *name = c->leaving[i].service->name;
	size_t k;

	for (k = 0; k < i; k++)
		if (strcmp(c->leaving[k].service->name, name) == 0)
			return false;
	return find_service(c, name) == NULL;
}

static uint32_t
describe_all(const struct catalog *c, const struct reconcile *r, bool is_brief,
	     void (*line)(const char *text, size_t n, void *arg), void *arg)
{
	struct strbuf text;
	uint32_t described = 0;
	size_t i;

	strbuf_init(&text, 0);
	for (i = 0; i < c->n + c->leaving_n; i++) {
		struct service_conf gone = {.name = NULL};
		const struct service_conf *s = i < c->n ? c->services[i] : &gone;

		if (i >= c->n && !is_first_of_gone(c, i - c->n))
			continue;
		if (i >= c->n)
			gone.name = c->leaving[i - c->n].service->name;
		strbuf_clear(&text);
		describe(c, s, r, is_brief, &text);
		line(text.data, text.len, arg);
		described++;
	}
	strbuf_fini(&text);
	return described;
}

static void
describe_bound(const struct msg *m, void (*line)(const char *text, size_t n, void *arg), void *arg)
{
	struct strbuf text;

	strbuf_init(&text, 0);
	msg_encode(m, &text);
	line(text.data, text.len, arg);
	strbuf_fini(&text);
}

void
catalog_describe(const struct catalog *c, const struct reconcile *r, int64_t generation,
		 bool is_brief, void (*line)(const char *text, size_t n, void *arg), void *arg)
{
	struct msg begin = {.type = MSG_BEGIN, .u.begin = {.generation = generation}};
	struct msg end = {.type = MSG_END, .u.end = {.generation = generation}};

	describe_bound(&begin, line, arg);
	end.u.end.services = describe_all(c, r, is_brief, line, arg);
	describe_bound(&end, line, arg);
}
