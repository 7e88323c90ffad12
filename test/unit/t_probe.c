/* probe, with real sockets on loopback: when it begins, what counts as an answer, how often it
 * tries, and that its connection goes to a waiter. */
#include "test/unit/revision.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/probe.h"
#include "common/clk.h"
#include "test/unit/loopback.h"

#define MS CLK_MS
#define PATIENCE (5 * CLK_S)

struct world {
	struct loop *loop;
	struct prober *prober;
	struct revision *rev;
	struct instance *inst;
	struct inbox inbox;
	int listener; /* bound, and listening once start_listening() */
	unsigned answers;
};

static void
on_answers(struct instance *inst, void *arg)
{
	struct world *w = arg;

	assert_true(instance_is_open(inst));
	w->answers++;
}

static const struct prober_ops ops = {.on_answers = on_answers};

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct addr addr;

	w->listener = loopback_bind(SOCK_CLOEXEC, &addr);
	w->loop = loop_new(NULL);
	w->prober = prober_new(w->loop, NULL, &ops, w);
	w->rev = unit_revision(w->loop);
	w->inst = instance_new(w->rev, "a", &addr);
	w->inst->is_listed = true;
	inbox_init(&w->inbox, w->loop);
	limiter_update(w->rev, instance_set_new(&w->inst, 1),
		       &(struct limiter_update){.wanted = 1});
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	prober_forget(w->prober, w->inst);
	assert_int_equal(prober_probed(w->prober), 0);
	loop_once(w->loop, true);
	prober_free(&w->prober);
	limiter_update(w->rev, instance_set_new(NULL, 0), &(struct limiter_update){.wanted = 0});
	inbox_fini(&w->inbox);
	instance_unref(&w->inst);
	revision_unref(&w->rev);
	loop_free(&w->loop);
	close(w->listener);
	free(w);
	return 0;
}

static void
run_until_answer(struct world *w)
{
	int64_t until = clk_now() + PATIENCE;
	unsigned before = w->answers;

	while (w->answers == before && clk_now() < until)
		loop_once(w->loop, false);
	assert_int_equal(w->answers, before + 1);
}

static void
run_tries(struct world *w, uint64_t n)
{
	uint64_t until = prober_probes(w->prober) + n;

	while (prober_probes(w->prober) < until)
		loop_once(w->loop, false);
}

static void
run_for(struct world *w, int64_t ns)
{
	int64_t until = clk_now() + ns;

	while (clk_now() < until)
		loop_once(w->loop, true);
}

static void
test_refused_until_it_listens(void **state)
{
	struct world *w = *state;

	prober_watch(w->prober, w->inst);
	assert_int_equal(prober_probes(w->prober), 1); /* begun at once */
	run_tries(w, 5);
	assert_int_equal(w->answers, 0);
	assert_false(instance_is_open(w->inst));
	listen(w->listener, 8);
	run_until_answer(w);
	assert_int_equal(prober_probed(w->prober), 0);
	assert_true(atomic_load(&w->rev->activation.connected_ns) > 0);
	prober_watch(w->prober, w->inst); /* needs no probe */
	assert_int_equal(prober_probed(w->prober), 0);
}

/* A listening socket at ::1, with the port of the other address, or -1: there is no IPv6. */
static int
listen_at_six(const struct addr *other, struct addr *six)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(addr_set(six, "::1", addr_port(other), NULL), 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&six->ss, six->len) < 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* Each time it is found where it listens, first at its alternate address, then, after it has
 * been started again, at the other one. */
