#include "activator/worker_conf.h"

#include <stdlib.h>

#include "common/ref.h"

struct worker_conf *
worker_conf_new(struct settings **settings)
{
	struct worker_conf *c = xcalloc(1, sizeof *c);
	const struct str_list *networks = &(*settings)->activator.trusted_proxies;

	ref_init(&c->refs);
	c->settings = *settings;
	*settings = NULL;
	c->trusted = xcalloc(MAX(networks->n, (size_t)1), sizeof *c->trusted);
	for (; c->trusted_n < networks->n; c->trusted_n++) {
		const char *text = networks->v[c->trusted_n];

		CHECK(addr_net_parse(&c->trusted[c->trusted_n], text, NULL) == 0); /* was checked */
	}
	c->access = access_conf_new(&c->settings->activator.limits, NULL);
	return c;
}

struct worker_conf *
worker_conf_ref(struct worker_conf *c)
{
	ref_add(&c->refs);
	return c;
}

void
worker_conf_unref(struct worker_conf **cp)
{
	struct worker_conf *c = *cp;

	*cp = NULL;
	if (c == NULL || !ref_drop(&c->refs))
		return;
	access_conf_unref(&c->access);
	settings_free(&c->settings);
	free(c->trusted);
	free(c);
}
