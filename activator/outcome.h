/* outcome - the ways in which a request can end.  One table (outcome.def) gives the status and
 * text of the answer, the label of the metric, and the table of the manual. */
#ifndef ACTIVATOR_OUTCOME_H
#define ACTIVATOR_OUTCOME_H

#include "activator/http/grpc.h"
#include "common/base.h"

enum outcome {
#define OUTCOME(id, status, grpc, reason, text) OUT_##id,
#include "activator/outcome.def"
#undef OUTCOME
	OUTCOMES_N
};

int outcome_status(enum outcome);
enum grpc_status outcome_grpc_status(enum outcome); /* instead, to a request of gRPC */
const char *outcome_reason(enum outcome);	    /* one word, for programs */
const char *outcome_text(enum outcome);		    /* one clause, for people */

#endif
