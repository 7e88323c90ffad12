/* kube_watch, with an API server, a clock and a timer that the test moves: in which of the two
 * ways it lists, what it does if a list fails, and that an incomplete list ends no object. */
#include "test/unit/unit.h"

#include "autoscaler/kube/kube_http.h"
#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kube/kube_watch.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"

#define ADDED "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n"
#define MODIFIED "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n"
#define BOOKMARK                                                                                   \
	"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\","              \
	"\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n"
#define PAGE(items) "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[" items "]}"
#define PAGE_OF(items, token)                                                                      \
	"{\"metadata\":{\"resourceVersion\":\"7\",\"continue\":\"" token "\"},\"items\":[" items   \
	"]}"
#define ITEM "{\"metadata\":{\"name\":\"a\"}}"
#define NO_JSON "{\"metadata\":{\"name\":]}"

/* The only request at a time. */
struct kube_request {
	char *path;
	const struct kube_call_ops *ops;
	void *arg;
};

static struct {
	int64_t now;
	struct loop_timer *timer; /* the watch's */
	int64_t timer_at;	  /* 0: it does not run */
	struct kube_request *request;
	unsigned requests; /* begun so far */
	struct kube_watch_shared shared;
	struct kube_watch *watch;
	unsigned begins, objects, ends; /* upcalls */
} world;

static int64_t
now(void)
{
	return world.now;
}

/* --- in place of loop.c and kube_http.c --- */

void
loop_timer_init(struct loop_timer *t, struct loop *loop, void (*fn)(void *), void *arg)
{
	t->loop = loop;
	t->fn = fn;
	t->arg = arg;
	world.timer = t;
}

void
loop_timer_set(struct loop_timer *t, int64_t delay_ns)
{
	assert_ptr_equal(t, world.timer);
	world.timer_at = world.now + MAX(delay_ns, 1);
}

void
loop_timer_clear(struct loop_timer *t)
{
	assert_ptr_equal(t, world.timer);
	world.timer_at = 0;
}

void
loop_timer_fini(struct loop_timer *t)
{
	loop_timer_clear(t);
}

struct kube_request *
kube_http_call(struct kube_http *h, const struct kube_call *c, const struct kube_call_ops *ops,
	       void *arg)
{
	struct kube_request *r = xcalloc(1, sizeof *r);

	assert_null(h);
	assert_null(world.request);
	r->path = xstrdup(c->path);
	r->ops = ops;
	r->arg = arg;
	world.requests++;
	return world.request = r;
}

static void
request_free(struct kube_request *r)
{
	world.request = NULL;
	free(r->path);
	free(r);
}

void
kube_http_cancel(struct kube_request **rp)
{
	if (*rp != NULL)
		request_free(*rp);
	*rp = NULL;
}

int64_t
kube_http_delay(struct backoff *b, const struct kube_answer *a)
{
	(void)a;
	return backoff_next(b, 0);
}

void
kube_http_explain(const struct kube_answer *a, const char *verb, const char *resource,
		  const char *group, const char *ns, char *text, size_t size)
{
	(void)verb, (void)resource, (void)group, (void)ns;
	snprintf(text, size, "%d", a->status);
}

/* --- the world --- */

static void
on_list_begin(void *arg)
{
	assert_null(arg);
	world.begins++;
}

static void
on_event(const struct kube_event *ev, void *arg)
{
	assert_null(arg);
	assert_string_equal(ev->name, "a");
	world.objects++;
}

static void
on_list_end(void *arg)
{
	assert_null(arg);
	world.ends++;
}

static void
on_error(const char *why, void *arg)
{
	assert_null(arg);
	assert_null(why);
}

static const struct kube_watch_ops ops = {on_list_begin, on_event, on_list_end, on_error};

/* Move the clock, and let the timer run out where it is due. */
static void
advance(int64_t ns)
{
	int64_t end = world.now + ns;

	while (world.timer_at != 0 && world.timer_at <= end) {
		world.now = world.timer_at;
		world.timer_at = 0;
		world.timer->fn(world.timer->arg);
	}
	world.now = end;
}

static int
setup(void **state)
{
	static const struct kube_watch_conf conf = {
		.group_path = "/api/v1", .group = "", .plural = "pods", .ns = "n"};

	(void)state;
	memset(&world, 0, sizeof world);
	world.now = 1000 * CLK_S;
	clk_replace(now);
	world.watch = kube_watch_new(&world.shared, &conf, &ops, NULL);
	advance(CLK_MS);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	kube_watch_free(&world.watch);
	assert_null(world.request);
	return 0;
}

