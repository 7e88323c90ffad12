/* driver_addresses - instances that run elsewhere, at the addresses of the conf file.  The
 * driver reports them, and starts and stops nothing; activators probe and balance.
 *
 * A name stands for all addresses that it resolves to.  It is resolved at the start, each
 * resolve_interval, and when an instance at one of its addresses refuses connections.  While
 * the name servers do not answer, the addresses known before stay in use; the answer that the
 * name has no address takes them away. */
#include "autoscaler/driver.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/resolver.h"
#include "common/addr.h"
#include "common/backoff.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"
#include "common/settings.h"
#include "common/strbuf.h"
#include "common/text.h"

#define RETRY_FIRST CLK_S /* after a name was not resolved; doubling to resolve_interval */
#define RETRY_MAX (86400 * CLK_S)
#define PAUSE CLK_S /* between two queries for a name, however many instances refuse */

struct external;

/* A name in the addresses of a revision. */
struct name {
	struct external *external;
	char *text; /* as the conf file has it: name:port */
	char *name; /* for the resolver */
	uint16_t port;
	struct addr *v; /* the last answer: with the port */
	size_t n;
	bool is_asked;	  /* the resolver has answered, whatever it was */
	bool is_open;	  /* the last time the name servers did not answer */
	char *error;	  /* why the last time there was no address; NULL: there was one */
	int64_t asked_ns; /* when the last query began */
	struct resolver_query *query; /* NULL: none is under way */
	struct loop_timer next;	      /* the next query; set while none is under way */
	struct backoff backoff;
};

/* A revision with `addresses`. */
struct external {
	struct addresses_driver *driver;
	const struct revision_conf *conf;
	struct name *names; /* in the order of conf */
	size_t n;
};

struct addresses_driver {
	struct driver driver;
	struct loop *loop;
	struct resolver *resolver;
	struct external *v;
	size_t n;
	struct loop_timer later; /* for callbacks: never from inside a call */
	bool is_closing;
};

static struct addresses_driver *
of(struct driver *d)
{
	return container_of(d, struct addresses_driver, driver);
}

/* --- the view --- */

/* The id contains the address, so that it is the same after a restart of the autoscaler.
 * text: the address, as the conf file has it or as it was resolved. */
static void
add_instance(struct driver_view *view, struct driver_instance *v, const struct addr *a,
	     const char *text)
{
	char host[ADDR_TEXT];

	v[view->n++] = (struct driver_instance){
		.id = xasprintf("%s@%s", view->revision, text),
		.address = xstrdup(addr_format(a, false, host)),
		.port = addr_port(a),
		.state = INSTANCE_STARTING,
		.cpu_s = -1,
	};
}

/* Is there an instance at this address?  Two entries may have one in common. */
static bool
is_listed(const struct driver_view *view, const struct addr *a)
{
	char host[ADDR_TEXT];
	size_t i;

	addr_format(a, false, host);
	for (i = 0; i < view->n; i++)
		if (view->v[i].port == addr_port(a) && strcmp(view->v[i].address, host) == 0)
			return true;
	return false;
}

static void
add_name(struct driver_view *view, struct driver_instance *v, const struct name *name)
{
	char text[ADDR_TEXT];
	size_t i;

	for (i = 0; i < name->n; i++)
		if (!is_listed(view, &name->v[i]))
			add_instance(view, v, &name->v[i], addr_format(&name->v[i], true, text));
}

/* v has room for all. */
static void
add_all(struct driver_view *view, struct driver_instance *v, const struct external *x)
{
	const struct str_list *texts = &x->conf->launch.addresses;
	size_t i, names = 0;
	struct addr a;

	view->v = v;
	for (i = 0; i < texts->n; i++)
		if (addr_parse_any(&a, texts->v[i], NULL) < 0)
			add_name(view, v, &x->names[names++]);
		else if (names == 0 || !is_listed(view, &a))
			add_instance(view, v, &a, texts->v[i]);
}

/* Activators keep the instances that they have until there is a list.  There is none before
 * each name was asked for, nor while nothing is known because name servers do not answer. */
static bool
has_list(const struct external *x, size_t instances)
{
	bool is_open = false;
	size_t i;

	for (i = 0; i < x->n; i++) {
		if (!x->names[i].is_asked)
			return false;
		is_open = is_open || x->names[i].is_open;
	}
	return instances > 0 || !is_open;
}

/* Why there is no instance, for free(); NULL: no name has failed. */
static char *
why_none(const struct external *x)
{
	size_t i;

	for (i = 0; i < x->n; i++)
		if (x->names[i].error != NULL)
			return xasprintf("cannot resolve %s: %s", x->names[i].name,
					 x->names[i].error);
	return NULL;
}

