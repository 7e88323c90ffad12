#include "common/settings.h"

#include <stdlib.h>
#include <string.h>

#include "common/conf_errors.h"
#include "common/conf_names.h"
#include "common/settings_impl.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

#define COMMENT_COLUMN 60

/* --- the settings in effect --- */

struct dump {
	struct strbuf *out;
	unsigned depth;
	const struct settings_origins *origins; /* NULL: write no comments */
};

static void
indent(const struct dump *d)
{
	strbuf_addf(d->out, "%*s", (int)(4 * d->depth), "");
}

static void
dump_origin(const struct dump *d, const struct key *k, size_t width)
{
	const struct settings_origin *o;

	if (d->origins == NULL)
		return;
	o = settings_origins_find(d->origins, k);
	strbuf_addf(d->out, "%*s # ", width < COMMENT_COLUMN ? (int)(COMMENT_COLUMN - width) : 0,
		    "");
	if (o == NULL)
		strbuf_adds(d->out, "default");
	else
		strbuf_addf(d->out, "line %u, %s", o->line,
			    conf_where(o->where, (char[CONF_WHERE_MAX]){0}));
}

/* A key without a value cannot be written; a comment says that it is not set. */
static void
dump_key(const struct dump *d, const struct key *k, const void *base)
{
	size_t start = d->out->len;
	struct strbuf value;

	strbuf_init(&value, 0);
	indent(d);
	if (value_format(k, base, &value)) {
		strbuf_addf(d->out, "%s = %s", k->name, strbuf_str(&value));
		dump_origin(d, k, d->out->len - start);
	} else {
		strbuf_addf(d->out, "# %s is not set", k->name);
	}
	strbuf_adds(d->out, "\n");
	strbuf_fini(&value);
}

static void
dump_group(const struct dump *d, enum key_group group, const void *base)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if (settings_keys[i].group == group)
			dump_key(d, &settings_keys[i], base);
}

/* The keys of a group that are allowed in where. */
static void
dump_level(const struct dump *d, enum key_group group, const void *base, unsigned where)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if (settings_keys[i].group == group && (settings_keys[i].where & where) != 0)
			dump_key(d, &settings_keys[i], base);
}

static void
dump_open(struct dump *d, const char *kind, const char *title)
{
	strbuf_adds(d->out, d->depth == 0 ? "\n" : "");
	indent(d);
	strbuf_addf(d->out, "%s ", kind);
	if (title != NULL) {
		value_format_string(title, d->out);
		strbuf_adds(d->out, " ");
	}
	strbuf_adds(d->out, "{\n");
	d->depth++;
}

static void
dump_close(struct dump *d)
{
	d->depth--;
	indent(d);
	strbuf_adds(d->out, "}\n");
}

static void
dump_sub(const struct dump *d, const char *kind, const char *title, enum key_group group,
	 const void *base)
{
	struct dump sub = {.out = d->out, .depth = d->depth};

	dump_open(&sub, kind, title);
	dump_group(&sub, group, base);
	dump_close(&sub);
}

static void
dump_launch(const struct dump *d, const struct launch *l)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if (settings_keys[i].group == GROUP_LAUNCH &&
		    launch_key_applies(&settings_keys[i], l))
			dump_key(d, &settings_keys[i], l);
}

static void
dump_revision(const struct dump *d, const struct revision_conf *r)
{
	struct dump sub = {.out = d->out, .depth = d->depth, .origins = &r->origins};
	size_t i;

	dump_open(&sub, "revision", r->name);
	dump_launch(&sub, &r->launch);
	dump_group(&sub, GROUP_LIMITS, &r->limits);
	dump_group(&sub, GROUP_SCALING, &r->scaling);
	for (i = 0; i < r->schedules_n; i++)
		dump_sub(&sub, "schedule", r->schedules[i].name, GROUP_SCHEDULE, &r->schedules[i]);
	dump_close(&sub);
}

