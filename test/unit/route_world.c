#include "test/unit/route_world.h"

#include <stdlib.h>
#include <string.h>

#include "common/hmap.h"

static struct hmap revisions;

static struct revision *
find_revision(void *ctx, const char *name)
{
	struct revision *rev = hmap_find(&revisions, name);

	(void)ctx;
	if (strncmp(name, "gone/", strlen("gone/")) == 0)
		return NULL;
	if (rev == NULL) {
		rev = revision_new(name, 1, NULL, NULL, NULL);
		hmap_put(&revisions, name, rev);
	}
	return revision_ref(rev);
}

static char *
page_of(void *ctx, const struct msg_service *s)
{
	(void)ctx;
	return xstrdup(s->waiting_page);
}

const struct route_source source = {.find = find_revision, .page = page_of};

int
begin_revisions(void **state)
{
	(void)state;
	hmap_init(&revisions);
	return 0;
}

int
end_revisions(void **state)
{
	size_t at = 0;
	void *rev;

	(void)state;
	while (hmap_next(&revisions, &at, NULL, &rev))
		revision_unref((struct revision **)&rev);
	hmap_fini(&revisions);
	return 0;
}

struct msg_service
service(char *name, struct str_list hosts, struct str_list paths)
{
	struct msg_service s = {.name = name, .hosts = hosts, .paths = paths};

	s.revisions = xcalloc(1, sizeof *s.revisions);
	s.revisions_n = 1;
	s.revisions[0].instances.revision = xasprintf("%s/v1", name);
	limits_default(&s.revisions[0].limits);
	s.traffic = xcalloc(1, sizeof *s.traffic);
	s.traffic_n = 1;
	s.traffic[0] = (struct msg_traffic){.revision = s.revisions[0].instances.revision,
					    .percent = 100};
	return s;
}

void
service_free(struct msg_service *s)
{
	size_t i;

	for (i = 0; i < s->revisions_n; i++) {
		limits_fini(&s->revisions[i].limits);
		free(s->revisions[i].instances.revision);
	}
	free(s->revisions);
	free(s->traffic);
}

struct msg_service
split_service(char *name, struct str_list hosts, const struct msg_traffic *traffic, size_t n)
{
	struct msg_service s = {.name = name, .hosts = hosts};
	size_t i;

	s.revisions = xcalloc(n, sizeof *s.revisions);
	s.traffic = xcalloc(n, sizeof *s.traffic);
	s.revisions_n = s.traffic_n = n;
	for (i = 0; i < n; i++) {
		limits_default(&s.revisions[i].limits);
		s.revisions[i].instances.revision = xasprintf("%s/v%zu", name, i + 1);
		s.traffic[i] = traffic[i];
		s.traffic[i].revision = s.revisions[i].instances.revision;
	}
	return s;
}

static const char *
field(void *ctx, const char *name, uint32_t *at, size_t *n)
{
	const struct fields *f = ctx;

	while (*at < FIELDS && f->name[*at] != NULL) {
		uint32_t i = (*at)++;

		if (strcmp(f->name[i], name) == 0) {
			*n = strlen(f->value[i]);
			return f->value[i];
		}
	}
	return NULL;
}

bool is_local;

struct route_match
ask_with(const struct routes *r, const char *host, const char *path, const char *method,
	 struct fields *fields, const char *client, uint64_t random)
{
	struct route_match m;
	struct addr a;
	struct route_query q = {.is_local = is_local,
				.host = host,
				.host_n = strlen(host),
				.path = path,
				.path_n = strlen(path),
				.method = method,
				.method_n = strlen(method),
				.field = field,
				.ctx = fields,
				.client = &a,
				.random = random};

	assert_int_equal(addr_set(&a, client, 1234, NULL), 0);
	routes_find(r, &q, &m);
	return m;
}

const char *
revision_of(const struct route_match *m)
{
	return m->service == NULL ? "none" : m->revision->rev->name;
}
