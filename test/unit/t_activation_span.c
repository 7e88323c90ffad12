/* The span of an activation, its links with the requests that have asked for it, and the spans of
 * decisions that start instances for it. */
#include "unit.h"

#include <jansson.h>

#include "activator/access/access_log.h"
#include "activator/access/access_sink.h"
#include "activator/decision_span.h"
#include "activator/limiter.h"
#include "activator/revision.h"
#include "common/clk.h"

#define WALL (1796000000 * CLK_S) /* 2026 */

static struct access_span_ref
ref_of(unsigned n)
{
	struct access_span_ref ref;
	char text[sizeof ref.trace + sizeof ref.span + 1];

	snprintf(text, sizeof text, "%032x%016x", n, n + 1000);
	memcpy(ref.trace, text, sizeof ref.trace);
	memcpy(ref.span, text + sizeof ref.trace, sizeof ref.span);
	return ref;
}

static bool
join(struct revision *rev, unsigned request, unsigned fresh, struct access_span_ref *out)
{
	const struct access_span_ref a = ref_of(request), b = ref_of(fresh);

	return activation_span_join(rev, &a, &b, 10 * CLK_S, out);
}

/* The only line of the ring, which is emptied. */
static json_t *
read_line(struct access_ring *ring)
{
	struct iovec iov[2];
	json_t *line;

	assert_int_equal(access_ring_peek(ring, iov), 1);
	line = json_loadb(iov[0].iov_base, iov[0].iov_len, 0, NULL);
	assert_non_null(line);
	assert_int_equal(((const char *)iov[0].iov_base)[iov[0].iov_len - 1], '\n');
	access_ring_drop(ring, iov[0].iov_len);
	return line;
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	assert_non_null(text);
	return text;
}

static const char *
attribute(const json_t *span, const char *key)
{
	json_t *item, *value = NULL;
	size_t i;

	json_array_foreach(json_object_get(span, "attributes"), i,
			   item) if (strcmp(text_of(item, "key"), key) == 0)
		value = json_object_get(item, "value");
	if (value == NULL)
		return NULL;
	value = json_object_iter_value(json_object_iter(value));
	return json_string_value(value);
}

static void
several_requests_share_an_activation(void **state)
{
	struct revision *rev = revision_new("s/v1", 1, NULL, NULL, NULL);
	const struct activation_span_end end = {.outcome = "ready",
						.instance = "s-1",
						.began_ns = 9 * CLK_S,
						.now_ns = 12 * CLK_S,
						.wall_minus_now_ns = WALL};
	struct access_span_ref self, expected = ref_of(900);
	struct access_ring ring;
	const json_t *links;
	json_t *span;
	unsigned i;

	(void)state;
	access_ring_init(&ring, 1 << 16);
	assert_false(activation_span_is_begun(rev));
	for (i = 0; i < ACTIVATION_LINKS + 8; i++) {
		assert_true(join(rev, i, 900 + i, &self)); /* the ids of the first one count */
		assert_memory_equal(&self, &expected, sizeof self);
	}
	assert_true(activation_span_is_begun(rev));
	atomic_store(&rev->activation.signalled_ns, 8 * CLK_S); /* of an earlier one */
	atomic_store(&rev->activation.acked_ns, 10 * CLK_S);
	atomic_store(&rev->activation.connected_ns, 12 * CLK_S);
	activation_span_put(rev, &ring, &end);
	assert_false(activation_span_is_begun(rev));
	span = read_line(&ring);
	assert_string_equal(text_of(span, "name"), "activation s/v1");
	assert_string_equal(text_of(span, "traceId"), "00000000000000000000000000000384");
	assert_string_equal(text_of(span, "startTimeUnixNano"), "1796000009000000000");
	assert_string_equal(text_of(span, "endTimeUnixNano"), "1796000012000000000");
	assert_string_equal(attribute(span, "activator.service"), "s");
	assert_string_equal(attribute(span, "activator.revision"), "s/v1");
	assert_string_equal(attribute(span, "activator.instance"), "s-1");
	assert_string_equal(attribute(span, "activator.recorded_requests"), "40");
	assert_null(json_object_get(span, "status"));
	assert_int_equal(json_array_size(json_object_get(span, "events")), 2);
	links = json_object_get(span, "links");
	assert_int_equal(json_array_size(links), ACTIVATION_LINKS);
	assert_string_equal(text_of(json_array_get(links, 31), "traceId"),
			    "0000000000000000000000000000001f");
	json_decref(span);
	activation_span_put(rev, &ring, &end); /* there is none: no line */
	assert_int_equal(atomic_load(&ring.lines), 1);
	access_ring_fini(&ring);
	revision_unref(&rev);
}

static void
a_failure_is_an_error_whatever_its_text(void **state)
{
	char name[600], reason[3000];
	const struct activation_span_end end = {.outcome = "failed",
						.reason = reason,
						.now_ns = 12 * CLK_S,
						.wall_minus_now_ns = WALL};
	struct access_span_ref self;
	struct access_ring ring;
	struct revision *rev;
	json_t *span;

	(void)state;
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	memset(reason, '\1', sizeof reason - 1); /* each takes six bytes */
	reason[sizeof reason - 1] = '\0';
	rev = revision_new(name, 1, NULL, NULL, NULL);
	access_ring_init(&ring, 1 << 16);
	assert_true(join(rev, 1, 2, &self));
	activation_span_put(rev, &ring, &end);
	span = read_line(&ring);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(span, "status"), "code")), 2);
	assert_string_equal(text_of(span, "startTimeUnixNano"), "1796000010000000000");
	assert_null(attribute(span, "activator.instance"));
	json_decref(span);
	access_ring_fini(&ring);
	revision_unref(&rev);
}