static void
test_an_instance_that_listens_at_its_alternate_address(void **state)
{
	struct world *w = *state;
	struct addr four = instance_address(w->inst)->addr, six;
	int fd = listen_at_six(&four, &six);

	if (fd < 0)
		skip();
	w->inst->alternate = xmalloc(sizeof six);
	*w->inst->alternate = six;
	w->inst->state = INSTANCE_READY; /* not enough: which address is it? */
	prober_watch(w->prober, w->inst);
	assert_false(instance_is_open(w->inst));
	run_until_answer(w);
	assert_true(instance_is_open(w->inst));
	assert_true(addr_equal(&instance_address(w->inst)->addr, &six));
	assert_true(addr_equal(w->inst->alternate, &four));

	close(fd);
	listen(w->listener, 8);
	limiter_close(w->inst, SLOTS_UNREADY);
	prober_refused(w->prober, w->inst);
	run_until_answer(w);
	assert_true(addr_equal(&instance_address(w->inst)->addr, &four));
	assert_true(addr_equal(w->inst->alternate, &six));
	assert_true(limiter_try_permit(w->inst)); /* each permit was given back */
	limiter_permit_back(w->inst);
}

/* The connection of a probe goes to a waiter; without one it is closed. */
static void
test_the_connection_goes_to_a_waiter(void **state)
{
	struct world *w = *state;
	struct waiter waiter = {.inbox = &w->inbox};
	struct failure *failed;
	struct waiter *got;
	struct instance *inst;
	int peer;

	listen(w->listener, 8);
	assert_null(limiter_take_or_wait(w->rev, &waiter, false, clk_now(), &failed));
	prober_watch(w->prober, w->inst);
	run_until_answer(w);
	got = inbox_next(&w->inbox);
	assert_ptr_equal(got, &waiter);
	assert_ptr_equal(got->inst, w->inst);
	assert_true(got->fd >= 0 && got->has_permit);
	peer = accept(w->listener, NULL, NULL);
	assert_int_equal(send(got->fd, "x", 1, 0), 1);
	assert_int_equal(recv(peer, &(char){0}, 1, 0), 1);
	assert_int_equal(instance_in_flight(w->inst), 1);
	close(got->fd);
	close(peer);
	limiter_permit_back(w->inst);
	limiter_give_back(w->inst);
	inst = got->inst;
	instance_unref(&inst);
}

/* An instance that the platform calls ready is not probed, until it refuses. */
static void
test_the_platform_says_ready(void **state)
{
	struct world *w = *state;

	w->inst->probe_spec = xstrdup("ready");
	w->inst->state = INSTANCE_STARTING;
	prober_watch(w->prober, w->inst);
	assert_int_equal(prober_probed(w->prober), 0);
	w->inst->state = INSTANCE_READY;
	prober_watch(w->prober, w->inst);
	assert_int_equal(prober_probes(w->prober), 0);
	assert_true(instance_is_open(w->inst));

	prober_refused(w->prober, w->inst); /* late: the instance has opened since */
	assert_int_equal(prober_probed(w->prober), 0);
	limiter_close(w->inst, SLOTS_UNREADY);
	prober_refused(w->prober, w->inst);
	prober_refused(w->prober, w->inst);
	assert_int_equal(prober_probed(w->prober), 1);
	prober_watch(w->prober, w->inst);
	assert_false(instance_is_open(w->inst));
	run_tries(w, 2);
	listen(w->listener, 8);
	run_until_answer(w);
	assert_true(instance_is_open(w->inst));
	assert_false(w->inst->is_set_aside);
}

static void
test_stopping_is_left_alone(void **state)
{
	struct world *w = *state;

	prober_watch(w->prober, w->inst);
	run_tries(w, 1);
	w->inst->state = INSTANCE_STOPPING;
	prober_watch(w->prober, w->inst);
	assert_int_equal(prober_probed(w->prober), 0);
	prober_refused(w->prober, w->inst);
	assert_int_equal(prober_probed(w->prober), 0);
}

/* --- HTTP --- */

