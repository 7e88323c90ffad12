#include "test/unit/reconcile_world.h"

#include "common/clk.h"
#include "common/log.h"

struct world world;

static char localhost[] = "127.0.0.1", short_name[] = "v1";

static int64_t
now(void)
{
	return world.now;
}

/* --- the driver --- */

static bool has_stopped; /* instances, in set_scale(): show it */

static bool
is_victim(int number)
{
	char name[20];

	snprintf(name, sizeof name, " i%d ", number);
	return strstr(world.victims, name) != NULL;
}

static void
remove_instance(size_t i)
{
	memmove(&world.v[i], &world.v[i + 1], (world.n - i - 1) * sizeof *world.v);
	world.n--;
}

/* One that chooses itself which instances go stops all victims. */
static void
stop_victims(void)
{
	size_t i;

	for (i = world.n; i-- > 0 && !world.has_scale && !world.is_slow;)
		if (is_victim(world.v[i].number)) {
			remove_instance(i);
			has_stopped = true;
		}
}

static void
set_scale(struct driver *d, const char *revision, uint32_t n, const char *const *victims,
	  size_t victims_n)
{
	size_t i;

	(void)d;
	if (strcmp(revision, "a/v1") != 0) {
		strbuf_addf(&world.calls, "%s=%u ", revision, n);
		return;
	}
	world.scale = n;
	world.is_held = false;
	world.victims[0] = '\0';
	strbuf_addf(&world.calls, "%u", n);
	for (i = 0; i < victims_n; i++) {
		strbuf_addf(&world.calls, "%c%s", i == 0 ? ':' : ',', victims[i]);
		snprintf(world.victims + strlen(world.victims), 20, " %s ", victims[i]);
	}
	strbuf_adds(&world.calls, " ");
	stop_victims();
}

static void
instance_answers(struct driver *d, const char *id)
{
	(void)d;
	strbuf_addf(&world.calls, "answers:%s ", id);
}

static void
instance_refuses(struct driver *d, const char *id)
{
	(void)d;
	strbuf_addf(&world.calls, "refuses:%s ", id);
}

static void
instance_served(struct driver *d, const char *id)
{
	(void)d;
	strbuf_addf(&world.calls, "served:%s ", id);
}

static const struct driver_class fake_class = {.name = "fake",
					       .set_scale = set_scale,
					       .instance_answers = instance_answers,
					       .instance_refuses = instance_refuses,
					       .instance_served = instance_served};

void
show_instances(const struct msg_failure *failure)
{
	struct driver_instance v[INSTANCES_MAX] = {0};
	char ids[INSTANCES_MAX][10];
	struct driver_view view = {
		.revision = "a/v1", .is_known = true, .v = v, .n = world.n, .failure = failure};
	size_t i;

	view.has_scale = world.has_scale;
	view.scale = world.has_scale ? world.scale : 0;
	view.is_held = world.is_held;
	view.held_by = world.is_held ? "kubectl" : NULL;
	for (i = 0; i < world.n; i++) {
		snprintf(ids[i], sizeof ids[i], "i%d", world.v[i].number);
		v[i] = (struct driver_instance){
			.id = ids[i],
			.address = world.v[i].address == NULL ? localhost : world.v[i].address,
			.probe = world.v[i].probe,
			.port = (uint16_t)(20000 + world.v[i].number),
			.state = world.v[i].state,
			.is_spare = world.v[i].is_spare,
			.is_retired = world.v[i].is_retired,
			.started_ns = world.v[i].started_ns,
			.cpu_s = -1};
	}
	reconcile_view(world.r, &view);
}

void
show_no_instances(const char *revision)
{
	struct driver_view view = {.revision = revision, .is_known = true};

	reconcile_view(world.r, &view);
	reconcile_tail(world.r);
}

/* Carry out set_scale(): victims go first. */
static void
carry_out_scale(void)
{
	size_t before = world.n, i;
	bool is_changed = false;

	if (world.is_slow)
		return;
	for (i = world.n; i-- > 0 && world.n > world.scale;)
		if (is_victim(world.v[i].number))
			remove_instance(i);
	while (world.n > world.scale)
		remove_instance(world.n - 1);
	while (world.n < world.scale) {
		assert_true(world.number < INSTANCES_MAX);
		world.v[world.n++] = (struct fake_instance){.number = ++world.number,
							    .state = INSTANCE_STARTING,
							    .started_ns = world.now};
	}
	is_changed = world.n != before || has_stopped;
	has_stopped = false;
	if (!is_changed && !world.is_unready)
		for (i = 0; i < world.n; i++)
			if (world.v[i].state == INSTANCE_STARTING) {
				world.v[i].state = INSTANCE_READY;
				is_changed = true;
			}
	if (is_changed)
		show_instances(NULL);
}

