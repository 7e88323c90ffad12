#include "autoscaler/keeper/crash.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

void
crash_init(struct crash *c)
{
	*c = (struct crash){.early_ends = 0};
	backoff_init(&c->backoff, CRASH_BACKOFF_FIRST_NS, CRASH_BACKOFF_MOST_NS);
}

void
crash_proven(struct crash *c)
{
	c->early_ends = 0;
	c->is_failed = false;
	c->until_ns = 0;
}

static void
back_off(struct crash *c, int64_t now_ns, uint32_t random)
{
	c->until_ns = now_ns + backoff_next(&c->backoff, random);
}

static void
fail(struct crash *c, const char *reason, const char *message, int64_t now_ns, uint32_t random)
{
	c->is_failed = true;
	snprintf(c->reason, sizeof c->reason, "%s", reason);
	snprintf(c->message, sizeof c->message, "%s", message);
	back_off(c, now_ns, random);
}

static void
ended_early(struct crash *c, enum crash_stage stage, const char *how, int64_t now_ns,
	    uint32_t random)
{
	const char *when = stage == CRASH_STARTING
				   ? "before it was ready"
				   : "soon after it was ready, before it answered a request";
	char message[sizeof c->message];

	if (++c->early_ends < 2)
		return;
	snprintf(message, sizeof message, "%s %s", how, when);
	fail(c, "exited", message, now_ns, random);
}

void
crash_ended(struct crash *c, enum crash_stage stage, int64_t lived_ns, const char *how,
	    int64_t now_ns, uint32_t random)
{
	if (stage != CRASH_PROVEN) {
		ended_early(c, stage, how, now_ns, random);
	} else if (lived_ns >= CRASH_CALM_NS) {
		c->quick_ends = 0;
		backoff_reset(&c->backoff);
	} else if (++c->quick_ends >= 2) {
		back_off(c, now_ns, random);
	}
}

void
crash_start_failed(struct crash *c, const char *why, int64_t now_ns, uint32_t random)
{
	c->early_ends++;
	fail(c, "start_failed", why, now_ns, random);
}

int64_t
crash_wait(struct crash *c, int64_t now_ns)
{
	if (c->until_ns > now_ns)
		return c->until_ns - now_ns;
	c->until_ns = 0;
	c->is_failed = false;
	return 0;
}

void
crash_describe(int status, char *text, size_t size)
{
	const char *name;

	if (WIFEXITED(status)) {
		snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
		return;
	}
	name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
	if (name != NULL)
		snprintf(text, size, "was ended by SIG%s", name);
	else
		snprintf(text, size, "was ended by signal %d", WTERMSIG(status));
}
