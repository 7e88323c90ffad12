/* driver_addresses, resolver: names become instances, and what happens when the answers change,
 * fail, or do not come.  The test answers in place of the system's resolver. */
#include "test/unit/unit.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>

#include "autoscaler/driver.h"
#include "autoscaler/resolver.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/strbuf.h"

#define PATIENCE (10 * CLK_S)

/* --- in place of the C library's resolver --- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t is_changed = PTHREAD_COND_INITIALIZER;
static const char *answer = ""; /* addresses, each followed by a blank */
static int answer_code;		/* else this */
static bool is_held;		/* no answer comes */
static unsigned queries, waiting;

static struct addrinfo *
make_info(const char *text, size_t n)
{
	struct addrinfo *info = xcalloc(1, sizeof *info);
	struct addr *a = xcalloc(1, sizeof *a);
	char ip[ADDR_IP_TEXT];

	snprintf(ip, sizeof ip, "%.*s", (int)n, text);
	CHECK(addr_set(a, ip, 0, NULL) == 0);
	info->ai_family = a->ss.ss_family;
	info->ai_addr = (struct sockaddr *)&a->ss;
	info->ai_addrlen = a->len;
	return info;
}

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
	    struct addrinfo **out)
{
	const char *at;
	int code;

	CHECK(strcmp(name, "db.internal") == 0 && service == NULL && hints != NULL);
	pthread_mutex_lock(&lock);
	queries++;
	waiting++;
	pthread_cond_broadcast(&is_changed);
	while (is_held)
		pthread_cond_wait(&is_changed, &lock);
	waiting--;
	pthread_cond_broadcast(&is_changed);
	code = answer_code;
	for (at = answer; code == 0 && *at != '\0'; at += strcspn(at, " ") + 1) {
		*out = make_info(at, strcspn(at, " "));
		out = &(*out)->ai_next;
	}
	pthread_mutex_unlock(&lock);
	return code;
}

void
freeaddrinfo(struct addrinfo *info)
{
	while (info != NULL) {
		struct addrinfo *next = info->ai_next;

		free(info->ai_addr);
		free(info);
		info = next;
	}
}

static void
set_answer(const char *text, int code)
{
	pthread_mutex_lock(&lock);
	answer = text;
	answer_code = code;
	pthread_mutex_unlock(&lock);
}

static unsigned
queries_n(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = queries;
	pthread_mutex_unlock(&lock);
	return n;
}

static void
hold(bool yes)
{
	pthread_mutex_lock(&lock);
	is_held = yes;
	pthread_cond_broadcast(&is_changed);
	pthread_mutex_unlock(&lock);
}

static void
await_threads(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (waiting != n)
		pthread_cond_wait(&is_changed, &lock);
	pthread_mutex_unlock(&lock);
}

/* --- the driver --- */

struct world {
	struct loop *loop;
	struct loop_timer tick;
	struct settings *settings;
	struct driver *driver;
	struct strbuf seen; /* the last view */
	unsigned views;
	bool is_closed;
};

static void
on_view(const struct driver_view *view, void *arg)
{
	struct world *w = arg;
	size_t i;

	strbuf_clear(&w->seen);
	strbuf_adds(&w->seen, view->is_known ? "known" : "unknown");
	for (i = 0; i < view->n; i++)
		strbuf_addf(&w->seen, " %s=%s:%u", view->v[i].id, view->v[i].address,
			    view->v[i].port);
	if (view->failure != NULL)
		strbuf_addf(&w->seen, " (%s: %s)%s", view->failure->reason, view->failure->message,
			    view->failure->is_parking ? "" : " refused");
	w->views++;
}

static void
on_closed(void *arg)
{
	struct world *w = arg;

	w->is_closed = true;
}

static void
on_services(void *arg)
{
	(void)arg;
}

static const struct driver_ops ops = {
	.on_view = on_view, .on_closed = on_closed, .on_services = on_services};

static void
on_tick(void *arg)
{
	struct world *w = arg;

	loop_timer_set(&w->tick, 5 * CLK_MS); /* so that a round waits for 5 ms at most */
}

/* Run rounds until cond holds. */
#define WAIT(w, cond)                                                                              \
	do {                                                                                       \
		int64_t until_ = clk_now() + PATIENCE;                                             \
		while (!(cond)) {                                                                  \
			assert_true(clk_now() < until_);                                           \
			loop_once((w)->loop, false);                                               \
		}                                                                                  \
	} while (0)

