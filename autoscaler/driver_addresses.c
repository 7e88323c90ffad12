/* driver_addresses - instances that run elsewhere, at the addresses of the conf file.  The
 * driver reports them, and starts and stops nothing; activators probe and balance. */
#include "autoscaler/driver.h"

#include <stdlib.h>

#include "common/addr.h"
#include "common/log.h"
#include "common/loop.h"

struct addresses_driver {
	struct driver driver;
	const struct revision_conf *const *revisions; /* a copy of the array */
	size_t n;
	struct loop_timer later; /* for callbacks: never from inside a call */
	bool is_closing;
};

static struct addresses_driver *
of(struct driver *d)
{
	return container_of(d, struct addresses_driver, driver);
}

/* The id contains the address, so that it is the same after a restart of the autoscaler. */
static void
fill_instance(struct driver_instance *i, const char *revision, const char *text)
{
	char host[ADDR_TEXT];
	struct addr a;
	struct err e;

	*i = (struct driver_instance){.state = INSTANCE_STARTING, .cpu_s = -1};
	i->id = xasprintf("%s@%s", revision, text);
	if (addr_parse(&a, text, &e) < 0) { /* the conf file was checked: it cannot happen */
		log_error(NULL, "address cannot be used", "revision=%s err=%s", revision, e.text);
		return;
	}
	i->address = xstrdup(addr_format(&a, false, host));
	i->port = addr_port(&a);
}

static void
report(struct addresses_driver *d, const struct revision_conf *conf)
{
	const struct str_list *l = &conf->launch.addresses;
	struct driver_instance *v = xcalloc(l->n + 1, sizeof *v);
	struct driver_view view = {
		.revision = conf->full_name, .is_known = true, .v = v, .n = l->n};
	size_t i;

	for (i = 0; i < l->n; i++)
		fill_instance(&v[i], conf->full_name, l->v[i]);
	d->driver.ops->on_view(&view, d->driver.arg);
	for (i = 0; i < l->n; i++) {
		free(v[i].id);
		free(v[i].address);
	}
	free(v);
}

static void
on_later(void *arg)
{
	struct addresses_driver *d = arg;
	size_t i;

	if (!d->is_closing) {
		for (i = 0; i < d->n; i++)
			report(d, d->revisions[i]);
		return;
	}
	d->driver.ops->on_closed(d->driver.arg);
	loop_timer_fini(&d->later);
	free((void *)(uintptr_t)d->revisions);
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
	loop_timer_init(&d->later, loop, on_later, d);
	return &d->driver;
}

static void
addresses_set_revisions(struct driver *driver, const struct revision_conf *const *v, size_t n)
{
	struct addresses_driver *d = of(driver);
	const struct revision_conf **copy = xcalloc(n + 1, sizeof *copy);
	size_t i;

	for (i = 0; i < n; i++)
		copy[i] = v[i];
	free((void *)(uintptr_t)d->revisions);
	d->revisions = copy;
	d->n = n;
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

static void
addresses_close(struct driver *driver, bool stop_all)
{
	(void)stop_all;
	of(driver)->is_closing = true;
	loop_timer_set(&of(driver)->later, 0);
}

const struct driver_class driver_addresses = {
	.name = "addresses",
	.open = addresses_open,
	.set_revisions = addresses_set_revisions,
	.set_scale = addresses_set_scale,
	.instance_answers = addresses_instance_answers,
	.close = addresses_close,
};