/* --- activators --- */

static void
send_message(uint64_t peer, const struct msg *m, void *arg)
{
	(void)arg;
	strbuf_addf(&world.out, "%u ", (unsigned)peer);
	msg_encode(m, &world.out);
	strbuf_adds(&world.out, "\n");
}

void
send_line(uint64_t peer, const char *line)
{
	struct err e;
	struct msg m;

	assert_int_equal(msg_decode(&m, line, strlen(line), &e), 0);
	reconcile_message(world.r, peer, &m);
	msg_fini(&m);
}

void
answer_drain(uint64_t peer, const char *type, const char *token)
{
	char line[200];

	snprintf(line, sizeof line, "{\"type\":\"%s\",\"token\":\"%s\"}", type, token);
	send_line(peer, line);
}

void
activate(uint64_t peer, uint32_t parked)
{
	char line[200];

	world.peer[peer].parked = parked;
	snprintf(line, sizeof line,
		 "{\"type\":\"activate\",\"revision\":\"a/v1\",\"parked\":%u,\"seq\":7}", parked);
	send_line(peer, line);
}

void
report(uint64_t peer)
{
	const struct fake_peer *p = &world.peer[peer];
	struct strbuf line;
	uint32_t sum = 0;
	size_t i;

	strbuf_init(&line, 0);
	strbuf_adds(&line, "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[");
	if (p->concurrency > 0 || p->parked > 0) {
		strbuf_addf(&line,
			    "{\"name\":\"a/v1\",\"concurrency\":%g,\"requests\":1,"
			    "\"parked\":%u,\"instances\":[",
			    p->concurrency, p->parked);
		for (i = 0; i < world.n; i++) {
			sum += p->in_flight[world.v[i].number];
			strbuf_addf(&line, "%s{\"id\":\"i%d\",\"in_flight\":%u}", i == 0 ? "" : ",",
				    world.v[i].number, p->in_flight[world.v[i].number]);
		}
		strbuf_addf(&line, "],\"in_flight\":%u}", sum);
	}
	if (peer == 1 && world.other_parked > 0)
		strbuf_addf(&line,
			    "%s{\"name\":\"b/v1\",\"concurrency\":%u,\"requests\":0,\"parked\":%u}",
			    p->concurrency > 0 || p->parked > 0 ? "," : "", world.other_parked,
			    world.other_parked);
	strbuf_adds(&line, "]}");
	send_line(peer, strbuf_str(&line));
	strbuf_fini(&line);
}

void
connect_peer(uint64_t peer)
{
	char id[20];

	snprintf(id, sizeof id, "act-%u", (unsigned)peer);
	world.peer[peer] = (struct fake_peer){.is_up = true, .answer = SAYS_DRAINED};
	reconcile_peer_up(world.r, peer, id, world.has_shares, world.has_spans);
}

void
lose_peer(uint64_t peer)
{
	world.peer[peer].is_up = false;
	reconcile_peer_down(world.r, peer);
	reconcile_tail(world.r);
}

bool
token_of(const char *line, char token[80])
{
	const char *at = strstr(line, "\"token\":\"");
	const char *end = strchr(line, '\n');

	if (strstr(line, "\"type\":\"drain\"") == NULL || strstr(line, "\"type\":\"drain\"") > end)
		return false;
	snprintf(token, 80, "%.*s", (int)strcspn(at + 9, "\""), at + 9);
	return true;
}

static void
answer_one(const char *line)
{
	unsigned to = (unsigned)(line[0] - '0'), i;
	char token[80];

	if (!token_of(line, token))
		return;
	for (i = 1; i < PEERS; i++) {
		if (!world.peer[i].is_up || world.peer[i].answer == SAYS_NOTHING ||
		    (to != 0 && to != i))
			continue;
		answer_drain(i, world.peer[i].answer == SAYS_BUSY ? "busy" : "drained", token);
	}
}

void
answer_drains(void)
{
	while (world.answered < world.out.len) {
		char *line = xstrdup(world.out.data + world.answered);
		char *end = strchr(line, '\n');

		world.answered += (size_t)(end - line) + 1;
		end[1] = '\0';
		answer_one(line);
		free(line);
	}
}

/* --- time --- */

void
settle(void)
{
	int i;

	for (i = 0; i < 4; i++) { /* messages bring answers, which bring actions */
		reconcile_tail(world.r);
		answer_drains();
	}
	carry_out_scale();
	reconcile_tail(world.r);
}

