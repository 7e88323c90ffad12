#include "autoscaler/route_audit.h"

#include <stdlib.h>
#include <string.h>

#include "common/hmap.h"
#include "common/settings.h"
#include "common/strbuf.h"
#include "common/text.h"

struct known_route {
	char *service;
	char *traffic; /* "blue 90%, green 10% (next)"; NULL: there is none any more */
	char *where;   /* "hosts a, b; paths /x" */
	bool is_seen;
	struct audit_entry entry; /* under way */
};

struct route_audit {
	struct audit *audit;
	struct hmap routes; /* service → struct known_route */
	bool has_begun;
};

static char *
traffic_text(const struct service_conf *s)
{
	struct strbuf text;
	size_t i;

	strbuf_init(&text, 0);
	for (i = 0; i < s->traffic_n; i++) {
		const struct traffic_conf *t = &s->traffic[i];

		strbuf_addf(&text, "%s%s%s%s %u%%", i > 0 ? ", " : "",
			    t->service == NULL ? "" : t->service, t->service == NULL ? "" : "/",
			    t->revision, t->percent);
		if (t->tag != NULL)
			strbuf_addf(&text, " (%s)", t->tag);
	}
	return strbuf_take(&text);
}

static void
put_list(struct strbuf *out, const char *what, const struct str_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		strbuf_addf(out, "%s%s", i > 0 ? ", " : what, l->v[i]);
}

static char *
where_text(const struct service_conf *s)
{
	struct strbuf text;

	strbuf_init(&text, 0);
	put_list(&text, "hosts ", &s->hosts);
	put_list(&text, text.len > 0 ? "; local hosts " : "local hosts ", &s->local_hosts);
	put_list(&text, "; paths ", &s->paths);
	return strbuf_take(&text);
}

static void
known_free(struct known_route *k)
{
	free(k->service);
	free(k->traffic);
	free(k->where);
	free(k);
}

/* to NULL: the service is gone. */
static void
begin(const struct route_audit *a, struct known_route *k, const struct audit_by *by, char *to,
      char *where)
{
	const struct audit_change change = {
		.subject = {.kind = to == NULL ? AUDIT_DELETE : AUDIT_ROUTE, .service = k->service},
		.by = *by,
		.from = AUDIT_TEXT(k->traffic),
		.to = AUDIT_TEXT(to),
		.what = text_equal(where, k->where) ? NULL : where};

	if (a->has_begun)
		audit_intent(a->audit, &k->entry, &change);
	free(k->traffic);
	free(k->where);
	k->traffic = to;
	k->where = where;
}

static void
look_at(struct route_audit *a, const struct service_conf *s, bool is_foreign)
{
	const struct audit_by by = {.kind = is_foreign ? AUDIT_BY_FOREIGN : AUDIT_BY_FILE,
				    .name = is_foreign ? s->changed_by : NULL};
	struct known_route *k = hmap_find(&a->routes, s->name);
	char *traffic = traffic_text(s), *where = where_text(s);

	if (k == NULL) {
		k = xcalloc(1, sizeof *k);
		k->service = xstrdup(s->name);
		hmap_put(&a->routes, k->service, k);
	}
	k->is_seen = true;
	if (!text_equal(k->traffic, traffic) || !text_equal(k->where, where)) {
		begin(a, k, &by, traffic, where);
		return;
	}
	free(traffic);
	free(where);
}

void
route_audit_begin(struct route_audit *a, const struct service_conf *v, size_t n, bool is_foreign)
{
	const struct audit_by gone = {.kind = is_foreign ? AUDIT_BY_FOREIGN : AUDIT_BY_FILE};
	void *value;
	size_t i, at = 0;

	while (hmap_next(&a->routes, &at, NULL, &value))
		((struct known_route *)value)->is_seen = false;
	for (i = 0; i < n; i++)
		look_at(a, &v[i], is_foreign);
	for (at = 0; hmap_next(&a->routes, &at, NULL, &value);) {
		struct known_route *k = value;

		if (!k->is_seen)
			begin(a, k, &gone, NULL, NULL);
	}
	a->has_begun = true;
}

void
route_audit_end(struct route_audit *a)
{
	size_t at = 0;
	void *value;

	while (hmap_next(&a->routes, &at, NULL, &value)) {
		struct known_route *k = value;

		audit_outcome(a->audit, &k->entry, AUDIT_DONE, NULL, AUDIT_TEXT(k->traffic));
		if (k->traffic != NULL)
			continue;
		hmap_remove(&a->routes, k->service);
		known_free(k);
	}
}

struct route_audit *
route_audit_new(struct audit *audit)
{
	struct route_audit *a = xcalloc(1, sizeof *a);

	a->audit = audit;
	hmap_init(&a->routes);
	return a;
}

void
route_audit_free(struct route_audit **ap)
{
	struct route_audit *a = *ap;
	size_t at = 0;
	void *value;

	*ap = NULL;
	if (a == NULL)
		return;
	while (hmap_next(&a->routes, &at, NULL, &value))
		known_free(value);
	hmap_fini(&a->routes);
	free(a);
}