/* Answer the next connection with text; head: its request. */
static void
answer_http(struct world *w, const char *text, char *head, size_t size)
{
	struct pollfd p = {.fd = w->listener, .events = POLLIN};
	ssize_t n;
	int fd;

	while (poll(&p, 1, 0) == 0)
		loop_once(w->loop, false);
	fd = accept(w->listener, NULL, NULL);
	assert_true(fd >= 0);
	p.fd = fd;
	while (poll(&p, 1, 0) == 0)
		loop_once(w->loop, false);
	n = recv(fd, head, size - 1, 0);
	head[MAX(n, 0)] = '\0';
	if (*text != '\0')
		assert_true(send(fd, text, strlen(text), MSG_NOSIGNAL) > 0);
	close(fd);
}

static void
test_http(void **state)
{
	static const char *const refusals[] = {
		"HTTP/1.1 503 Not Yet\r\n\r\n", "HTTP/1.1 404 No\r\n\r\n",
		"HTTP/1.1 100 Go\r\n\r\n",	"",
		"SSH-2.0-OpenSSH_9.2\r\n",	"HTTP/1.1 2",
	};
	struct world *w = *state;
	char head[500];
	size_t i;

	listen(w->listener, 8);
	w->inst->probe_spec = xstrdup("/healthz?a=b");
	prober_watch(w->prober, w->inst);
	for (i = 0; i < ARRAY_LEN(refusals); i++) {
		answer_http(w, refusals[i], head, sizeof head);
		assert_int_equal(strncmp(head, "GET /healthz?a=b HTTP/1.1\r\nHost: 127.0.0.1:", 43),
				 0);
		run_tries(w, 1);
		assert_int_equal(w->answers, 0);
	}
	answer_http(w, "HTTP/1.0 302 Elsewhere\r\n\r\n", head, sizeof head);
	run_until_answer(w);
}

static void
test_http_path_of_the_limits(void **state)
{
	struct world *w = *state;
	char head[500];

	listen(w->listener, 8);
	w->rev->limits->v.probe = PROBE_HTTP;
	w->rev->limits->v.probe_text = xstrdup("/up");
	prober_watch(w->prober, w->inst);
	answer_http(w, "HTTP/1.1 204 No Content\r\n\r\n", head, sizeof head);
	assert_int_equal(strncmp(head, "GET /up HTTP/1.1\r\n", 18), 0);
	run_until_answer(w);
}

/* A readinessProbe after a startupProbe. */
static void
test_the_second_probe_is_made_after_the_first(void **state)
{
	static const struct {
		const char *answer, *asked;
	} v[] = {
		{"HTTP/1.1 503 No\r\n\r\n", "GET /startup "},
		{"HTTP/1.1 200 OK\r\n\r\n", "GET /startup "},
		{"HTTP/1.1 503 No\r\n\r\n", "GET /ready "},
		{"HTTP/1.1 503 No\r\n\r\n", "GET /ready "},
		{"HTTP/1.1 200 OK\r\n\r\n", "GET /ready "},
	};
	struct world *w = *state;
	char head[500];
	size_t i;

	listen(w->listener, 8);
	w->inst->probe_spec = xstrdup("/startup\n\n/ready");
	prober_watch(w->prober, w->inst);
	for (i = 0; i < ARRAY_LEN(v); i++) {
		assert_int_equal(w->answers, 0);
		answer_http(w, v[i].answer, head, sizeof head);
		assert_int_equal(strncmp(head, v[i].asked, strlen(v[i].asked)), 0);
	}
	run_until_answer(w);
}

/* --- the platform's word --- */

/* It was found by a probe; then the platform says that it is not ready, though its port is
 * open. */
static void
test_the_platform_takes_an_instance_back(void **state)
{
	struct world *w = *state;

	listen(w->listener, 8);
	prober_watch(w->prober, w->inst);
	run_until_answer(w);
	w->inst->probe_spec = xstrdup("ready");
	prober_watch(w->prober, w->inst);
	assert_false(instance_is_open(w->inst));
	prober_refused(w->prober, w->inst);
	assert_int_equal(prober_probed(w->prober), 0);
	w->inst->state = INSTANCE_READY;
	prober_watch(w->prober, w->inst);
	assert_true(instance_is_open(w->inst));
}

