#include "activator/failure.h"

#include <stdlib.h>

#include "common/clk.h"
#include "common/msg.h"
#include "common/ref.h"

struct failure *
failure_new(const struct msg_failure *from, int64_t now_ns)
{
	struct failure *f = xcalloc(1, sizeof *f);

	ref_init(&f->refs);
	f->reason = xstrdup(from->reason);
	f->message = xstrdup(from->message);
	f->until_ns = now_ns + from->retry_after_ms * CLK_MS;
	f->is_parking = from->is_parking;
	f->is_gone = from->is_gone;
	return f;
}

struct failure *
failure_ref(struct failure *f)
{
	if (f != NULL)
		ref_add(&f->refs);
	return f;
}

void
failure_unref(struct failure **fp)
{
	struct failure *f = *fp;

	*fp = NULL;
	if (f == NULL || !ref_drop(&f->refs))
		return;
	free(f->reason);
	free(f->message);
	free(f);
}

bool
failure_is_refusing(const struct failure *f, int64_t now_ns)
{
	return f != NULL && !f->is_parking && now_ns < f->until_ns;
}
