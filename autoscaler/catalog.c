#include "autoscaler/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/strbuf.h"

/* --- the set --- */

static void
add(struct catalog *c, struct hmap *names, const struct service_conf *service)
{
	if (hmap_find(names, service->name) != NULL) {
		log_warn(NULL, "service of that name is there already, ignored", "service=%s",
			 service->name);
		return;
	}
	hmap_put(names, service->name, c);
	c->services[c->n++] = service;
}

void
catalog_init(struct catalog *c, const struct service_conf *file, size_t file_n,
	     const struct service_conf *found, size_t found_n)
{
	struct hmap names;
	size_t i;

	*c = (struct catalog){.services = xcalloc(file_n + found_n + 1, sizeof *c->services)};
	hmap_init(&names);
	for (i = 0; i < file_n; i++)
		add(c, &names, &file[i]);
	for (i = 0; i < found_n; i++)
		add(c, &names, &found[i]);
	hmap_fini(&names);
}

void
catalog_fini(struct catalog *c)
{
	free(c->services);
	*c = (struct catalog){.n = 0};
}

struct reconcile_item *
catalog_items(const struct catalog *c, struct driver *platform, struct driver *addresses, size_t *n)
{
	struct reconcile_item *items;
	size_t i, k, total = 0;

	for (i = 0; i < c->n; i++)
		total += c->services[i]->revisions_n;
	items = xcalloc(total + 1, sizeof *items);
	*n = 0;
	for (i = 0; i < c->n; i++) {
		for (k = 0; k < c->services[i]->revisions_n; k++) {
			const struct revision_conf *conf = &c->services[i]->revisions[k];
			bool is_external = conf->launch.addresses.n > 0;

			items[(*n)++] = (struct reconcile_item){.conf = conf,
								.driver = is_external ? addresses
										      : platform,
								.is_external = is_external};
		}
	}
	return items;
}

/* --- descriptions --- */

static char *
full_name(const struct service_conf *s, const char *short_name)
{
	size_t i;

	for (i = 0; i < s->revisions_n; i++)
		if (strcmp(s->revisions[i].name, short_name) == 0)
			return s->revisions[i].full_name;
	CHECK(!"traffic names a revision that there is");
	return NULL;
}

static struct msg_traffic *
describe_traffic(const struct service_conf *s)
{
	struct msg_traffic *v = xcalloc(s->traffic_n + 1, sizeof *v);
	size_t i;

	for (i = 0; i < s->traffic_n; i++)
		v[i] = (struct msg_traffic){.revision = full_name(s, s->traffic[i].revision),
					    .percent = s->traffic[i].percent,
					    .tag = s->traffic[i].tag};
	return v;
}

static struct msg_revision *
describe_revisions(const struct service_conf *s, const struct reconcile *r)
{
	struct msg_revision *v = xcalloc(s->revisions_n + 1, sizeof *v);
	size_t i;

	for (i = 0; i < s->revisions_n; i++) {
		struct revision *rev = reconcile_find(r, s->revisions[i].full_name);

		CHECK(rev != NULL);
		v[i].limits = s->revisions[i].limits; /* borrowed: never limits_fini()ed */
		revision_state(rev, &v[i].instances, clk_now());
	}
	return v;
}

static void
describe(const struct service_conf *s, const struct reconcile *r, struct strbuf *line)
{
	struct msg_traffic *traffic = describe_traffic(s);
	struct msg_revision *revisions = describe_revisions(s, r);
	struct msg m = {.type = MSG_SERVICE,
			.u.service = {.name = s->name,
				      .hosts = s->hosts,
				      .paths = s->paths,
				      .match_header = s->match_header,
				      .match_value = s->match_value,
				      .sticky = s->sticky,
				      .waiting_page = s->waiting_page,
				      .rules = s->rules,
				      .rules_n = s->rules_n,
				      .traffic = traffic,
				      .traffic_n = s->traffic_n,
				      .revisions = revisions,
				      .revisions_n = s->revisions_n}};
	size_t i;

	msg_encode(&m, line);
	for (i = 0; i < s->revisions_n; i++)
		revision_state_fini(&revisions[i].instances);
	free(revisions);
	free(traffic);
}

void
catalog_describe(const struct catalog *c, const struct reconcile *r, int64_t generation,
		 void (*line)(const char *text, size_t n, void *arg), void *arg)
{
	struct msg begin = {.type = MSG_BEGIN, .u.begin = {.generation = generation}};
	struct msg end = {.type = MSG_END,
			  .u.end = {.generation = generation, .services = (uint32_t)c->n}};
	struct strbuf text;
	size_t i;

	strbuf_init(&text, 0);
	msg_encode(&begin, &text);
	line(text.data, text.len, arg);
	for (i = 0; i < c->n; i++) {
		strbuf_clear(&text);
		describe(c->services[i], r, &text);
		line(text.data, text.len, arg);
	}
	strbuf_clear(&text);
	msg_encode(&end, &text);
	line(text.data, text.len, arg);
	strbuf_fini(&text);
}
