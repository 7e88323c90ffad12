/* command - what an instance is started with: its arguments with the port filled
 * in, and its environment.  Pure.  Lists are the caller's to free. */
#ifndef AUTOSCALER_KEEPER_COMMAND_H
#define AUTOSCALER_KEEPER_COMMAND_H

#include "common/str_list.h"

/* `$PORT` (where no letter, digit or _ follows) and `${PORT}` replaced; the rest,
 * other dollars included, as it is. */
NODISCARD char *command_fill(const char *arg, uint16_t port);

NODISCARD struct str_list command_arguments(const struct str_list *command, uint16_t port);

/* inherited (NULL-terminated) less what concerns us alone (our supervisor's sockets, our marks),
 * then extra ("NAME=value", which wins over inherited), then PORT and ACTIVATOR_INSTANCE=id and
 * ACTIVATOR_KEEPER=mark, which win over all.  The last two are how processes that broke away from
 * their group are found again. */
NODISCARD struct str_list command_environment(char *const *inherited, const struct str_list *extra,
					      uint16_t port, const char *id, const char *mark);

#define COMMAND_INSTANCE "ACTIVATOR_INSTANCE"
#define COMMAND_KEEPER "ACTIVATOR_KEEPER"

#endif