static void
report(const struct external *x)
{
	static char reason[] = "unresolved";
	struct msg_failure failure = {.reason = reason, .is_parking = true};
	struct driver_view view = {.revision = x->conf->full_name};
	const struct driver *driver = &x->driver->driver;
	struct driver_instance *v;
	size_t i, most = x->conf->launch.addresses.n;

	for (i = 0; i < x->n; i++)
		most += x->names[i].n;
	v = xcalloc(most + 1, sizeof *v);
	add_all(&view, v, x);
	view.is_known = has_list(x, view.n);
	failure.message = view.n == 0 ? why_none(x) : NULL;
	view.failure = failure.message == NULL ? NULL : &failure;
	driver->ops->on_view(&view, driver->arg);
	for (i = 0; i < view.n; i++) {
		free(v[i].id);
		free(v[i].address);
	}
	free(v);
	free(failure.message);
}

/* --- names --- */

static void
log_addresses(const struct name *name)
{
	char text[ADDR_TEXT];
	struct strbuf b;
	size_t i;

	strbuf_init(&b, 0);
	for (i = 0; i < name->n; i++)
		strbuf_addf(&b, "%s%s", i > 0 ? "," : "", addr_format(&name->v[i], false, text));
	log_info(NULL, "name resolved", "revision=%s name=%s addresses=%s",
		 name->external->conf->full_name, name->name, strbuf_str(&b));
	strbuf_fini(&b);
}

static bool
is_same(const struct name *name, const struct resolver_answer *answer)
{
	size_t i;

	if (name->n != answer->n)
		return false;
	for (i = 0; i < name->n; i++)
		if (!addr_equal(&name->v[i], &answer->v[i]))
			return false;
	return true;
}

static void
set_addresses(struct name *name, const struct addr *v, size_t n)
{
	free(name->v);
	name->v = n == 0 ? NULL : xcalloc(n, sizeof *name->v);
	name->n = n;
	if (n > 0)
		memcpy(name->v, v, n * sizeof *v);
}

static void
take_addresses(struct name *name, const struct resolver_answer *answer)
{
	size_t i;

	for (i = 0; i < answer->n; i++)
		addr_set_port(&answer->v[i], name->port);
	if (is_same(name, answer))
		return;
	set_addresses(name, answer->v, answer->n);
	if (name->n > 0)
		log_addresses(name);
}

/* Log it once for each cause. */
static void
take_error(struct name *name, const char *error)
{
	if (error != NULL && !text_equal(error, name->error))
		log_warn(NULL, "cannot resolve a name", "revision=%s name=%s err=%s kept=%zu",
			 name->external->conf->full_name, name->name, error, name->n);
	free(name->error);
	name->error = text_copy(error);
}

static void
on_answer(const struct resolver_answer *answer, void *arg)
{
	struct name *name = arg;
	int64_t wait = name->external->conf->launch.resolve_interval;

	name->query = NULL;
	name->is_asked = true;
	name->is_open = answer->error != NULL && !answer->is_denied;
	if (!name->is_open)
		take_addresses(name, answer);
	take_error(name, answer->error);
	if (answer->error != NULL)
		wait = MIN(backoff_next(&name->backoff, random_u32()), wait);
	else
		backoff_reset(&name->backoff);
	loop_timer_set(&name->next, wait);
	report(name->external);
}

static void
on_next(void *arg)
{
	struct name *name = arg;

	name->asked_ns = clk_now();
	name->query = resolver_ask(name->external->driver->resolver, name->name, on_answer, name);
}

/* An instance at this address refuses: ask again, but not for each of many at once. */
static void
ask_soon(struct name *name)
{
	int64_t wait = name->asked_ns + PAUSE - clk_now();

	if (name->query == NULL)
		loop_timer_set(&name->next, MAX(wait, 0));
}

/* before: what was known of it before a reload; NULL: nothing. */
static void
name_init(struct name *name, struct external *x, const char *text, const struct name *before)
{
	char host[ADDR_NAME_TEXT];

	*name = (struct name){.external = x, .text = xstrdup(text)};
	CHECK(addr_parse_name(text, host, &name->port, NULL) == 0); /* the conf file was checked */
	name->name = xstrdup(host);
	backoff_init(&name->backoff, RETRY_FIRST, RETRY_MAX);
	loop_timer_init(&name->next, x->driver->loop, on_next, name);
	loop_timer_set(&name->next, 0);
	if (before == NULL)
		return;
	set_addresses(name, before->v, before->n);
	name->is_asked = before->is_asked;
	name->is_open = before->is_open;
	name->error = text_copy(before->error);
}

static void
name_fini(struct name *name)
{
	resolver_cancel(&name->query);
	loop_timer_fini(&name->next);
	free(name->error);
	free(name->v);
	free(name->name);
	free(name->text);
}

