/* stop_command - a program that asks an instance to end, in place of SIGTERM.  What it writes is
 * passed on as output of the instance.
 * Thread: the keeper's only one.  Callbacks run from the loop; on_line also in
 * stop_command_reaped() and stop_command_free(). */
#ifndef AUTOSCALER_KEEPER_STOP_COMMAND_H
#define AUTOSCALER_KEEPER_STOP_COMMAND_H

#include "autoscaler/keeper/output.h"
#include "autoscaler/keeper/spawn.h"

struct loop;
struct stop_command; /* opaque */

/* Start it.  The spawn is borrowed for the call.  NULL with err: fork has failed. */
NODISCARD struct stop_command *stop_command_start(struct loop *, const struct spawn *,
						  output_fn *on_line, void *arg, struct err *);
void stop_command_free(struct stop_command **);

pid_t stop_command_pid(const struct stop_command *);
/* waitpid() has reaped it.  0: it has done its work; -1 with err. */
NODISCARD int stop_command_reaped(struct stop_command *, int status, struct err *);

#endif
