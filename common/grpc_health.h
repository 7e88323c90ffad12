/* grpc_health - asks a server of gRPC whether it serves: the call Check of grpc.health.v1.Health.
 * The two messages of that call are encoded and decoded here, so that no library for them is
 * needed.
 * Pure.  Thread: any. */
#ifndef COMMON_GRPC_HEALTH_H
#define COMMON_GRPC_HEALTH_H

#include "common/base.h"

#define GRPC_HEALTH_NAME_MOST 1024 /* bytes of a service's name */

struct h2_ask;

/* The call.  scheme: "http" or "https".  service: what is asked about; "": the server as a whole.
 */
NODISCARD struct h2_ask *grpc_health_new(const char *scheme, const char *authority,
					 const char *service, size_t service_n);
/* The answer is over: NULL if it says SERVING, else what it says; static. */
const char *grpc_health_problem(const struct h2_ask *);

/* --- for tests --- */
/* The status in a response's body; -1: it is not one whole message of this type. */
int grpc_health_status(const char *body, size_t n);

#endif