/* --- limits --- */

/* Connections never outnumber container_concurrency, the prober's included. */
static void
test_permit(void **state)
{
	struct world *w = *state;

	limiter_update(w->rev, instance_set_new(&w->inst, 1),
		       &(struct limiter_update){.wanted = 1, .container_concurrency = 1});
	assert_true(limiter_try_permit(w->inst));
	listen(w->listener, 8);
	prober_watch(w->prober, w->inst);
	loop_once(w->loop, false);
	assert_int_equal(prober_probes(w->prober), 0);
	limiter_permit_back(w->inst);
	run_until_answer(w);
	assert_true(limiter_try_permit(w->inst)); /* the probe's is back */
	assert_false(limiter_try_permit(w->inst));
	limiter_permit_back(w->inst);
}

/* All instances are probed after the same delay, so all probes are due at once.  A wake-up
 * that comes meanwhile has to wait for a few of them only, not for all. */
static void
test_many_are_not_probed_in_one_round(void **state)
{
	enum { N = 100, FEW = 4 };
	struct world *w = *state;
	struct instance *v[N];
	uint64_t before, begun;
	size_t i;

	for (i = 0; i < N; i++) {
		v[i] = instance_new(w->rev, "b", &instance_address(w->inst)->addr);
		v[i]->is_listed = true;
	}
	limiter_update(w->rev, instance_set_new(v, N), &(struct limiter_update){.wanted = N});
	for (i = 0; i < N; i++)
		prober_watch(w->prober, v[i]);
	assert_int_equal(prober_probed(w->prober), N);
	assert_int_equal(prober_probes(w->prober), FEW);
	while (prober_probes(w->prober) < (uint64_t)5 * N) {
		before = prober_probes(w->prober);
		loop_once(w->loop, false);
		begun = prober_probes(w->prober) - before;
		assert_true(begun <= FEW);
	}
	for (i = 0; i < N; i++) {
		prober_forget(w->prober, v[i]);
		instance_unref(&v[i]);
	}
}

static void
test_delay(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 7; i++) /* no waiter: the delay doubles */
		assert_int_equal(prober_delay(i, 3600 * CLK_S, 1, false), (1 << i) * MS);
	assert_int_equal(prober_delay(7, 0, 1, false), 100 * MS);
	assert_int_equal(prober_delay(4000000000u, 0, 1, false), 100 * MS);
	/* a waiter: the delay is in proportion to its wait */
	assert_int_equal(prober_delay(3, 0, 1, true), MS);
	assert_int_equal(prober_delay(50, 500 * MS, 1, true), 500 * MS / 256);
	assert_int_equal(prober_delay(50, 10 * CLK_S, 1, true), 10 * CLK_S / 256);
	assert_int_equal(prober_delay(50, 60 * CLK_S, 1, true), 100 * MS);
	/* many instances: at most 5,000 probes a second */
	assert_int_equal(prober_delay(0, 0, 5000, true), CLK_S);
	assert_int_equal(prober_delay(0, 0, 100, true), 20 * MS);
}

/* --- slow instances, and many --- */

/* A full accept queue: further handshakes get no answer. */
struct backlog {
	int fds[16], n;
};

static void
backlog_fill(struct backlog *b, int listener)
{
	struct sockaddr_in at;
	socklen_t size = sizeof at;

	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
	for (b->n = 0;; b->n++) {
		struct pollfd p = {.events = POLLOUT};

		assert_true(b->n < (int)ARRAY_LEN(b->fds));
		p.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		b->fds[b->n] = p.fd;
		connect(p.fd, (struct sockaddr *)&at, size);
		if (poll(&p, 1, 100) == 0)
			break;
	}
	close(b->fds[b->n]);
}

