/* revision - a revision, for tests of slots, of the queue and of the prober; no program runs
 * behind its instances. */
#ifndef TEST_UNIT_REVISION_H
#define TEST_UNIT_REVISION_H

#include "test/unit/unit.h"

#include "activator/limiter.h"

/* With one worker; its activations are not reported. */
static inline struct revision *
unit_revision(struct loop *control)
{
	return revision_new("s/v1", 1, control, NULL, NULL);
}

static inline struct instance *
unit_instance(struct revision *rev, const char *id)
{
	struct addr addr;

	assert_int_equal(addr_set(&addr, "127.0.0.1", 1, NULL), 0);
	return instance_new(rev, id, &addr);
}

#endif
