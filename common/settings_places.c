#include "common/settings_places.h"

#include <string.h>

#include "common/strbuf.h"
#include "common/text.h"

static void
add_lower(struct strbuf *key, const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		strbuf_addf(key, "%c", text_lower(*text));
}

/* Host, path and header as they are looked up: hosts and names in lower case, a path
 * without the slash at its end. */
char *
settings_place_key(const struct service_conf *svc, const char *host, const char *path)
{
	struct strbuf key;
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	strbuf_init(&key, 0);
	add_lower(&key, host);
	strbuf_addf(&key, " %.*s ", (int)n, path);
	add_lower(&key, svc->match_header);
	strbuf_addf(&key, "=%s", svc->match_value == NULL ? "" : svc->match_value);
	return strbuf_take(&key);
}

char *
settings_workload_key(const struct launch *l)
{
	if (l->deployment != NULL)
		return xasprintf("apps/v1/Deployment/%s", l->deployment);
	return text_copy(l->workload);
}
