#include "activator/outcome.h"

static const struct {
	int status;
	const char *reason, *text;
} outcomes[] = {
#define OUTCOME(id, status, reason, text) {status, reason, text},
#include "activator/outcome.def"
#undef OUTCOME
};

int
outcome_status(enum outcome o)
{
	CHECK(o < OUTCOMES_N);
	return outcomes[o].status;
}

const char *
outcome_reason(enum outcome o)
{
	CHECK(o < OUTCOMES_N);
	return outcomes[o].reason;
}

const char *
outcome_text(enum outcome o)
{
	CHECK(o < OUTCOMES_N);
	return outcomes[o].text;
}