static void
assert_asks_for(const char *words)
{
	assert_non_null(world.request);
	if (strstr(world.request->path, words) == NULL)
		fail_msg("%s is not in %s", words, world.request->path);
}

static void
head(void)
{
	world.request->ops->on_head(world.request->arg);
}

static void
end(int status)
{
	struct kube_request *r = world.request;
	const struct kube_answer a = {
		.status = status, .body = "", .reason = "", .message = "because"};
	const struct kube_call_ops *call_ops = r->ops;
	void *arg = r->arg;

	request_free(r);
	call_ops->on_done(&a, arg);
}

/* As kube_http.c, which ends a request whose data are refused without a status. */
static void
data(const char *text)
{
	if (!world.request->ops->on_data(text, strlen(text), world.request->arg))
		end(0);
}

static bool
is_paging(void)
{
	return world.shared.page_until_ns > world.now;
}

/* --- tests --- */

static void
a_bookmark_ends_the_list_in_a_watch(void **state)
{
	(void)state;
	assert_asks_for("sendInitialEvents=true");
	head();
	data(ADDED);
	assert_int_equal(world.ends, 0);
	data(BOOKMARK);
	assert_int_equal(world.ends, 1);
	advance(80 * CLK_S);
	assert_int_equal(world.requests, 1);
	end(200);
	advance(CLK_S);
	assert_asks_for("resourceVersion=7&");
	assert_int_equal(world.begins, 1);
}

/* What becomes known of other requests before its answer comes is newer than the list. */
static void
a_list_begins_when_it_is_asked_for(void **state)
{
	(void)state;
	assert_asks_for("sendInitialEvents=true");
	assert_int_equal(world.begins, 1);
	head();
	data(ADDED);
	assert_int_equal(world.begins, 1);
	end(0);
	advance(CLK_S);
	assert_asks_for("sendInitialEvents=true");
	assert_int_equal(world.begins, 2);
	end(422);
	advance(CLK_MS);
	assert_asks_for("limit=500");
	assert_int_equal(world.begins, 3);
	data(PAGE_OF(ITEM, "t"));
	end(200);
	assert_asks_for("continue=t");
	end(503);
	advance(CLK_S);
	assert_asks_for("continue=t");
	assert_int_equal(world.begins, 3); /* it goes on */
	end(410);
	advance(CLK_S);
	assert_asks_for("limit=500");
	assert_int_equal(world.begins, 4);
	end(503);
	advance(CLK_S);
	assert_asks_for("limit=500");
	assert_int_equal(world.begins, 5);
	data(PAGE(ITEM));
	end(200);
	assert_int_equal(world.ends, 1);
	assert_int_equal(world.begins, 5);
}

/* The list without a bookmark at its end; an empty one has no bytes at all. */
static void
a_server_that_ignores_it_is_asked_for_pages(void **state)
{
	static const char *const lists[] = {ADDED ADDED, ""};
	size_t i;

	for (i = 0; i < ARRAY_LEN(lists); i++) {
		if (i > 0)
			setup(state);
		assert_asks_for("sendInitialEvents=true");
		head();
		if (lists[i][0] != '\0')
			data(lists[i]);
		advance(15 * CLK_S);
		assert_int_equal(world.requests, 1);
		advance(15 * CLK_S);
		assert_asks_for("limit=500");
		assert_true(is_paging());
		assert_int_equal(world.ends, 0);
		head();
		advance(100 * CLK_S); /* a page has no such limit */
		assert_int_equal(world.requests, 2);
		data(PAGE(ITEM));
		end(200);
		assert_int_equal(world.ends, 1);
		assert_asks_for("resourceVersion=7&");
		head();
		advance(80 * CLK_S);
		assert_int_equal(world.requests, 3);
		if (i + 1 < ARRAY_LEN(lists))
			teardown(state);
	}
}

/* It may wait for credentials. */
static void
a_request_without_an_answer_says_nothing_of_the_server(void **state)
{
	(void)state;
	advance(100 * CLK_S);
	assert_int_equal(world.requests, 1);
	end(0);
	advance(CLK_S);
	assert_asks_for("sendInitialEvents=true");
	assert_false(is_paging());
}

static void
a_list_in_a_watch_that_breaks_off_is_tried_again(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_asks_for("sendInitialEvents=true");
		advance(60 * CLK_S); /* to the head */
		head();
		data(ADDED);
		advance(15 * CLK_S);
		end(0);
		advance(20 * CLK_S);
	}
	assert_false(is_paging());
	assert_int_equal(world.ends, 0);
}

static void
a_server_that_refuses_it_is_asked_for_pages(void **state)
{
	(void)state;
	end(422);
	advance(CLK_MS);
	assert_asks_for("limit=500");
	assert_true(is_paging());
}

