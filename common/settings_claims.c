#include "common/settings_claims.h"

#include <stdlib.h>
#include <string.h>

#include "common/path.h"
#include "common/strbuf.h"
#include "common/text.h"

static void
add_lower(struct strbuf *key, const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		strbuf_addf(key, "%c", text_lower(*text));
}

/* Requests are matched by hosts and field names in any case, and by the normal form of paths: a
 * claim has these in one form. */
char *
settings_claim_path(const struct service_conf *svc, const char *host, const char *path)
{
	struct strbuf key;
	char *prefix = path_prefix(path);

	strbuf_init(&key, 0);
	add_lower(&key, host);
	strbuf_addf(&key, " %s/ ", prefix);
	free(prefix);
	add_lower(&key, svc->match_header);
	strbuf_addf(&key, "=%s", svc->match_value == NULL ? "" : svc->match_value);
	return strbuf_take(&key);
}

char *
settings_claim_workload(const struct launch *l)
{
	if (l->deployment != NULL)
		return xasprintf("apps/v1/Deployment/%s", l->deployment);
	return text_copy(l->workload);
}

const char *
settings_host_at(const struct service_conf *s, size_t i)
{
	return i < s->hosts.n ? s->hosts.v[i] : s->local_hosts.v[i - s->hosts.n];
}

const struct str_list *
settings_hosts_shown(const struct service_conf *s)
{
	return s->hosts.n > 0 ? &s->hosts : &s->local_hosts;
}

bool
settings_each_claim(const struct service_conf *s, bool (*fn)(const char *claim, void *arg),
		    void *arg)
{
	static char all[] = "/", *root[] = {all};
	char *const *paths = s->paths.n > 0 ? s->paths.v : root;
	size_t paths_n = MAX(s->paths.n, (size_t)1), i, k;
	bool is_over = false;

	for (i = 0; i < s->hosts.n + s->local_hosts.n && !is_over; i++)
		for (k = 0; k < paths_n && !is_over; k++) {
			char *claim = settings_claim_path(s, settings_host_at(s, i), paths[k]);

			is_over = fn(claim, arg);
			free(claim);
		}
	return is_over;
}