void
second(void)
{
	unsigned i;

	world.now += CLK_S;
	for (i = 1; i < PEERS; i++)
		if (world.peer[i].is_up && !world.peer[i].is_mute)
			report(i);
	reconcile_tick(world.r);
	while (reconcile_plan(world.r))
		;
	settle();
}

void
seconds(unsigned n)
{
	while (n-- > 0)
		second();
}

bool
was_sent(const char *text)
{
	return strstr(strbuf_str(&world.out), text) != NULL;
}

void
forget_sent(void)
{
	answer_drains();
	strbuf_clear(&world.out);
	strbuf_clear(&world.calls);
	world.answered = 0;
}

unsigned
drains_sent(void)
{
	const char *at = strbuf_str(&world.out);
	unsigned n = 0;

	while ((at = strstr(at, "\"type\":\"drain\"")) != NULL) {
		at++;
		n++;
	}
	return n;
}

/* --- the world --- */

static void
fill_conf(struct revision_conf *conf, const char *full_name)
{
	*conf = (struct revision_conf){.name = short_name,
				       .full_name = xstrdup(full_name),
				       .launch = {.drain_timeout = 10 * CLK_S},
				       .scaling = {.target = 10,
						   .target_utilization = 70,
						   .activation_scale = 1,
						   .enable_scale_to_zero = true,
						   .stable_window = 6 * CLK_S,
						   .panic_window_percentage = 100.0 / 6,
						   .panic_threshold_percentage = 200,
						   .max_scale_up_rate = 1000,
						   .max_scale_down_rate = 2,
						   .scale_to_zero_grace = CLK_S}};
}

static void
on_holder_gone(const char *id, void *arg)
{
	size_t n = strlen(world.gone);

	(void)arg;
	snprintf(world.gone + n, sizeof world.gone - n, "%s ", id);
}

static void
on_term_raised(uint64_t term, void *arg)
{
	(void)arg;
	world.raised_term = term;
}

static const struct reconcile_ops ops = {
	.send = send_message, .holder_gone = on_holder_gone, .term_raised = on_term_raised};

void
set_owned_services(size_t n, uint32_t max_instances, const struct owner_conf *owner)
{
	const struct reconcile_conf conf = {
		.max_instances = max_instances, .owners = owner, .owners_n = owner == NULL ? 0 : 1};
	const char *name = owner == NULL ? NULL : owner->name;
	const struct reconcile_item items[] = {
		{.conf = &world.conf, .driver = &world.driver, .owner = name},
		{.conf = &world.other, .driver = &world.driver, .owner = name}};

	reconcile_set(world.r, &conf, items, n);
}

void
set_services(size_t n, uint32_t max_instances)
{
	set_owned_services(n, max_instances, NULL);
}

void
begin_world(size_t instances)
{
	size_t i;

	if (world.r != NULL)
		world_teardown(NULL);
	world = (struct world){.now = 1000 * CLK_S};
	clk_replace(now);
	log_open(LOG_ERROR, LOG_LOGFMT, "t_reconcile");
	strbuf_init(&world.out, 0);
	strbuf_init(&world.calls, 0);
	world.driver = (struct driver){.class = &fake_class};
	fill_conf(&world.conf, "a/v1");
	fill_conf(&world.other, "b/v1");
	world.r = reconcile_new(&ops, NULL, "s1");
	set_services(1, 0);
	reconcile_tail(world.r);
	for (i = 0; i < instances; i++)
		world.v[world.n++] = (struct fake_instance){.number = ++world.number,
							    .state = INSTANCE_READY};
	world.scale = (uint32_t)world.n;
}

int
world_setup(void **state)
{
	(void)state;
	begin_world(0);
	show_instances(NULL);
	reconcile_tail(world.r);
	return 0;
}

int
world_teardown(void **state)
{
	(void)state;
	reconcile_free(&world.r);
	free(world.conf.full_name);
	free(world.other.full_name);
	strbuf_fini(&world.out);
	strbuf_fini(&world.calls);
	clk_replace(NULL);
	return 0;
}

void
run_with(uint32_t n)
{
	world.peer[1].concurrency = 7.0 * n;
	activate(1, 1);
	settle();
	world.peer[1].parked = 0;
	UNTIL(world.n == n && world.scale == n, 40);
	seconds(10);
	assert_int_equal(world.n, n);
	forget_sent();
}

void
use_a_beside_b(double concurrency)
{
	show_no_instances("b/v1");
	connect_peer(1);
	world.peer[1].concurrency = concurrency;
	activate(1, 1);
	settle();
	world.peer[1].parked = 0;
	UNTIL(world.n == 1, 10);
}
