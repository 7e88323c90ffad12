#include "activator/outcome.h"

static const struct {
	int status;
	enum grpc_status grpc;
	const char *reason, *text;
} outcomes[] = {
#define OUTCOME(id, status, grpc, reason, text) {status, GRPC_##grpc, reason, text},
#include "activator/outcome.def"
#undef OUTCOME
};

int
outcome_status(enum outcome o)
{
	CHECK(o < OUTCOMES_N);
	return outcomes[o].status;
}

enum grpc_status
outcome_grpc_status(enum outcome o)
{
	CHECK(o < OUTCOMES_N);
	return outcomes[o].grpc;
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