static void
a_full_ring_costs_the_span(void **state)
{
	struct revision *rev = revision_new("s/v1", 1, NULL, NULL, NULL);
	const struct activation_span_end end = {.outcome = "given_up", .now_ns = 12 * CLK_S};
	struct access_span_ref self;
	struct access_ring ring;

	(void)state;
	access_ring_init(&ring, 512);
	assert_true(join(rev, 1, 2, &self));
	activation_span_put(rev, &ring, &end);
	assert_int_equal(atomic_load(&ring.lost), 1);
	assert_int_equal(atomic_load(&ring.lines), 0);
	assert_true(join(rev, 1, 2, &self)); /* is freed with the revision */
	access_ring_fini(&ring);
	revision_unref(&rev);
}

/* --- decisions --- */

static char rule[] = "backlog", why[] = "parked \"requests\"", name[] = "s/v1";
static const struct msg_scaling scaling = {
	.revision = name, .from = 1, .to = 3, .rule = rule, .why = why};

/* A file of spans, in place of a collector. */
struct file {
	char path[64];
	struct access_log *log;
	struct span_port port;
};

static void
open_file(struct file *f)
{
	struct access_sink *sink;
	struct err e;
	int fd;

	snprintf(f->path, sizeof f->path, "/tmp/t_activation_span.XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	sink = access_sink_open(f->path, 0, &e);
	assert_non_null(sink);
	f->log = access_log_new(ACCESS_SPANS, 1, &sink, &e);
	assert_non_null(f->log);
	f->port = (struct span_port){.log = f->log, .ring = access_log_ring(f->log, 0)};
}

/* Its only line. */
static json_t *
close_file(struct file *f)
{
	json_t *line;

	access_log_free(&f->log);
	line = json_load_file(f->path, 0, NULL);
	assert_non_null(line);
	unlink(f->path);
	return line;
}

static void
a_decision_is_below_the_activation_that_asked(void **state)
{
	struct revision *rev = revision_new("s/v1", 1, NULL, NULL, NULL);
	struct decision_span *d;
	struct access_span_ref self;
	struct file f;
	json_t *span;

	(void)state;
	open_file(&f);
	assert_true(join(rev, 7, 900, &self));
	d = decision_span_begin(rev, &scaling);
	decision_span_look(&d, rev, &f.port); /* nothing answers */
	assert_non_null(d);
	rev->wanted = 3;
	decision_span_look(&d, rev, &f.port);
	assert_non_null(d);
	rev->wanted = 2;
	decision_span_look(&d, rev, &f.port);
	assert_null(d);
	span = close_file(&f);
	assert_string_equal(text_of(span, "name"), "scale up s/v1");
	assert_string_equal(text_of(span, "traceId"), "00000000000000000000000000000384");
	assert_string_equal(text_of(span, "parentSpanId"), "000000000000076c");
	assert_string_equal(text_of(json_array_get(json_object_get(span, "links"), 0), "traceId"),
			    "00000000000000000000000000000007");
	assert_string_equal(attribute(span, "activator.rule"), "backlog");
	assert_string_equal(attribute(span, "activator.why"), why);
	assert_string_equal(attribute(span, "activator.instances.from"), "1");
	assert_string_equal(attribute(span, "activator.instances.to"), "3");
	assert_string_equal(attribute(span, "activator.instances.answering"), "0");
	assert_string_equal(attribute(span, "activator.outcome"), "superseded");
	assert_null(json_object_get(span, "status"));
	json_decref(span);
	revision_unref(&rev);
}

static void
a_decision_that_no_request_asked_for_begins_a_trace(void **state)
{
	struct revision *rev = revision_new("s/v1", 1, NULL, NULL, NULL);
	struct decision_span *d;
	struct file f;
	json_t *span;

	(void)state;
	open_file(&f);
	d = decision_span_begin(rev, &scaling);
	decision_span_end(&d, rev, &f.port, false);
	decision_span_end(&d, rev, &f.port, false); /* there is none */
	span = close_file(&f);
	assert_null(json_object_get(span, "parentSpanId"));
	assert_int_equal(strlen(text_of(span, "traceId")), 32);
	assert_int_equal(json_array_size(json_object_get(span, "links")), 0);
	assert_string_equal(attribute(span, "activator.outcome"), "unknown");
	json_decref(span);
	revision_unref(&rev);
}

static void
a_decision_whose_start_fails_is_an_error(void **state)
{
	static char reason[] = "exited", message[] = "exit 3";
	const struct msg_failure failure = {
		.reason = reason, .message = message, .retry_after_ms = 60000};
	struct revision *rev = revision_new("s/v1", 1, NULL, NULL, NULL);
	struct decision_span *d;
	struct file f;
	json_t *span;

	(void)state;
	open_file(&f);
	d = decision_span_begin(rev, &scaling);
	limiter_set_failure(rev, &failure, clk_now());
	decision_span_look(&d, rev, &f.port);
	assert_null(d);
	span = close_file(&f);
	assert_string_equal(attribute(span, "activator.outcome"), "failed");
	assert_string_equal(text_of(json_object_get(span, "status"), "message"), "exit 3");
	json_decref(span);
	revision_unref(&rev);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(several_requests_share_an_activation),
		cmocka_unit_test(a_failure_is_an_error_whatever_its_text),
		cmocka_unit_test(a_full_ring_costs_the_span),
		cmocka_unit_test(a_decision_is_below_the_activation_that_asked),
		cmocka_unit_test(a_decision_that_no_request_asked_for_begins_a_trace),
		cmocka_unit_test(a_decision_whose_start_fails_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