static void
backlog_take(struct backlog *b, int listener)
{
	int i;

	for (i = 0; i < b->n; i++) {
		close(accept(listener, NULL, NULL));
		close(b->fds[i]);
	}
}

/* The SYN is dropped, and answered when the kernel repeats it: one try, not many. */
static void
test_a_slow_handshake_is_waited_for(void **state)
{
	struct world *w = *state;
	struct backlog b;

	w->rev->limits->v.connect_timeout = PATIENCE;
	backlog_fill(&b, w->listener);
	prober_watch(w->prober, w->inst);
	run_for(w, 300 * MS);
	assert_int_equal(prober_probed(w->prober), 1);
	backlog_take(&b, w->listener);
	run_until_answer(w);
	assert_int_equal(prober_probes(w->prober), 1);
}

/* connect_timeout bounds the opening of the connection, not the wait for the response. */
static void
test_a_slow_response_is_waited_for(void **state)
{
	struct world *w = *state;
	char head[512];
	int i;

	w->inst->probe_spec = xstrdup("/up");
	w->rev->limits->v.connect_timeout = 300 * MS;
	w->rev->limits->v.probe_timeout = PATIENCE;
	listen(w->listener, 8);
	prober_watch(w->prober, w->inst);
	run_for(w, 600 * MS);
	assert_int_equal(prober_probes(w->prober), 1);
	answer_http(w, "HTTP/1.1 200 OK\r\n\r\n", head, sizeof head);
	run_until_answer(w);
	prober_forget(w->prober, w->inst);

	/* Each probe has its own limit. */
	limiter_close(w->inst, SLOTS_UNREADY);
	free(w->inst->probe_spec);
	w->inst->probe_spec = xstrdup("/up\nx-activator-timeout: 1");
	prober_watch(w->prober, w->inst);
	run_tries(w, 4);
	for (i = 0; i < 3; i++)
		close(accept(w->listener, NULL, NULL));
}

#define MANY 3000

struct many {
	struct instance *v[MANY];
	unsigned n;
};

/* n instances at 127.`net`.x.y and `port`. */
static void
many_watch(struct many *m, struct world *w, unsigned net, unsigned n, uint16_t port)
{
	unsigned i;

	for (i = m->n = 0; i < n; i++, m->n++) {
		char host[20], id[20];
		struct addr addr;

		snprintf(host, sizeof host, "127.%u.%u.%u", net, 1 + i / 250, 1 + i % 250);
		snprintf(id, sizeof id, "%u-%u", net, i);
		assert_int_equal(addr_set(&addr, host, port, NULL), 0);
		m->v[i] = instance_new(w->rev, id, &addr);
		m->v[i]->is_listed = true;
	}
	limiter_update(w->rev, instance_set_new(m->v, n), &(struct limiter_update){.wanted = n});
	for (i = 0; i < n; i++)
		prober_watch(w->prober, m->v[i]);
}

static void
many_forget(struct many *m, struct world *w)
{
	unsigned i;

	for (i = 0; i < m->n; i++) {
		prober_forget(w->prober, m->v[i]);
		instance_unref(&m->v[i]);
	}
}

static uint16_t
port_of(const struct instance *inst)
{
	return ntohs(((const struct sockaddr_in *)&instance_address(inst)->addr.ss)->sin_port);
}

/* Whichever of thousands begins to listen is found before each of the others was probed twice
 * more. */
static void
test_each_of_thousands_is_found_soon(void **state)
{
	static const unsigned picked[] = {0, MANY / 2, MANY - 1};
	struct world *w = *state;
	struct many m;
	size_t i;

	many_watch(&m, w, 1, MANY, port_of(w->inst));
	assert_int_equal(prober_probed(w->prober), MANY);
	for (i = 0; i < ARRAY_LEN(picked); i++) {
		const struct addr *addr = &instance_address(m.v[picked[i]])->addr;
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		uint64_t before = prober_probes(w->prober);

		assert_int_equal(bind(fd, (const struct sockaddr *)&addr->ss, addr->len), 0);
		assert_int_equal(listen(fd, 8), 0);
		run_until_answer(w);
		assert_true(instance_is_open(m.v[picked[i]]));
		assert_true(prober_probes(w->prober) - before <= 2 * MANY);
		close(fd);
	}
	many_forget(&m, w);
}

