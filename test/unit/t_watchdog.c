/* watchdog: systemd hears nothing while a thread does not answer. */
#include "test/unit/unit.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "common/loop.h"
#include "common/watchdog.h"

struct world {
	char *dir;
	struct sockaddr_un at;
	int fd;
	struct loop *loop;
	struct watchdog *w;
	unsigned asked;
};

static void
begin(struct world *t)
{
	struct err e;

	*t = (struct world){.dir = unit_dir(), .at.sun_family = AF_UNIX};
	t->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	snprintf(t->at.sun_path, sizeof t->at.sun_path, "%.80s/notify", t->dir);
	assert_int_equal(bind(t->fd, (const struct sockaddr *)&t->at, sizeof t->at), 0);
	setenv("NOTIFY_SOCKET", t->at.sun_path, 1);
	setenv("WATCHDOG_USEC", "30000", 1);
	t->loop = loop_new(&e);
}

static void
end(struct world *t)
{
	watchdog_free(&t->w);
	loop_free(&t->loop);
	close(t->fd);
	unlink(t->at.sun_path);
	rmdir(t->dir);
	free(t->dir);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
}

static bool
has_heard(const struct world *t)
{
	char text[64];

	return recv(t->fd, text, sizeof text, MSG_DONTWAIT) == 10 &&
	       memcmp(text, "WATCHDOG=1", 10) == 0;
}

static void
on_ask(void *arg)
{
	struct world *t = arg;

	t->asked++;
}

static void
a_loop_alone(void **state)
{
	struct world t;
	int i;

	(void)state;
	begin(&t);
	t.w = watchdog_new(t.loop, NULL, NULL);
	for (i = 0; i < 3; i++) {
		loop_once(t.loop, false);
		assert_true(has_heard(&t));
	}
	end(&t);
}

static void
rounds(void *arg)
{
	struct world *t = arg;
	int i;

	for (i = 0; i < 3; i++)
		loop_once(t->loop, false);
}

static void
threads_are_asked(void **state)
{
	struct world t;
	char *text;

	(void)state;
	begin(&t);
	t.w = watchdog_new(t.loop, on_ask, &t);
	loop_once(t.loop, false);
	assert_int_equal(t.asked, 1);
	assert_false(has_heard(&t));
	watchdog_alive(t.w);
	assert_true(has_heard(&t));
	loop_once(t.loop, false);
	assert_int_equal(t.asked, 2);
	text = unit_stderr_of(rounds, &t); /* no answer: no further question, and no message */
	assert_non_null(strstr(text, "does not answer"));
	free(text);
	assert_int_equal(t.asked, 2);
	assert_false(has_heard(&t));
	watchdog_alive(t.w);
	assert_true(has_heard(&t));
	end(&t);
}

static void
nothing_is_asked_for(void **state)
{
	struct watchdog *none;
	struct world t;

	(void)state;
	begin(&t);
	unsetenv("WATCHDOG_USEC");
	none = watchdog_new(t.loop, NULL, NULL);
	assert_null(none);
	watchdog_free(&none);
	end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_loop_alone),
		cmocka_unit_test(threads_are_asked),
		cmocka_unit_test(nothing_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