/* As long as objects come the list may take its time; changes are no objects of a list. */
static void
a_list_in_a_watch_may_take_long(void **state)
{
	int i;

	(void)state;
	head();
	for (i = 0; i < 10; i++) {
		data(ADDED);
		advance(19 * CLK_S);
	}
	assert_int_equal(world.requests, 1);
	data(BOOKMARK);
	assert_int_equal(world.ends, 1);
	advance(100 * CLK_S);
	assert_int_equal(world.requests, 1);
	assert_false(is_paging());
}

static void
a_list_in_a_watch_must_end(void **state)
{
	int i;

	(void)state;
	head();
	for (i = 0; i < 3; i++) {
		data(MODIFIED);
		advance(9 * CLK_S);
	}
	assert_true(is_paging());
	assert_asks_for("limit=500");
	teardown(state);
	setup(state);
	head();
	for (i = 0; i < 40; i++) {
		assert_int_equal(is_paging(), i >= 30);
		if (!is_paging())
			data(ADDED);
		advance(10 * CLK_S);
	}
	assert_asks_for("limit=500");
}

/* The server may have been replaced. */
static void
a_list_in_a_watch_is_tried_again_later(void **state)
{
	(void)state;
	end(422);
	advance(CLK_MS);
	assert_asks_for("limit=500");
	data(PAGE(ITEM));
	end(200);
	assert_asks_for("resourceVersion=7&");
	advance(3000 * CLK_S);
	end(410);
	advance(10 * CLK_S);
	assert_asks_for("limit=500");
	data(PAGE(ITEM));
	end(200);
	advance(600 * CLK_S);
	end(410);
	advance(10 * CLK_S);
	assert_asks_for("sendInitialEvents=true");
}

#define BROKEN "{\"metadata\":{\"name\":\"b\",\"x\":]}"

static void
list_with_broken_objects(void *arg)
{
	(void)arg;
	end(422);
	advance(CLK_MS);
	data(PAGE(BROKEN "," ITEM "," NO_JSON));
	end(200);
	assert_int_equal(world.ends, 1);
	assert_int_equal(world.objects, 1);
	end(410);
	advance(10 * CLK_S);
	data(PAGE(BROKEN "," ITEM "," NO_JSON));
	end(200);
	assert_int_equal(world.ends, 2);
	assert_int_equal(world.objects, 2);
}

/* It is named once, however often it is listed. */
static void
an_item_that_cannot_be_decoded_is_left_out(void **state)
{
	char *log = unit_stderr_of(list_with_broken_objects, NULL), *at;

	(void)state;
	at = strstr(log, "name=b ");
	assert_non_null(at);
	assert_null(strstr(at + 1, "name=b "));
	at = strstr(log, "name=unknown ");
	assert_non_null(at);
	assert_null(strstr(at + 1, "name=unknown "));
	free(log);
}

static void
list_in_watch_with_broken_object(void *arg)
{
	(void)arg;
	head();
	data(ADDED);
	data("{\"type\":\"ADDED\",\"object\":" NO_JSON "}\n");
	data(ADDED BOOKMARK);
}

static void
an_initial_event_that_cannot_be_decoded_is_left_out(void **state)
{
	(void)state;
	free(unit_stderr_of(list_in_watch_with_broken_object, NULL));
	assert_int_equal(world.ends, 1);
	assert_int_equal(world.objects, 2);
	assert_int_equal(world.requests, 1);
}

static void
an_event_that_cannot_be_decoded_lists_again(void **state)
{
	(void)state;
	data(ADDED BOOKMARK);
	data("{\"type\":\"MODIFIED\",\"object\":7}\n");
	advance(CLK_S);
	assert_asks_for("sendInitialEvents=true");
	assert_int_equal(world.ends, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_bookmark_ends_the_list_in_a_watch, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_list_begins_when_it_is_asked_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_server_that_ignores_it_is_asked_for_pages, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_request_without_an_answer_says_nothing_of_the_server, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_in_a_watch_that_breaks_off_is_tried_again,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_refuses_it_is_asked_for_pages, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_list_in_a_watch_may_take_long, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_in_a_watch_must_end, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_in_a_watch_is_tried_again_later, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_item_that_cannot_be_decoded_is_left_out, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_initial_event_that_cannot_be_decoded_is_left_out,
						setup, teardown),
		cmocka_unit_test_setup_teardown(an_event_that_cannot_be_decoded_lists_again, setup,
						teardown),
	};

	log_open(LOG_INFO, LOG_LOGFMT, "t_kube_watch");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
