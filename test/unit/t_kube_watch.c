/* kube_watch, with an API server, a clock and a timer that the test moves: in which of the two
 * ways it lists, what it does if a list fails, and that an incomplete list ends no object. */
#include "test/unit/unit.h"

#include "autoscaler/kubernetes/kube_http.h"
#include "autoscaler/kubernetes/kube_json.h"
#include "autoscaler/kubernetes/kube_watch.h"
#include "common/clk.h"
#include "common/loop.h"

#define ADDED "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n"
#define BOOKMARK                                                                                   \
	"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\","              \
	"\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n"
#define PAGE(items) "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[" items "]}"
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
		assert_true(world.shared.must_page);
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
	assert_false(world.shared.must_page);
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
	assert_false(world.shared.must_page);
	assert_int_equal(world.ends, 0);
}

static void
a_server_that_refuses_it_is_asked_for_pages(void **state)
{
	(void)state;
	end(422);
	advance(CLK_MS);
	assert_asks_for("limit=500");
	assert_true(world.shared.must_page);
}

/* The object would count as gone at the end of the list. */
static void
an_item_that_cannot_be_decoded_breaks_off_the_list(void **state)
{
	int64_t before = world.now;

	(void)state;
	end(422);
	advance(CLK_MS);
	while (world.requests < 8) {
		if (world.request == NULL) {
			advance(CLK_MS);
			continue;
		}
		assert_asks_for("limit=500");
		data(PAGE(NO_JSON "," ITEM));
	}
	assert_int_equal(world.ends, 0);
	assert_true(world.now - before >= CLK_S); /* a back-off */
	data(PAGE(ITEM "," ITEM));
	end(200);
	assert_int_equal(world.ends, 1);
	assert_int_equal(world.objects, 2);
	assert_int_equal(world.begins, 7);
}

/* Also if each list takes long. */
static void
an_initial_event_that_cannot_be_decoded_backs_off(void **state)
{
	unsigned i;
	int64_t before;

	(void)state;
	for (i = 0; i < 8; i++) {
		assert_asks_for("sendInitialEvents=true");
		head();
		data(ADDED);
		advance(6 * CLK_S);
		data("{\"type\":\"ADDED\",\"object\":" NO_JSON "}\n");
		for (before = world.now; world.request == NULL;)
			advance(CLK_MS);
	}
	assert_true(world.now - before >= CLK_S);
	assert_int_equal(world.ends, 0);
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
		cmocka_unit_test_setup_teardown(a_server_that_ignores_it_is_asked_for_pages, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_request_without_an_answer_says_nothing_of_the_server, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_in_a_watch_that_breaks_off_is_tried_again,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_refuses_it_is_asked_for_pages, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_item_that_cannot_be_decoded_breaks_off_the_list,
						setup, teardown),
		cmocka_unit_test_setup_teardown(an_initial_event_that_cannot_be_decoded_backs_off,
						setup, teardown),
		cmocka_unit_test_setup_teardown(an_event_that_cannot_be_decoded_lists_again, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