static struct settings *
load(const char *addresses)
{
	struct settings_errors errors;
	struct settings *s;
	char *text = xasprintf(
		"autoscaler { resolve_interval = 1s }\n"
		"service \"s\" { hosts = {\"s\"} revision \"v1\" { addresses = {%s} } }",
		addresses);

	s = settings_load_bytes("t.conf", text, strlen(text), &errors);
	assert_non_null(s);
	free(text);
	return s;
}

static void
use(struct world *w, const char *addresses)
{
	struct settings *old = w->settings;
	const struct revision_conf *v[1];

	w->settings = load(addresses);
	v[0] = &w->settings->services[0].revisions[0];
	w->driver->class->set_revisions(w->driver, v, 1);
	settings_free(&old);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err e;

	log_open(LOG_ERROR, LOG_LOGFMT, "t_addresses");
	hold(false);
	set_answer("", 0);
	w->loop = loop_new(&e);
	loop_timer_init(&w->tick, w->loop, on_tick, w);
	on_tick(w);
	strbuf_init(&w->seen, 0);
	w->driver = driver_addresses.open(w->loop, NULL, &ops, w, &e);
	assert_non_null(w->driver);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	w->driver->class->close(w->driver, true);
	WAIT(w, w->is_closed);
	loop_timer_fini(&w->tick);
	loop_free(&w->loop);
	hold(false);
	await_threads(0);
	settings_free(&w->settings);
	strbuf_fini(&w->seen);
	free(w);
	return 0;
}

static bool
sees(const struct world *w, const char *text)
{
	return w->views > 0 && strcmp(strbuf_str(&w->seen), text) == 0;
}

static void
addresses_are_reported_as_they_are(void **state)
{
	struct world *w = *state;

	use(w, "\"127.0.0.1:80\", \"[::1]:81\", \"localhost:82\", \"unix:/run/x\"");
	WAIT(w, w->views > 0);
	assert_string_equal(strbuf_str(&w->seen),
			    "known s/v1@127.0.0.1:80=127.0.0.1:80 s/v1@[::1]:81=::1:81 "
			    "s/v1@localhost:82=127.0.0.1:82 s/v1@unix:/run/x=unix:/run/x:0");
	assert_int_equal(w->views, 1);
}

static void
a_name_is_all_its_addresses_in_a_fixed_order(void **state)
{
	struct world *w = *state;
	unsigned views;

	set_answer("10.0.0.2 ::2 10.0.0.1 10.0.0.2 ", 0);
	use(w, "\"10.0.0.9:80\", \"db.internal:80\"");
	WAIT(w, w->views == 1);
	assert_true(sees(w, "unknown s/v1@10.0.0.9:80=10.0.0.9:80")); /* not asked yet */
	WAIT(w, w->views == 2);
	assert_string_equal(strbuf_str(&w->seen),
			    "known s/v1@10.0.0.9:80=10.0.0.9:80 s/v1@10.0.0.1:80=10.0.0.1:80 "
			    "s/v1@10.0.0.2:80=10.0.0.2:80 s/v1@[::2]:80=::2:80");
	/* It is asked again, and the order of the answer does not matter. */
	set_answer("::2 10.0.0.1 10.0.0.2 ", 0);
	views = w->views;
	WAIT(w, w->views > views);
	assert_non_null(strstr(strbuf_str(&w->seen), "10.0.0.1:80 s/v1@10.0.0.2:80=10.0.0.2:80"));
	set_answer("10.0.0.3 ", 0);
	WAIT(w, sees(w, "known s/v1@10.0.0.9:80=10.0.0.9:80 s/v1@10.0.0.3:80=10.0.0.3:80"));
}

static void
an_address_of_two_entries_is_one_instance(void **state)
{
	struct world *w = *state;

	set_answer("10.0.0.1 ", 0);
	use(w, "\"db.internal:80\", \"10.0.0.1:80\", \"db.internal:81\"");
	WAIT(w, queries_n() >= 2 && w->views >= 3);
	assert_string_equal(strbuf_str(&w->seen),
			    "known s/v1@10.0.0.1:80=10.0.0.1:80 s/v1@10.0.0.1:81=10.0.0.1:81");
}

