/* bounds: the sum over several processes, and what is left of one that has ended. */
#include "test/unit/unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "activator/bounds.h"

static struct bounds
opened(void)
{
	struct bounds b = {.max_connections = 4,
			   .max_sockets = 6,
			   .max_parked = 3,
			   .max_parked_bytes = 1000,
			   .max_stream_bytes = 1600};
	struct err e;

	assert_int_equal(bounds_open(&b, &e), 0);
	return b;
}

/* As another process would: by a descriptor of its own. */
static struct bounds
joined(const struct bounds *with, uint32_t part)
{
	struct bounds b = {.max_connections = 4,
			   .max_sockets = 6,
			   .max_parked = 3,
			   .max_parked_bytes = 1000,
			   .max_stream_bytes = 1600};
	struct err e;

	assert_int_equal(bounds_join(&b, dup(with->fd), part, &e), 0);
	/* In the test the two have one pid. */
	atomic_store(&b.own->pid, (int32_t)(1000 + part));
	return b;
}

static void
all_count(void **state)
{
	struct bounds old = opened(), new;
	uint32_t part = 99;

	(void)state;
	assert_true(bounds_reserve(&old, &part));
	assert_int_equal(part, 1);
	new = joined(&old, part);
	bounds_connected(&old);
	bounds_connected(&old);
	bounds_connected(&new);
	assert_true(bounds_may_accept(&new));
	bounds_connected(&new);
	assert_false(bounds_may_accept(&new));
	assert_false(bounds_may_accept(&old));
	assert_int_equal(bounds_connections_elsewhere(&new), 2);
	bounds_upstream_opened(&old);
	assert_true(bounds_may_connect(&new));
	bounds_upstream_opened(&new);
	assert_false(bounds_may_connect(&new));
	bounds_upstream_closed(&old);
	assert_true(bounds_may_connect(&new));

	bounds_park(&old, 400);
	bounds_park(&new, 400);
	assert_int_equal(bounds_parked(&new), 1);
	assert_int_equal(bounds_parked_bytes(&new), 400);
	assert_true(bounds_may_park(&new, 200));
	assert_false(bounds_may_park(&new, 201));
	bounds_park(&old, 0);
	assert_false(bounds_may_park(&new, 0));
	assert_true(bounds_add_stream_bytes(&old, 800));
	assert_true(bounds_may_keep_stream_bytes(&new, 200));
	assert_true(bounds_add_stream_bytes(&new, 800));
	assert_true(bounds_may_keep_stream_bytes(&new, 100));
	assert_false(bounds_may_keep_stream_bytes(&new, 101));
	assert_false(bounds_add_stream_bytes(&new, 1));
	assert_int_equal(bounds_stream_bytes(&new), 801);
	bounds_close(&new);
	bounds_close(&old);
}

static void
one_that_has_ended_counts_no_more(void **state)
{
	struct bounds old = opened(), new;
	uint32_t part;

	(void)state;
	assert_true(bounds_reserve(&old, &part));
	new = joined(&old, part);
	bounds_connected(&old);
	bounds_park(&old, 10);
	bounds_connected(&new);
	bounds_clear(&new, 1234); /* an unknown one */
	assert_int_equal(bounds_connections_elsewhere(&new), 1);
	bounds_clear(&new, getpid()); /* the old one */
	assert_int_equal(bounds_connections_elsewhere(&new), 0);
	assert_int_equal(bounds_parked(&old), 0);
	assert_int_equal(bounds_parked(&new), 0);
	assert_int_equal(atomic_load(&new.own->connections), 1);
	bounds_close(&new);
	bounds_close(&old);
}

/* Its parent asks only after another process may have cleared its part. */
static void
a_successor_is_known_after_the_end(void **state)
{
	struct bounds old = opened(), mid, new;
	uint32_t part;

	(void)state;
	assert_true(bounds_reserve(&old, &part));
	mid = joined(&old, part);
	assert_int_equal(bounds_successor(&old, 1000 + (pid_t)part), 0);
	bounds_give_way(&mid, 4321);
	bounds_clear(&old, 1000 + (pid_t)part);
	assert_int_equal(bounds_successor(&old, 1000 + (pid_t)part), 4321);
	assert_int_equal(bounds_successor(&old, 4321), 0);
	/* Another process gets the same pid. */
	atomic_store(&old.parts[part].replaced_pid, (int32_t)getpid());
	assert_true(bounds_reserve(&old, &part));
	new = joined(&old, part);
	assert_int_equal(bounds_successor(&old, getpid()), 0);
	bounds_close(&new);
	bounds_close(&mid);
	bounds_close(&old);
}

static void
parts(void **state)
{
	struct bounds b = opened();
	uint32_t first, second, third;

	(void)state;
	assert_true(bounds_reserve(&b, &first));
	assert_true(bounds_reserve(&b, &second));
	assert_int_not_equal(first, second);
	assert_false(bounds_reserve(&b, &third));
	bounds_unreserve(&b, first);
	assert_true(bounds_reserve(&b, &third));
	assert_int_equal(third, first);
	bounds_close(&b);
	bounds_close(&b);
}

/* Memory that another process could cut off would be a SIGBUS. */
static void
foreign_memory_is_refused(void **state)
{
	int unsealed = memfd_create("t", MFD_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct bounds b = opened(), other = {.fd = -1};
	struct err e;

	(void)state;
	assert_int_equal(ftruncate(unsealed, BOUNDS_PROCESSES * sizeof(struct bounds_part)), 0);
	assert_int_equal(bounds_join(&other, unsealed, 0, &e), -1);
	assert_int_equal(bounds_join(&other, null, 0, &e), -1);
	assert_int_equal(bounds_join(&other, b.fd, BOUNDS_PROCESSES, &e), -1);
	assert_null(other.parts);
	assert_int_equal(ftruncate(b.fd, 0), -1);
	close(null);
	close(unsealed);
	bounds_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_count),
		cmocka_unit_test(one_that_has_ended_counts_no_more),
		cmocka_unit_test(a_successor_is_known_after_the_end),
		cmocka_unit_test(parts),
		cmocka_unit_test(foreign_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
