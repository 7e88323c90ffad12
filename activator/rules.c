#include "activator/rules.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "activator/route_query.h"
#include "common/path.h"
#include "common/text.h"

struct rule {
	struct rule_conf conf;
	struct addr_net *clients;
	size_t clients_n;
	char *field;  /* conf.header in lower case, or NULL */
	char **paths; /* conf.paths in normal form */
};

struct rules {
	bool has_paths; /* one of them looks at the path */
	size_t n;
	struct rule v[];
};

static void
parse_clients(struct rule *r)
{
	size_t i;

	r->clients = xcalloc(r->conf.clients.n + 1, sizeof *r->clients);
	for (i = 0; i < r->conf.clients.n; i++)
		if (addr_net_parse(&r->clients[r->clients_n], r->conf.clients.v[i], NULL) == 0)
			r->clients_n++;
}

static void
rule_init(struct rule *r, const struct rule_conf *from)
{
	size_t i;

	rule_conf_copy(&r->conf, from);
	if (from->header != NULL)
		r->field = text_lower_copy(from->header, strlen(from->header));
	r->paths = xcalloc(r->conf.paths.n, sizeof *r->paths);
	for (i = 0; i < r->conf.paths.n; i++)
		r->paths[i] = path_prefix(r->conf.paths.v[i]);
	parse_clients(r);
}

static void
rule_fini(struct rule *r)
{
	size_t i;

	for (i = 0; i < r->conf.paths.n; i++)
		free(r->paths[i]);
	free(r->paths);
	free(r->field);
	free(r->clients);
	rule_conf_fini(&r->conf);
}

struct rules *
rules_new(const struct rule_conf *from, size_t n)
{
	struct rules *rules = xcalloc(1, sizeof *rules + n * sizeof rules->v[0]);

	for (rules->n = 0; rules->n < n; rules->n++) {
		rule_init(&rules->v[rules->n], &from[rules->n]);
		rules->has_paths |= from[rules->n].paths.n > 0;
	}
	return rules;
}

void
rules_free(struct rules **rp)
{
	struct rules *rules = *rp;
	size_t i;

	*rp = NULL;
	if (rules == NULL)
		return;
	for (i = 0; i < rules->n; i++)
		rule_fini(&rules->v[i]);
	free(rules);
}

bool
rules_is_below(const char *path, size_t path_n, const char *prefix, size_t prefix_n)
{
	if (path_n < prefix_n || memcmp(path, prefix, prefix_n) != 0)
		return false;
	return path_n == prefix_n || path[prefix_n] == '/';
}

static bool
has_method(const struct rule *r, const struct route_query *q)
{
	size_t i;

	for (i = 0; i < r->conf.methods.n; i++)
		if (text_is(q->method, q->method_n, r->conf.methods.v[i]))
			return true;
	return r->conf.methods.n == 0;
}

static bool
has_path(const struct rule *r, const struct route_query *q)
{
	size_t i;

	for (i = 0; i < r->conf.paths.n; i++)
		if (rules_is_below(q->path, q->path_n, r->paths[i], strlen(r->paths[i])))
			return true;
	return r->conf.paths.n == 0;
}

/* Letters match in either case.  The first letter alone rules out nearly every place. */
static bool
contains(const char *value, size_t n, const char *part)
{
	size_t part_n = strlen(part), i;
	char first = text_lower(part[0]);

	for (i = 0; i + part_n <= n; i++)
		if (part_n == 0 ||
		    (text_lower(value[i]) == first && strncasecmp(value + i, part, part_n) == 0))
			return true;
	return false;
}

/* Several fields of one name are one list (RFC 9110 5.3): one of them is enough. */
static bool
has_field(const struct rule *r, const struct route_query *q)
{
	const char *value;
	uint32_t at = 0;
	size_t n = 0;

	if (r->field == NULL)
		return true;
	while ((value = q->field(q->ctx, r->field, &at, &n)) != NULL)
		if (r->conf.contains == NULL || contains(value, n, r->conf.contains))
			return true;
	return false;
}

static bool
has_client(const struct rule *r, const struct route_query *q)
{
	size_t i;

	for (i = 0; i < r->clients_n; i++)
		if (addr_net_contains(&r->clients[i], q->client))
			return true;
	return r->conf.clients.n == 0;
}

bool
rules_have_paths(const struct rules *rules)
{
	return rules->has_paths;
}

const struct rule_conf *
rules_find(const struct rules *rules, const struct route_query *q)
{
	size_t i;

	for (i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->v[i];

		if (has_method(r, q) && has_path(r, q) && has_client(r, q) && has_field(r, q))
			return &r->conf;
	}
	return NULL;
}
