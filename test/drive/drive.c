/* drive - the process driver alone, driven by a test: JSON commands on stdin, one on a line;
 * views, and at last "closed", on stdout.  Tests what the driver promises without an
 * activator and without the reconciler. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/driver.h"
#include "autoscaler/keeper/keeper.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"
#include "common/text.h"

struct drive {
	struct loop *loop;
	struct settings settings;
	struct driver *driver;
	struct revision_conf **revisions;
	size_t revisions_n;
	struct strbuf in;
	struct loop_fd stdin_ev;
};

static void
say(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	printf("%s\n", text);
	fflush(stdout);
	free(text);
	json_decref(o);
}

static json_t *
instance_json(const struct driver_instance *i)
{
	static const char *const states[] = {"starting", "ready", "stopping"};

	return json_pack("{s:s, s:s?, s:i, s:s, s:I, s:f, s:I, s:b, s:b}", "id", i->id, "address",
			 i->address, "port", i->port, "state", states[i->state], "started_ns",
			 (json_int_t)i->started_ns, "cpu_s", i->cpu_s, "memory_bytes",
			 (json_int_t)i->memory_bytes, "spare", i->is_spare, "retired",
			 i->is_retired);
}

static void
on_view(const struct driver_view *v, void *arg)
{
	json_t *list = json_array(), *failure = json_null();
	size_t i;

	(void)arg;
	for (i = 0; i < v->n; i++)
		json_array_append_new(list, instance_json(&v->v[i]));
	if (v->failure != NULL)
		failure = json_pack("{s:s, s:s, s:I, s:b}", "reason", v->failure->reason, "message",
				    v->failure->message, "retry_after_ms",
				    (json_int_t)v->failure->retry_after_ms, "parking",
				    v->failure->is_parking);
	say(json_pack("{s:s, s:s, s:b, s:o, s:o}", "type", "view", "revision", v->revision, "known",
		      v->is_known, "instances", list, "failure", failure));
}

static void
on_closed(void *arg)
{
	struct drive *d = arg;

	say(json_pack("{s:s}", "type", "closed"));
	d->driver = NULL;
	loop_stop(d->loop);
}

static struct str_list
strings(const json_t *array)
{
	struct str_list l = {.n = json_array_size(array)};
	size_t i;

	l.v = xcalloc(l.n + 1, sizeof *l.v);
	for (i = 0; i < l.n; i++)
		l.v[i] = xstrdup(json_string_value(json_array_get(array, i)));
	return l;
}

static char *
string_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return text_copy(s);
}

static void
free_revisions(struct revision_conf **v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		str_list_fini(&v[i]->launch.command);
		str_list_fini(&v[i]->launch.environment);
		free(v[i]->launch.directory);
		str_list_fini(&v[i]->launch.stop_command);
		free(v[i]->launch.pid_file);
		free(v[i]->launch.user);
		free(v[i]->launch.liveness);
		free(v[i]->full_name);
		free(v[i]);
	}
	free(v);
}

static int64_t
or_ms(const json_t *o, const char *key, int64_t otherwise)
{
	const json_t *ms = json_object_get(o, key);

	return (ms == NULL ? otherwise : json_integer_value(ms)) * CLK_MS;
}

static struct revision_conf *
revision_of(const json_t *o)
{
	struct revision_conf *r = xcalloc(1, sizeof *r);

	r->full_name = string_of(o, "name");
	r->launch.command = strings(json_object_get(o, "command"));
	r->launch.environment = strings(json_object_get(o, "environment"));
	r->launch.directory = string_of(o, "directory");
	r->launch.user = string_of(o, "user");
	r->launch.stop_command = strings(json_object_get(o, "stop_command"));
	r->launch.pid_file = string_of(o, "pid_file");
	r->launch.start_timeout = or_ms(o, "start_timeout_ms", 0);
	r->launch.refusal_timeout = or_ms(o, "refusal_timeout_ms", 3600000);
	r->limits.container_concurrency = (uint32_t)json_integer_value(
		json_object_get(o, "container_concurrency"));
	r->launch.liveness = string_of(o, "liveness");
	r->launch.liveness_period = or_ms(o, "liveness_period_ms", 100);
	r->launch.liveness_timeout = or_ms(o, "liveness_timeout_ms", 10000);
	r->launch.liveness_threshold = 3;
	r->launch.stop_timeout = or_ms(o, "stop_timeout_ms", 2000);
	return r;
}

static void
set_revisions(struct drive *d, const json_t *array)
{
	struct revision_conf **before = d->revisions;
	size_t before_n = d->revisions_n, i;

	d->revisions_n = json_array_size(array);
	d->revisions = xcalloc(d->revisions_n + 1, sizeof(struct revision_conf *));
	for (i = 0; i < d->revisions_n; i++)
		d->revisions[i] = revision_of(json_array_get(array, i));
	d->driver->class->set_revisions(
		d->driver, (const struct revision_conf *const *)d->revisions, d->revisions_n);
	free_revisions(before, before_n);
}

static void
set_scale(struct drive *d, const json_t *o)
{
	struct str_list victims = strings(json_object_get(o, "victims"));

	d->driver->class->set_scale(d->driver, json_string_value(json_object_get(o, "revision")),
				    (uint32_t)json_integer_value(json_object_get(o, "n")),
				    (const char *const *)victims.v, victims.n);
	str_list_fini(&victims);
}

static void
obey(struct drive *d, const char *line)
{
	json_t *o = json_loads(line, 0, NULL);
	const char *what = json_string_value(json_object_get(o, "do"));

	CHECK(what != NULL);
	if (strcmp(what, "revisions") == 0)
		set_revisions(d, json_object_get(o, "v"));
	else if (strcmp(what, "scale") == 0)
		set_scale(d, o);
	else if (strcmp(what, "answers") == 0)
		d->driver->class->instance_answers(d->driver,
						   json_string_value(json_object_get(o, "id")));
	else if (strcmp(what, "refuses") == 0)
		d->driver->class->instance_refuses(d->driver,
						   json_string_value(json_object_get(o, "id")));
	else if (strcmp(what, "served") == 0)
		d->driver->class->instance_served(d->driver,
						  json_string_value(json_object_get(o, "id")));
	else if (strcmp(what, "close") == 0)
		d->driver->class->close(d->driver, json_is_true(json_object_get(o, "stop_all")));
	json_decref(o);
}

static void
on_stdin(int fd, short what, void *arg)
{
	struct drive *d = arg;
	ssize_t n = read(fd, strbuf_reserve(&d->in, 65536), 65536);
	char *end;

	(void)what;
	if (n <= 0) {
		loop_fd_clear(&d->stdin_ev);
		return;
	}
	d->in.len += (size_t)n;
	while ((end = memchr(d->in.data, '\n', d->in.len)) != NULL && d->driver != NULL) {
		*end = '\0';
		obey(d, d->in.data);
		strbuf_consume(&d->in, (size_t)(end - d->in.data) + 1);
	}
}

int
main(int argc, char **argv)
{
	static const struct driver_ops ops = {.on_view = on_view, .on_closed = on_closed};
	struct drive d = {.driver = NULL};
	struct err e;

	if (keeper_is_asked(argc, argv))
		return keeper_main(argc, argv);
	if (argc != 5) {
		fprintf(stderr, "usage: drive STATE_DIR ORPHAN_TIMEOUT_MS FIRST_PORT LAST_PORT\n");
		return 2;
	}
	daemon_init();
	log_open(LOG_DEBUG, LOG_LOGFMT, "drive");
	d.settings.state_dir = argv[1];
	d.settings.log_level = LOG_DEBUG;
	d.settings.log_format = LOG_LOGFMT;
	d.settings.autoscaler.orphan_timeout = strtol(argv[2], NULL, 10) * CLK_MS;
	d.settings.autoscaler.port_first = (uint32_t)strtol(argv[3], NULL, 10);
	d.settings.autoscaler.port_last = (uint32_t)strtol(argv[4], NULL, 10);
	strbuf_init(&d.in, 0);
	loop_fd_init(&d.stdin_ev);
	d.loop = loop_new(&e);
	if (d.loop == NULL)
		return 1;
	d.driver = driver_process.open(d.loop, &d.settings, &ops, &d, &e);
	if (d.driver == NULL) {
		log_error(NULL, "cannot open the driver", "err=%s", e.text);
		loop_free(&d.loop);
		return 1;
	}
	loop_fd_set(&d.stdin_ev, d.loop, 0, EV_READ, on_stdin, &d);
	loop_run(d.loop);
	loop_fd_clear(&d.stdin_ev);
	free_revisions(d.revisions, d.revisions_n);
	strbuf_fini(&d.in);
	loop_free(&d.loop);
	return 0;
}