static void
without_an_answer_what_was_known_stays(void **state)
{
	struct world *w = *state;
	unsigned views;

	set_answer("", EAI_AGAIN);
	use(w, "\"db.internal:80\"");
	WAIT(w, w->views == 2);
	assert_string_equal(strbuf_str(&w->seen),
			    "unknown (unresolved: cannot resolve db.internal: "
			    "Temporary failure in name resolution)");
	set_answer("10.0.0.1 ", 0);
	WAIT(w, sees(w, "known s/v1@10.0.0.1:80=10.0.0.1:80"));
	set_answer("", EAI_AGAIN);
	views = w->views;
	WAIT(w, w->views > views + 1);
	assert_true(sees(w, "known s/v1@10.0.0.1:80=10.0.0.1:80"));
	set_answer("", EAI_NONAME); /* an answer: there is none */
	WAIT(w, sees(w, "known (unresolved: cannot resolve db.internal: "
			"Name or service not known)"));
}

static void
a_refusal_asks_again(void **state)
{
	struct world *w = *state;
	unsigned before;

	set_answer("10.0.0.1 ", 0);
	use(w, "\"db.internal:80\"");
	WAIT(w, sees(w, "known s/v1@10.0.0.1:80=10.0.0.1:80"));
	set_answer("10.0.0.2 ", 0);
	before = queries_n();
	w->driver->class->instance_refuses(w->driver, "s/v1@10.0.0.9:80"); /* unknown */
	w->driver->class->instance_refuses(w->driver, "s/v1@10.0.0.1:80");
	w->driver->class->instance_refuses(w->driver, "s/v1@10.0.0.1:80");
	WAIT(w, sees(w, "known s/v1@10.0.0.2:80=10.0.0.2:80"));
	assert_int_equal(queries_n(), before + 1);
}

static void
a_reload_keeps_what_was_known(void **state)
{
	struct world *w = *state;
	unsigned views;

	set_answer("10.0.0.1 ", 0);
	use(w, "\"db.internal:80\"");
	WAIT(w, sees(w, "known s/v1@10.0.0.1:80=10.0.0.1:80"));
	hold(true);
	views = w->views;
	use(w, "\"127.0.0.1:9\", \"db.internal:80\"");
	WAIT(w, w->views > views);
	assert_string_equal(strbuf_str(&w->seen),
			    "known s/v1@127.0.0.1:9=127.0.0.1:9 s/v1@10.0.0.1:80=10.0.0.1:80");
	await_threads(1);
	use(w, "\"127.0.0.1:9\""); /* the query is cancelled */
	WAIT(w, sees(w, "known s/v1@127.0.0.1:9=127.0.0.1:9"));
	hold(false);
	await_threads(0);
	loop_once(w->loop, true);
}

/* --- the resolver --- */

static void
on_answer(const struct resolver_answer *a, void *arg)
{
	unsigned *n = arg;

	(void)a;
	++*n;
}

static void
it_ends_while_threads_wait(void **state)
{
	struct world *w = *state;
	struct resolver *r = resolver_new(w->loop);
	unsigned answers = 0;
	int i;

	hold(true);
	for (i = 0; i < RESOLVER_THREADS + 4; i++)
		assert_non_null(resolver_ask(r, "db.internal", on_answer, &answers));
	await_threads(RESOLVER_THREADS);
	resolver_free(&r);
	hold(false);
	await_threads(0);
	loop_once(w->loop, true);
	assert_int_equal(answers, 0);
}

static void
a_query_more_than_threads_waits(void **state)
{
	struct world *w = *state;
	struct resolver *r = resolver_new(w->loop);
	struct resolver_query *q;
	unsigned answers = 0, before = queries_n();
	int i;

	hold(true);
	for (i = 0; i < RESOLVER_THREADS + 4; i++)
		q = resolver_ask(r, "db.internal", on_answer, &answers);
	await_threads(RESOLVER_THREADS);
	resolver_cancel(&q);
	assert_null(q);
	hold(false);
	WAIT(w, answers == RESOLVER_THREADS + 3);
	await_threads(0);
	assert_int_equal(queries_n(), before + RESOLVER_THREADS + 4);
	assert_int_equal(answers, RESOLVER_THREADS + 3);
	resolver_free(&r);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(addresses_are_reported_as_they_are),
		T(a_name_is_all_its_addresses_in_a_fixed_order),
		T(an_address_of_two_entries_is_one_instance),
		T(without_an_answer_what_was_known_stays),
		T(a_refusal_asks_again),
		T(a_reload_keeps_what_was_known),
		T(it_ends_while_threads_wait),
		T(a_query_more_than_threads_waits),
	};

	return cmocka_run_group_tests_name("addresses", tests, NULL, NULL);
}