/* --- revisions --- */

static const struct external *
find_external(const struct external *v, size_t n, const char *revision)
{
	for (; n > 0; n--, v++)
		if (strcmp(v->conf->full_name, revision) == 0)
			return v;
	return NULL;
}

static const struct name *
find_name(const struct external *x, const char *text)
{
	size_t i;

	for (i = 0; x != NULL && i < x->n; i++)
		if (strcmp(x->names[i].text, text) == 0)
			return &x->names[i];
	return NULL;
}

/* before: the same revision before a reload; NULL: it is new. */
static void
external_init(struct external *x, struct addresses_driver *d, const struct revision_conf *conf,
	      const struct external *before)
{
	const struct str_list *texts = &conf->launch.addresses;
	struct addr a;
	size_t i;

	*x = (struct external){.driver = d, .conf = conf};
	for (i = 0; i < texts->n; i++)
		x->n += addr_parse_any(&a, texts->v[i], NULL) < 0;
	x->names = xcalloc(x->n + 1, sizeof *x->names);
	x->n = 0;
	for (i = 0; i < texts->n; i++)
		if (addr_parse_any(&a, texts->v[i], NULL) < 0)
			name_init(&x->names[x->n++], x, texts->v[i],
				  find_name(before, texts->v[i]));
}

static void
free_externals(struct external *v, size_t n)
{
	size_t i, k;

	for (i = 0; i < n; i++) {
		for (k = 0; k < v[i].n; k++)
			name_fini(&v[i].names[k]);
		free(v[i].names);
	}
	free(v);
}

/* --- for the autoscaler --- */

static void
on_later(void *arg)
{
	struct addresses_driver *d = arg;
	size_t i;

	if (!d->is_closing) {
		for (i = 0; i < d->n; i++)
			report(&d->v[i]);
		return;
	}
	d->driver.ops->on_closed(d->driver.arg);
	loop_timer_fini(&d->later);
	free(d);
}

static struct driver *
addresses_open(struct loop *loop, const struct settings *settings, const struct driver_ops *ops,
	       void *arg, struct err *e)
{
	struct addresses_driver *d = xcalloc(1, sizeof *d);

	(void)settings;
	(void)e;
	d->driver = (struct driver){.class = &driver_addresses, .ops = ops, .arg = arg};
	d->loop = loop;
	d->resolver = resolver_new(loop);
	loop_timer_init(&d->later, loop, on_later, d);
	return &d->driver;
}

static void
addresses_set_revisions(struct driver *driver, const struct revision_conf *const *v, size_t n)
{
	struct addresses_driver *d = of(driver);
	struct external *old = d->v;
	size_t old_n = d->n, i;

	d->v = xcalloc(n + 1, sizeof *d->v);
	d->n = n;
	for (i = 0; i < n; i++)
		external_init(&d->v[i], d, v[i], find_external(old, old_n, v[i]->full_name));
	free_externals(old, old_n);
	loop_timer_set(&d->later, 0);
}

static void
addresses_set_scale(struct driver *driver, const char *revision, uint32_t n,
		    const char *const *victims, size_t victims_n)
{
	(void)driver;
	(void)revision;
	(void)n;
	(void)victims;
	(void)victims_n;
}

static void
addresses_instance_answers(struct driver *driver, const char *id)
{
	(void)driver;
	(void)id;
}

static bool
is_id_of(const char *id, const char *revision, const struct addr *a)
{
	size_t n = strlen(revision);
	char text[ADDR_TEXT];

	return strncmp(id, revision, n) == 0 && id[n] == '@' &&
	       strcmp(id + n + 1, addr_format(a, true, text)) == 0;
}

static void
addresses_instance_refuses(struct driver *driver, const char *id)
{
	struct addresses_driver *d = of(driver);
	size_t i, k, j;

	for (i = 0; i < d->n; i++)
		for (k = 0; k < d->v[i].n; k++)
			for (j = 0; j < d->v[i].names[k].n; j++)
				if (is_id_of(id, d->v[i].conf->full_name, &d->v[i].names[k].v[j]))
					ask_soon(&d->v[i].names[k]);
}

static void
addresses_close(struct driver *driver, bool stop_all)
{
	struct addresses_driver *d = of(driver);

	(void)stop_all;
	d->is_closing = true;
	free_externals(d->v, d->n);
	d->v = NULL;
	d->n = 0;
	resolver_free(&d->resolver);
	loop_timer_set(&d->later, 0);
}

const struct driver_class driver_addresses = {
	.name = "addresses",
	.open = addresses_open,
	.set_revisions = addresses_set_revisions,
	.set_scale = addresses_set_scale,
	.instance_answers = addresses_instance_answers,
	.instance_refuses = addresses_instance_refuses,
	.close = addresses_close,
};
