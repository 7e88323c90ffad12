/* command - the arguments of an instance, with the port filled in, and its environment.
 * Pure.  Results are the caller's to free. */
#ifndef AUTOSCALER_KEEPER_COMMAND_H
#define AUTOSCALER_KEEPER_COMMAND_H

#include "common/str_list.h"

/* A copy of arg in which `$PORT` (unless a letter, digit or _ follows) and `${PORT}` are
 * replaced; all else, other dollars included, stays. */
NODISCARD char *command_fill(const char *arg, uint16_t port);

NODISCARD struct str_list command_arguments(const struct str_list *command, uint16_t port);
/* The same for `$MAINPID`. */
NODISCARD struct str_list command_arguments_pid(const struct str_list *command, pid_t pid);

/* The environment: inherited (NULL-terminated) without what concerns the autoscaler alone
 * (sockets of its supervisor, marks); then extra ("NAME=value"), which overrides inherited;
 * then PORT, ACTIVATOR_INSTANCE=id and ACTIVATOR_KEEPER=mark, which override all.  By the
 * last two the keeper and the autoscaler find processes that have left their group. */
NODISCARD struct str_list command_environment(char *const *inherited, const struct str_list *extra,
					      uint16_t port, const char *id, const char *mark);

/* A text that differs if any of them does.  directory, user: NULL: the autoscaler's. */
NODISCARD char *command_digest(const struct str_list *command, const struct str_list *environment,
			       const char *directory, const char *user);

#define COMMAND_INSTANCE "ACTIVATOR_INSTANCE"
#define COMMAND_KEEPER "ACTIVATOR_KEEPER"

#endif
