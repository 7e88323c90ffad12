#include "activator/access/access_conf.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/ref.h"
#include "common/settings.h"

static struct access_format *
own_format(const char *text)
{
	struct access_format *f;
	struct err e;

	f = access_format_new(text == NULL ? access_format_combined : text, &e);
	if (f != NULL)
		return f;
	log_warn(NULL, "access_log_format is not known here: using combined", "err=%s", e.text);
	f = access_format_new(access_format_combined, &e);
	CHECK(f != NULL);
	return f;
}

static void
set_fields(struct access_conf *c)
{
	const struct str_list *names = &c->format->fields;
	size_t i;

	for (i = 0; i < names->n; i++)
		c->fields[i] = strcmp(names->v[i], "referer") == 0	? ACCESS_FIELD_REFERER
			       : strcmp(names->v[i], "user-agent") == 0 ? ACCESS_FIELD_USER_AGENT
									: ACCESS_FIELD_OTHER;
}

struct access_conf *
access_conf_new(const struct limits *l, const char *revision)
{
	struct access_conf *c;

	if (l->access_log == ACCESS_OFF)
		return NULL;
	c = xcalloc(1, sizeof *c);
	ref_init(&c->refs);
	if (l->access_log != ACCESS_JSON) {
		c->format = own_format(l->access_log == ACCESS_COMBINED ? NULL
									: l->access_log_format);
		set_fields(c);
	}
	c->sample = MAX(l->access_log_sample, UINT32_C(1));
	c->has_query = l->access_log_query;
	if (revision != NULL) { /* names consist of characters that stand for themselves */
		c->route_text = xasprintf(",\"service\":\"%.*s\",\"revision\":\"%s\"",
					  (int)strcspn(revision, "/"), revision, revision);
		c->route = (struct access_text){c->route_text, strlen(c->route_text)};
	}
	return c;
}

struct access_conf *
access_conf_ref(struct access_conf *c)
{
	ref_add(&c->refs);
	return c;
}

void
access_conf_unref(struct access_conf **cp)
{
	struct access_conf *c = *cp;

	*cp = NULL;
	if (c == NULL || !ref_drop(&c->refs))
		return;
	access_format_free(&c->format);
	free(c->route_text);
	free(c);
}