static void
dump_certificate(const struct dump *d, const struct certificate_conf *c)
{
	struct dump sub = {.out = d->out, .depth = d->depth, .origins = &c->origins};
	size_t i;

	dump_open(&sub, "certificate", c->name);
	for (i = 0; i < settings_keys_n; i++)
		if (settings_keys[i].group == GROUP_CERTIFICATE &&
		    (c->client_ca != NULL ||
		     strcmp(settings_keys[i].name, "client_certificate") != 0))
			dump_key(&sub, &settings_keys[i], c);
	dump_close(&sub);
}

static void
dump_owner(const struct owner_conf *o, struct strbuf *out)
{
	struct dump d = {.out = out, .origins = &o->origins};

	dump_open(&d, "owner", o->name);
	dump_group(&d, GROUP_OWNER, o);
	dump_close(&d);
}

static void
dump_service(const struct service_conf *svc, struct strbuf *out)
{
	struct dump d = {.out = out, .origins = &svc->origins};
	size_t i;

	dump_open(&d, "service", svc->name);
	dump_group(&d, GROUP_SERVICE, svc);
	for (i = 0; i < svc->rules_n; i++)
		dump_sub(&d, "rule", svc->rules[i].name, GROUP_RULE, &svc->rules[i]);
	for (i = 0; i < svc->traffic_n; i++)
		dump_sub(&d, "traffic", svc->traffic[i].revision, GROUP_TRAFFIC, &svc->traffic[i]);
	for (i = 0; i < svc->revisions_n; i++)
		dump_revision(&d, &svc->revisions[i]);
	dump_close(&d);
}

void
settings_dump(const struct settings *s, struct strbuf *out)
{
	struct dump d = {.out = out, .origins = &s->origins};
	size_t i;

	strbuf_addf(out,
		    "# The settings of %s that are in effect, each with the line that set it.\n",
		    s->file);
	dump_group(&d, GROUP_TOP, s);
	dump_open(&d, "activator", NULL);
	dump_group(&d, GROUP_ACTIVATOR, &s->activator);
	dump_group(&d, GROUP_LIMITS, &s->activator.limits);
	for (i = 0; i < s->activator.certificates_n; i++)
		dump_certificate(&d, &s->activator.certificates[i]);
	dump_close(&d);
	dump_open(&d, "autoscaler", NULL);
	dump_group(&d, GROUP_AUTOSCALER, &s->autoscaler);
	dump_group(&d, GROUP_SCALING, &s->autoscaler.scaling);
	dump_level(&d, GROUP_LAUNCH, &s->autoscaler.launch, IN_AUTOSCALER);
	dump_close(&d);
	for (i = 0; i < s->owners_n; i++)
		dump_owner(&s->owners[i], out);
	for (i = 0; i < s->services_n; i++)
		dump_service(&s->services[i], out);
}

/* --- what a reload cannot change --- */

static char *
text_of(const struct key *k, const void *base)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	if (!value_format(k, base, &b))
		strbuf_adds(&b, "unset");
	return strbuf_take(&b);
}

/* origins: of now, for the line of a key that is set there. */
static void
compare(struct conf_errors *errors, enum key_group group, const void *old, const void *now,
	const struct settings_origins *origins)
{
	const struct settings_origin *o;
	size_t i;

	for (i = 0; i < settings_keys_n; i++) {
		const struct key *k = &settings_keys[i];
		char *a, *b;

		if (k->group != group || !k->needs_restart)
			continue;
		a = text_of(k, old);
		b = text_of(k, now);
		o = settings_origins_find(origins, k);
		if (strcmp(a, b) != 0)
			conf_error(errors, o == NULL ? 0 : o->line,
				   "%s: needs a restart to change from %s to %s", k->name, a, b);
		free(a);
		free(b);
	}
}

int
settings_check_reload(const struct settings *old, const struct settings *now, unsigned where,
		      struct settings_errors *errors)
{
	struct conf_errors found = {.file = now->file};

	compare(&found, GROUP_TOP, old, now, &now->origins);
	if ((where & IN_ACTIVATOR) != 0)
		compare(&found, GROUP_ACTIVATOR, &old->activator, &now->activator, &now->origins);
	if ((where & IN_AUTOSCALER) != 0)
		compare(&found, GROUP_AUTOSCALER, &old->autoscaler, &now->autoscaler,
			&now->origins);
	conf_errors_move(&found, errors);
	return errors->n > 0 ? -1 : 0;
}