/* Instances that drop every SYN do not delay one that answers. */
static void
test_silent_addresses_do_not_delay_others(void **state)
{
	struct world *w = *state;
	struct sockaddr_in any = {.sin_family = AF_INET};
	socklen_t size = sizeof any;
	int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct backlog b;
	struct many m;
	uint64_t before;

	assert_int_equal(bind(deaf, (struct sockaddr *)&any, size), 0);
	assert_int_equal(getsockname(deaf, (struct sockaddr *)&any, &size), 0);
	backlog_fill(&b, deaf);
	listen(w->listener, 8);
	w->rev->limits->v.connect_timeout = 20 * MS;
	many_watch(&m, w, 2, 1000, ntohs(any.sin_port));
	run_tries(w, 1000); /* each probe has timed out, or waits */
	w->rev->limits->v.connect_timeout = PATIENCE;
	run_for(w, 500 * MS); /* each waits for longer now */
	before = prober_probes(w->prober);
	prober_watch(w->prober, w->inst);
	assert_int_equal(prober_probes(w->prober), before + 1);
	run_until_answer(w);
	many_forget(&m, w);
	backlog_take(&b, deaf);
	close(deaf);
}

/* --- a connection to itself --- */

/* Enter a network namespace whose only ephemeral port is `port`, so that a connect to this
 * port of loopback connects the socket to itself.  Returns a descriptor of the old namespace,
 * or -1: not permitted. */
static int
enter_own_network(uint16_t port)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int back = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), range, fd;

	if (unshare(CLONE_NEWNET) < 0) {
		close(back);
		return -1;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
	range = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY | O_CLOEXEC);
	if (range < 0 || dprintf(range, "%u %u\n", port, port) < 0) {
		assert_int_equal(setns(back, CLONE_NEWNET), 0);
		close(back);
		back = -1;
	}
	if (range >= 0)
		close(range);
	return back;
}

static void
meet_oneself(const struct addr *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct linger at_once = {.l_onoff = 1};
	struct addr own = {.len = sizeof own.ss};

	assert_int_equal(connect(fd, (const struct sockaddr *)&addr->ss, addr->len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&own.ss, &own.len), 0);
	assert_true(addr_equal(&own, addr));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(fd);
}

static void
test_a_self_connect_is_no_answer(void **state)
{
	struct world *w = *state;
	int back = enter_own_network(port_of(w->inst));

	if (back < 0)
		skip();
	meet_oneself(&instance_address(w->inst)->addr);
	w->rev->limits->v.connect_timeout = PATIENCE;
	prober_watch(w->prober, w->inst);
	while (prober_probes(w->prober) < 2 && w->answers == 0)
		loop_once(w->loop, false);
	assert_int_equal(w->answers, 0);
	assert_false(instance_is_open(w->inst));
	assert_int_equal(setns(back, CLONE_NEWNET), 0);
	close(back);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused_until_it_listens, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_an_instance_that_listens_at_its_alternate_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_connection_goes_to_a_waiter, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_the_platform_says_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stopping_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_http, setup, teardown),
		cmocka_unit_test_setup_teardown(test_http_path_of_the_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_second_probe_is_made_after_the_first,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_platform_takes_an_instance_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_permit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_slow_response_is_waited_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_slow_handshake_is_waited_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_each_of_thousands_is_found_soon, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_silent_addresses_do_not_delay_others, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_self_connect_is_no_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_are_not_probed_in_one_round, setup,
						teardown),
		cmocka_unit_test(test_delay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
